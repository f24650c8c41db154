"""Trained networks, their page and its server, made once."""

import threading

import pytest

from keras_mgnet.explorer import runtime
from keras_mgnet.explorer.bundle import write_page
from keras_mgnet.explorer.server import page_server
from keras_mgnet.training.runs.run import open_run
from support.command import invoke
from support.explored import NETWORKS


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    for name, options in NETWORKS.items():
        invoke("train", "digits", *options, "--epochs", 12, "--seed", 1, "--out", out / name)
    return [open_run(out / name) for name in NETWORKS]


@pytest.fixture(scope="session")
def the_runtime():
    try:
        return runtime.installed()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def page_folder(runs, the_runtime, tmp_path_factory):
    return write_page(runs, tmp_path_factory.mktemp("page") / "explored").path


@pytest.fixture(scope="session")
def url(page_folder):
    with page_server(page_folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()
