"""Stopped runs go on bit for bit: signals, kills, full disks, damaged files, and what must be refused."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from functools import reduce
from operator import or_

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_mgnet import files
from keras_mgnet.training.loop import callbacks
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.identity import digest
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.loop.prepare import prepare
from keras_mgnet.training.runs import checkpoint
from keras_mgnet.training.runs.checkpoint import ARRAYS
from keras_mgnet.training.runs.run import open_run, read_log
from keras_mgnet.training.runs.writer import RunWriter
from support import ROOT, slow_unless
from support.pictures import pictures, write_folder
from support.runs import checkpoints_of, flip, stop_at, truncate

STEPS = 12  # per epoch of digits
RUNS = {  # what a run may keep a state of: momentum, schedule, augmentation, dropout, gates, averages
    "mgnet": {"set": {"nu": [1, 1], "channels": 3}, "schedule": "cosine", "augment": "shift", "warmup_epochs": 1.0},
    "stochastic depth": {"model": "resnet20", "set": {"blocks": [1, 1], "base_width": 2, "survival": 0.5}},
    "dropout": {"model": "densenet_40_12", "set": {"depth": 7, "growth": 2, "dropout": 0.3}},
    "shake-shake": {"model": "shake_shake_26_2x32d", "set": {"depth": 8, "width": 2}},
    "average": {"set": {"nu": [1], "channels": 3}, "ema": 0.9, "label_smoothing": 0.1},
    "half precision": {"set": {"nu": [1], "channels": 3}, "dtype": "mixed_float16"},
    "added gradients": {"set": {"nu": [1], "channels": 3}, "accumulate": 2, "clip_norm": 0.5},
    "fast": {"recipe": "fast", "set": {"nu": [1], "channels": 3, "stem": "whitening"}, "augment": "shift_flip"},
}
TOGETHER = "average in half precision, gates, schedule and augmentation, with validation images"
MANY = ("average", "half precision", "mgnet", "stochastic depth")
RUNS[TOGETHER] = reduce(or_, map(RUNS.get, MANY)) | {"validation": 0.2}


def digits(out, resume=False, **changes):
    config = {
        "dataset": "digits",
        "set": {"nu": [1], "channels": 2},
        "epochs": 3,
        "batch_size": 128,
        "augment": "crop_flip",
    }
    config |= {"learning_rate": 0.05, "reproducible": True, "checkpoint_steps": 5}
    return train(TrainConfig(**config | changes, out=str(out), resume=resume), Console(file=io.StringIO()))


def assert_same(run, other):
    """Equal weights, optimiser and generator states, to the bit; equal logs, to the rounding of a mean taken in two parts."""
    states = [checkpoints_of(r).newest()[1] for r in (run, other)]
    assert states[0].keys() == states[1].keys()
    for key, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][key], err_msg=key)
    for name in ("last", "best"):
        for weight, copy in zip(*(r.load_model(name).get_weights() for r in (run, other)), strict=True):
            np.testing.assert_array_equal(weight, copy)
    columns = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    logs = [[[float(row[c]) for c in columns] for row in read_log(r.path / "log.csv")] for r in (run, other)]
    np.testing.assert_allclose(*logs, rtol=1e-6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped."""
    return digits(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def preempted(tmp_path_factory):
    """A run stopped in the seventh step of its second epoch, with the checkpoints of that step and of step 5."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, STEPS + 7)
        run = digits(tmp_path_factory.mktemp("runs") / "preempted")
    assert run.record["result"]["status"] == "preempted"
    return run


@pytest.fixture
def stopped(preempted, tmp_path):
    """A copy of it to go on from."""
    return open_run(shutil.copytree(preempted.path, tmp_path / "run"))


@pytest.mark.parametrize("name", slow_unless([TOGETHER, "added gradients"], RUNS))
def test_a_run_stopped_inside_an_epoch_goes_on_bit_for_bit(name, tmp_path, monkeypatch):
    options = {"epochs": 2, **RUNS[name]}
    whole = digits(tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        stop_at(patch, 7)
        digits(tmp_path / "parts", **options)
    parts = digits(tmp_path / "parts", resume=True, **options)
    assert parts.record["result"] == whole.record["result"] | {"seconds": parts.record["result"]["seconds"]}
    assert_same(whole, parts)


@pytest.mark.slow  # a run that was stopped equals one that was not: it is reproducible too
def test_two_reproducible_runs_are_bit_equal(whole, tmp_path):
    assert_same(whole, digits(tmp_path / "again"))


@pytest.mark.parametrize("step", slow_unless([STEPS + 1], [1, STEPS, STEPS + 1, 2 * STEPS]))
def test_a_run_stopped_at_the_border_of_an_epoch_goes_on_bit_for_bit(step, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        digits(tmp_path / "run")
    assert_same(whole, digits(tmp_path / "run", resume=True))


def test_a_run_stopped_in_an_evaluation_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    def stop(self, batch, logs=None):
        self.signals.received = signal.SIGTERM
        unpatched(self, batch, logs)

    unpatched = callbacks.StopInEvaluation.on_test_batch_end
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopInEvaluation, "on_test_batch_end", stop)
        run = digits(tmp_path / "run")
    assert checkpoints_of(run).names() == ["epoch-000000-step-000010", "epoch-000000-step-000012"]
    assert_same(whole, digits(tmp_path / "run", resume=True))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_command_saves_and_is_its_exit_code(number, tmp_path, monkeypatch, exit_code, capsys):
    options = ["--set", "channels=2", "--set", "nu=[1]", "--epochs", "9999", "--out", tmp_path / "run"]
    stop_at(monkeypatch, 1, number)
    assert exit_code("train", "digits", *options) == 128 + number
    status, printed = "preempted" if number == signal.SIGTERM else "interrupted", capsys.readouterr().out
    assert f"{status} after 0 epochs" in printed
    assert f"to continue: keras-mgnet train --resume {tmp_path / 'run'}" in printed.replace("\n", " ")
    assert checkpoints_of(open_run(tmp_path / "run")).newest()[0] == "epoch-000000-step-000001"
    assert keras.saving.load_model(tmp_path / "run" / "last.keras").input_shape == (None, 8, 8, 1)


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, False), (2, False), (143, True)])
def test_the_script_for_slurm_requeues_what_sigterm_has_stopped(code, requeued, tmp_path):
    for name, body in {"srun": f"exit {code}", "scontrol": 'echo "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    script = ["bash", ROOT / "docs" / "deploy" / "slurm.sh"]
    process = subprocess.run(script, capture_output=True, text=True, env=os.environ | path)
    assert (process.returncode, process.stdout) == ((0, "requeue 7\n") if requeued else (code, ""))


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "epochs", "is_streamed"), [(1, 2, True), (50, 6, False), (20, 3, True)])
def test_runs_killed_at_random_moments_end_with_the_same_weights(
    kills, epochs, is_streamed, tmp_path, tmp_path_factory
):
    command = [sys.executable, ROOT / "tests" / "support" / "crash.py", tmp_path, kills, epochs, 0]
    if is_streamed:
        command.append(write_folder(tmp_path_factory.mktemp("photos"), pictures(80, 20, sides=(20, 40))))
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) == kills
    finished = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    reference, *states = [checkpoints_of(open_run(run)).newest()[1] for run in finished]
    assert states
    for state in states:
        for key, array in reference.items():
            np.testing.assert_array_equal(state[key], array, err_msg=key)
    for run in finished:
        assert not [path for path in run.rglob("*") if path.name.startswith(files.STAGED)]


# Damaged, and full disks


@pytest.mark.parametrize("damage", slow_unless([truncate], [truncate, flip]))
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(damage, whole, stopped):
    damage(stopped.path / "checkpoints" / "epoch-000001-step-000007" / ARRAYS)
    with pytest.warns(UserWarning, match="skipped a damaged checkpoint: .*epoch-000001-step-000007"):
        run = digits(stopped.path, resume=True)
    assert_same(whole, run)


@pytest.mark.parametrize("code", slow_unless([errno.ENOSPC], [errno.ENOSPC, errno.EACCES]))
@pytest.mark.parametrize("place", slow_unless([4], [0, 3, 4, 5, 7, 10]))
def test_a_failed_write_loses_nothing(code, place, whole, stopped, monkeypatch):
    """One write of the resumed run fails: of the log, a model, run.json, or a checkpoint, by its place among them."""
    count, publish = iter(range(10**6)), files.publish

    def failing(staged, target):
        if next(count) == place:
            raise OSError(code, os.strerror(code))
        return publish(staged, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match=os.strerror(code)):
        patch.setattr(files, "publish", failing)
        patch.setattr(checkpoint, "publish", failing)
        digits(stopped.path, resume=True)
    assert_same(whole, digits(stopped.path, resume=True))


# What is kept, and what is refused


def test_the_newest_and_the_best_are_kept(tmp_path):
    run = digits(tmp_path / "run", epochs=6, keep=2, checkpoint_steps=None)
    best = run.record["result"]["best_epoch"]
    expected = {f"epoch-{epoch:06d}" for epoch in (best, 5, 6)}
    assert set(checkpoints_of(run).names()) == expected


@pytest.mark.parametrize(
    "field, changes",
    {
        "learning_rate": {"learning_rate": 0.06},
        "seed": {"seed": 1},
        "set": {"set": {"nu": [1], "channels": 3}},
        "augment": {"augment": "none"},
        "dtype": {"dtype": "mixed_bfloat16"},
        "epochs": {"epochs": 4},
        "validation": {"validation": 0.2},
    }.items(),
)
def test_another_configuration_is_refused_by_its_field(field, changes, whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    with pytest.raises(ValueError, match=rf"expected {field}=.* as in the run in"):
        digits(tmp_path / "run", resume=True, **changes)


def test_other_data_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (32, 8, 8), "uint8"), np.arange(32) % 4
    for name in ("first", "second"):
        np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        images = images[::-1]
        options = {"dataset": f"npz:{tmp_path / 'd.npz'}", "epochs": 1, "batch_size": 16}
        if name == "first":
            digits(tmp_path / "run", **options)
    with pytest.raises(ValueError, match=r"expected sha256=.* as in the run in"):
        digits(tmp_path / "run", resume=True, **options)


def test_a_run_of_before_there_were_validation_images_is_the_same_run(whole):
    config = {key: value for key, value in whole.record["config"].items() if key != "validation"}
    assert "val" not in whole.record["data"] and whole.judge == "test"
    assert digest(whole.record | {"config": config}) == digest(whole.record)


def test_a_finished_run_is_left_alone(whole):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in whole.path.rglob("*")}

    before = stamps()
    assert digits(whole.path, resume=True).record == whole.record
    assert stamps() == before


def test_a_run_directory_in_place_of_a_data_set_is_all_that_resume_needs(stopped, whole, exit_code, capsys):
    assert exit_code("train", "--resume", stopped.path, "--learning-rate", "0.1") == 2
    assert "expected learning_rate=0.05" in capsys.readouterr().err
    assert exit_code("train", "--resume", stopped.path, "--keep", "3") == 0
    run = open_run(stopped.path)
    assert run.record["config"] == whole.record["config"] | {"out": run.record["config"]["out"]}
    assert_same(whole, run)


def test_resume_needs_a_directory():
    with pytest.raises(ValueError, match="expected out, the directory of the run to resume"):
        TrainConfig(resume=True)


def test_resume_starts_a_run_that_has_not_begun(tmp_path):
    (tmp_path / "run" / f"{files.STAGED}killed").mkdir(parents=True)
    assert digits(tmp_path / "run", resume=True, epochs=1).record["result"]["status"] == "finished"


def test_two_processes_do_not_write_one_run(tmp_path):
    with RunWriter(tmp_path, 2, ""), pytest.raises(ValueError, match="expected no other process in the run directory"):
        RunWriter(tmp_path, 2, "").__enter__()


def test_a_kill_between_checkpoint_and_models_is_made_good(whole, tmp_path):
    """best.keras and log.csv are those of the checkpoint again, whatever stood there."""
    with RunWriter(tmp_path / "run", 2, digest(whole.record)) as writer:
        shutil.copytree(whole.path / "checkpoints", writer.checkpoints.directory, dirs_exist_ok=True)
        (writer.directory / "best.keras").write_bytes(b"of a lost epoch")
        model = prepare(TrainConfig.of_run(whole.path)).model
        progress = writer.take_up(model)
        writer.catch_up(model, progress)
    assert progress.epoch == 3
    for name in ("last", "best"):
        copy = keras.saving.load_model(tmp_path / "run" / f"{name}.keras")
        for weight, other in zip(copy.get_weights(), whole.load_model(name).get_weights(), strict=True):
            np.testing.assert_array_equal(weight, other)
    assert (tmp_path / "run" / "log.csv").read_text() == (whole.path / "log.csv").read_text()


# Divergence


def test_a_diverging_run_ends_with_its_last_good_checkpoint(tmp_path, monkeypatch):
    def poison(self, batch, logs=None):
        if self.start.epoch == 1:
            self.model.trainable_variables[0].assign(self.model.trainable_variables[0] * np.nan)
        unpatched(self, batch, logs)

    unpatched = callbacks.StepWatch.on_train_batch_end
    monkeypatch.setattr(callbacks.StepWatch, "on_train_batch_end", poison)
    run = digits(tmp_path / "run")
    result = run.record["result"]
    assert result["status"] == "diverged" and result["epochs"] == 1 and "learning rate" in result["hint"]
    assert checkpoints_of(run).newest()[0] == "epoch-000001"
    assert all(np.isfinite(weight).all() for weight in run.load_model().get_weights())


def test_a_far_too_high_rate_is_divergence_and_exit_code_1(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from keras_mgnet.cli import command_line

    monkeypatch.setattr(callbacks, "CHECK_EVERY", 2)
    options = ["--set", "nu=[1]", "--set", "channels=2", "--learning-rate", "1e30", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(command_line(["train"]), ["train", "digits", *options])
    assert result.exit_code == 1
    assert "diverged" in result.output and "lower the learning rate" in result.output
