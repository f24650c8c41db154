"""Servers of the tiny model, started once."""

import httpx
import pytest

from support.rest import EMBEDDED, MAX_BYTES
from support.served import NAME, logits, pixels, served, tiny, write_onnx, write_savedmodel


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    out = tmp_path_factory.mktemp("served")
    bases = {"savedmodel": out / "savedmodel" / NAME, "onnx": out / "onnx" / NAME}
    write_savedmodel(bases["savedmodel"])
    write_onnx(bases["onnx"])
    return bases


@pytest.fixture(scope="session")
def savedmodel_server(bases):
    with served(bases["savedmodel"], f"--max-request-mb={MAX_BYTES / 2**20}") as server:
        yield server


@pytest.fixture(scope="session")
def onnx_server(bases):
    with served(bases["onnx"], f"--max-request-mb={MAX_BYTES / 2**20}") as server:
        yield server


@pytest.fixture(scope="session", params=EMBEDDED)
def server(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(scope="session")
def http():
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def expected():
    """What Keras computes of four images."""
    return logits(tiny(), pixels(4))
