"""Stops runs, and damages checkpoints."""

import os
import signal

from keras_mgnet.training.loop import callbacks
from keras_mgnet.training.loop.identity import digest
from keras_mgnet.training.runs.checkpoint import Checkpoints


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Makes training send signal `number` to this process in step `step`, counted from 1 over all epochs."""
    unpatched, count = callbacks.StepWatch.on_train_batch_end, iter(range(1, 10**6))

    def patched(self, batch, logs=None):
        if next(count) == step:
            os.kill(os.getpid(), number)
        unpatched(self, batch, logs)

    monkeypatch.setattr(callbacks.StepWatch, "on_train_batch_end", patched)


def checkpoints_of(run):
    return Checkpoints(run.path / "checkpoints", digest(run.record))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def record(config=None, *, input_shape=(8, 8, 1), params=300, status="finished", **result):
    """Returns the content of a whole run.json; `config` and `result` have what the test is about."""
    config = {"dataset": "digits", "model": "mgnet_2222_c64_shared_b", "set": {}, "batch_size": 128, "seed": 0} | (
        config or {}
    )
    channels = input_shape[-1]
    ended = {"seconds": 1.0, "epochs": 1, "best_epoch": 1, "last_test_loss": 2.0}
    accuracies = {"last_test_accuracy": 0.5, "best_test_accuracy": 0.5}
    return {
        "created": "2026-01-01T00:00:00+00:00",
        "command": "keras-mgnet train",
        "versions": {"python": "3.11.0", "jax": None},
        "config": config,
        "recipe": "source",
        "training": {"nesterov": False, "decayed": "all", "milestones": [], "replicas": 1},
        "data": {
            "input_shape": list(input_shape),
            "class_names": list("0123456789"),
            "mean": [0.5] * channels,
            "std": [0.25] * channels,
            **{"train": 100, "test": 20, "sha256": "0"},
        },
        "model": {"family": "MgNet", "params": params, "config": {}},
        "result": {"status": status, **ended, **accuracies, **result},
    }
