"""A program that starts trainings, kills them with SIGKILL, and resumes them until they have finished.

Half of the kills come at a random time. The other half come at a random file operation (fsync or rename); many of these
operations belong to the writing of a checkpoint. Each training process is a fork of one process that has imported everything,
so that a new process costs little time. The images of DATASET are decoded when they are needed, and cropped at random.

    python crash.py OUT KILLS EPOCHS SEED [DATASET]    # prints the number of kills

OUT/0 is a run without kills. OUT/1, OUT/2, ... are finished runs of the same configuration with kills.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console

from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train

CONFIG = {
    "dataset": "digits",
    "model": "resnet20",
    "set": {"blocks": [1, 1], "base_width": 2, "survival": 0.5},
    "batch_size": 128,
    "augment": "crop_flip",
    "schedule": "cosine",
    "checkpoint_steps": 3,
    "reproducible": True,
    "resume": True,
    "keep": 1,
}


STREAMED = {"stream": "on", "image_size": 16, "batch_size": 8, "augment": "scale_aspect_flip"}


def live(out: str, epochs: int, fatal_operation: int | None, changes: dict) -> None:
    """Trains until the end, or until the file operation with the number `fatal_operation`, which kills the process."""
    if fatal_operation is not None:
        _die_at(fatal_operation)
    train(TrainConfig(**CONFIG | changes, epochs=epochs, out=out), Console(quiet=True))


def _die_at(number: int) -> None:
    count = 0

    def dying(operation):
        def run(*args, **kwargs):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return run

    os.fsync, os.replace, os.rename, Path.replace = map(dying, (os.fsync, os.replace, os.rename, Path.replace))


def main(out: str, kills: int, epochs: int, seed: int, dataset: str | None = None) -> None:
    """Trains runs, and kills and resumes each run until it has finished. Starts new runs until there were `kills` kills."""
    rng, killed, run = random.Random(seed), 0, 0
    changes = STREAMED | {"dataset": dataset} if dataset else {}
    while killed < kills:
        child = os.fork()
        if child == 0:
            live(f"{out}/{run}", epochs, rng.randint(1, 25 * epochs) if run and killed % 2 == 0 else None, changes)
            os._exit(0)
        if run and killed % 2:
            time.sleep(rng.uniform(0.5, 5))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status):
            sys.exit(f"a life failed with {os.WEXITSTATUS(status)}")
        else:
            run += 1
    live(f"{out}/{run}", epochs, None, changes)
    print(killed)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), *sys.argv[5:])
