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
