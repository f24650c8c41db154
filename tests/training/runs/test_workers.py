"""Two workers that train one run: one is killed, one is asked to stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_mgnet.training.runs.run import open_run
from support.runs import checkpoints_of


def start_workers(out, ports, *options):
    """Starts two processes of the real command that train one run together."""
    workers = [f"127.0.0.1:{port}" for port in ports]
    command = [
        sys.executable,
        "-c",
        "import sys; from keras_mgnet.cli import main; sys.argv[0] = 'keras-mgnet'; main()",
    ]
    arguments = [
        "train",
        "digits",
        "--set",
        "nu=[1]",
        "--set",
        "channels=2",
        "--epochs",
        "4",
        "--strategy",
        "multiworker",
    ]
    return [
        subprocess.Popen(
            [*command, *arguments, "--batch-size", "128", "--out", str(out), "--reproducible", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"TF_CPP_MIN_LOG_LEVEL": "2"}
            | {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})},
        )
        for index in range(2)
    ]


def free_ports():
    sockets = [socket.socket() for _ in range(2)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.mark.slow
def test_workers_go_on_after_one_was_killed(tmp_path):
    def run(out, *options):
        processes = start_workers(out, free_ports(), *options)
        outputs = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        return checkpoints_of(open_run(out)).newest()

    name, reference, _ = run(tmp_path / "whole")
    chief, follower = start_workers(tmp_path / "killed", free_ports())
    while not (tmp_path / "killed" / "checkpoints" / "epoch-000001").exists() and chief.poll() is None:
        time.sleep(0.1)
    follower.kill()
    output, _ = chief.communicate(timeout=300)
    follower.communicate()
    *_, last = output.splitlines()
    assert chief.returncode == 2 and last.startswith("error: expected an answer from all 2 workers"), output
    assert "{{" not in last and "Traceback" not in output
    resumed = run(tmp_path / "killed", "--resume")
    assert resumed[0] == name == "epoch-000004"
    for key, array in reference.items():
        np.testing.assert_array_equal(resumed[1][key], array)


@pytest.mark.slow
def test_workers_stop_together_when_one_is_asked_to(tmp_path):
    chief, follower = start_workers(tmp_path / "run", free_ports(), "--epochs", "500")
    while not (tmp_path / "run" / "checkpoints" / "epoch-000001").exists() and chief.poll() is None:
        time.sleep(0.1)
    follower.send_signal(signal.SIGTERM)
    for process in (chief, follower):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 143 and "preempted after" in output
        assert (f"wrote {tmp_path}" in output) == (process is chief)
    assert checkpoints_of(open_run(tmp_path / "run")).newest() is not None
