"""The commands, curl lines and Python of docs/serving.md run as written, against the server that the page starts."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from support.command import invoke
from support.pages import blocks, manifest

PORTS = ("8501", "8500")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's blocks with two free ports, after its first block has run: (folder, environment, blocks)."""
    folder, found = tmp_path_factory.mktemp("page"), blocks("docs/serving.md", "bash", "python")
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        free = [str(probe.getsockname()[1]) for probe in (first, second)]

    def moved(code):
        for old, new in zip(PORTS, free, strict=True):
            code = code.replace(f":{old}", f":{new}")
        options = f"--rest-port {free[0]} --grpc-port {free[1]} --drain-seconds 0"
        return code.replace("serve exported/digits", f"serve exported/digits {options}")

    Image.new("L", (40, 30), 200).save(folder / "digit.png")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    *before, serve = [line for line in moved(found[0].code).splitlines() if line]
    with contextlib.chdir(folder):
        for program, *words in map(shlex.split, before):
            assert program == "keras-mgnet"
            invoke(*words)
    command = ["bash", "-c", f"exec {serve}"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert "serving version 1 of 'digits'" in server.stdout.readline()
        yield folder, environment, [(block.language, moved(block.code)) for block in found[1:]], free
        server.terminate()


def test_the_commands_of_the_page_answer(page):
    folder, environment, found, _ = page
    (code,) = [code for language, code in found if language == "bash"]
    run = subprocess.run(["bash", "-ec", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for said in ("probability", '"AVAILABLE"', "serving_bytes", '"predictions"'):
        assert said in run.stdout


def test_the_python_of_the_page_answers(page, monkeypatch, capsys):
    folder, _, found, _ = page
    monkeypatch.chdir(folder)
    codes = [code for language, code in found if language == "python"]
    for code in codes:
        exec(code, {})  # our own page
    assert len(codes) == len(capsys.readouterr().out.splitlines()) == 3


def test_the_health_check_of_compose_answers(page):
    _, environment, _, (rest, _) = page
    (compose,) = manifest("compose.yaml")
    _, *command = next(iter(compose["services"].values()))["healthcheck"]["test"]
    here = [word.replace("8501", rest).replace("${NAME}", "digits") for word in command]
    elsewhere = [word.replace("/models/digits", "/models/other") for word in here]
    assert subprocess.run(here, env=environment).returncode == 0
    assert subprocess.run(elsewhere, env=environment).returncode != 0
    assert httpx.get(f"http://127.0.0.1:{rest}/healthz").status_code == 200
