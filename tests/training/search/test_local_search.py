"""The processes of a search: a chief, its workers, their GPUs, signals and kills."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from keras_mgnet.training.loop.inference import evaluate
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.search import local_search, tuning
from keras_mgnet.training.search.trials import read_trials
from keras_mgnet.training.search.tuning import tune
from support.command import invoke
from support.search import KERAS_TUNER, small

pytestmark = KERAS_TUNER


@pytest.mark.parametrize(
    ("visible", "installed", "expected"),
    [(None, 0, [None, None, None]), (None, 2, ["0", "1", "0"]), ("5,7", 8, ["5", "7", "5"]), ("", 8, ["", "", ""])],
)
def test_each_worker_has_one_gpu_and_the_chief_none(visible, installed, expected, tmp_path, monkeypatch):
    for number in range(installed):
        (tmp_path / f"0000:{number}").mkdir()
    monkeypatch.setattr(local_search, "GPUS", tmp_path)
    monkeypatch.setenv("TF_CONFIG", "{}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = local_search._environments(["worker0", "worker1", "worker2"])
    assert environments["chief"]["CUDA_VISIBLE_DEVICES"] == ""
    assert [environments[f"worker{n}"].get("CUDA_VISIBLE_DEVICES") for n in range(3)] == expected
    assert all(v["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" and "TF_CONFIG" not in v for v in environments.values())
    assert small("digits", tmp_path).run(1).strategy == "one"


def arguments(config):
    names = ("trials", "epochs", "max_params", "out", "batch_size", "workers")
    options = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in names]
    return ["tune", config.dataset, *options]


def command(config, *more):
    program = "import sys; from keras_mgnet.cli import main; sys.argv[0] = 'keras-mgnet'; main()"
    return [sys.executable, "-c", program, *arguments(config), *more]


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_chief_and_two_workers(images, tmp_path):
    config = small(images, tmp_path / "out", trials=3, workers=2)
    output = invoke(*arguments(config))
    trials = read_trials(config.trials_directory)
    assert {trial.worker for trial in trials} == {"worker0", "worker1"}
    assert sorted(trial.number for trial in trials) == [0, 1, 2]
    assert all(f"{trial.params:,}" in output for trial in trials) and "![" not in output
    out = tmp_path / "out"
    logs = [path.read_text().splitlines() for path in (out / "logs").iterdir()]
    assert len(logs) == 3 and not any(line.strip().isdigit() or "Search:" in line for log in logs for line in log)
    assert any("test accuracy" in line for log in logs for line in log)
    assert {"best", "data.npz", "pareto.png", "results.json", "results.md", "search.json"} <= {
        path.name for path in out.iterdir()
    }
    assert (out / "pareto.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((out / "results.json").read_text())
    assert [record["number"] for record in results["trials"]] == [trial.number for trial in trials]
    best = open_run(out / "best")
    assert best.record["config"]["dataset"] == images and best.record["model"]["params"] == trials[0].params
    assert results["test_accuracy"] == evaluate(best)["accuracy"]
    assert results["doubt"].startswith("No network has learned anything") and "No network has learned" in output

    with pytest.raises(ValueError, match=r"expected a new or empty directory, or --resume\. Received"):
        tune(config)
    with pytest.raises(ValueError, match=r"expected epochs=1 as in the search in .*Received: epochs=2"):
        tune(small(images, out, epochs=2, resume=True))


def children(process):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_killed_workers_and_a_killed_search_repeat_no_trial(images, tmp_path):
    config = small(images, tmp_path / "out", trials=8, workers=2)
    trials = config.trials_directory
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(trials.glob("trial_*/result.json")))
    _, worker, _ = sorted(children(process.pid))
    os.kill(worker, signal.SIGKILL)
    before = len(read_trials(trials))
    wait_for(lambda: len(read_trials(trials)) >= before + 2)
    processes = children(process.pid)
    assert len(processes) == 3
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(is_alive, processes)), 30)
    done = {
        path: path.stat().st_mtime_ns
        for path in trials.glob("trial_*/run/run.json")
        if (path.parents[1] / "result.json").exists()
    }
    assert 0 < len(done) < 8
    invoke(*arguments(config), "--resume")
    assert sorted(trial.number for trial in read_trials(trials)) == list(range(8))
    assert done == {path: path.stat().st_mtime_ns for path in done}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_search_has_the_code_of_its_signal_and_says_how_to_go_on(
    number, images, tmp_path, monkeypatch, exit_code, capsys
):
    monkeypatch.setattr(tuning, "run_processes", lambda *_: (os.kill(os.getpid(), number), signal.pause()))
    assert exit_code(*arguments(small(images, tmp_path / "out"))) == 128 + number
    printed = capsys.readouterr()
    assert "to continue, repeat the command with --resume" in printed.out and "Traceback" not in printed.err


@pytest.mark.slow
def test_sigterm_ends_the_processes_in_order(images, tmp_path):
    config = small(images, tmp_path / "out", trials=1, epochs=500)
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = config.trials_directory / "trial_0" / "run"
    wait_for((run / "log.csv").is_file)
    processes = children(process.pid)
    process.terminate()
    assert process.wait(120) == 143 and not any(map(is_alive, processes))
    assert open_run(run).record["result"]["status"] == "preempted"


@pytest.mark.slow
def test_a_cluster_gives_the_roles(images, tmp_path):
    config = small(images, tmp_path / "out", trials=2)
    shared = os.environ | {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "18765"}
    processes = [
        subprocess.Popen(command(config), env=shared | {"KERASTUNER_TUNER_ID": role}, stderr=subprocess.DEVNULL)
        for role in ("pod1", "chief")
    ]
    assert [process.wait(240) for process in processes] == [0, 0]
    assert {trial.worker for trial in read_trials(config.trials_directory)} == {"pod1"}
    assert open_run(tmp_path / "out" / "best").record["result"]["status"] == "finished"
