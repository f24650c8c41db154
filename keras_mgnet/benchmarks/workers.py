"""Times a training step on 1, 2 and 4 worker processes of one machine, and tries Keras' own `fit` on two.

    python -m keras_mgnet.benchmarks.workers --out docs/records/distributed

All processes share the same cores and make the same global batch, so the figures show what a step costs more, not what
several machines gain.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from keras_mgnet.benchmarks.report import environment, markdown, write

WORKERS, ROUNDS, STEPS, WARM, BATCH = (1, 2, 4), 3, 100, 20, 32
COLUMNS = {"workers": "processes", "ms": "step, ms", "over_one": "over one process", "stock": "Keras' own fit"}
OWN, STOCK = "own", "stock"


def measure(out: Path) -> None:
    """Times a training step with each number of workers in turn, for several rounds, and writes the median of each number."""
    times = [[_run(count, OWN)["ms"] for count in WORKERS] for _ in range(ROUNDS)]
    by_count = [median(column) for column in zip(*times, strict=True)]
    rows = [
        {"workers": n, "ms": ms, "over_one": ms / by_count[0], "stock": "" if n == 1 else _run(n, STOCK)["fit"]}
        for n, ms in zip(WORKERS, by_count, strict=True)
    ]
    record = {"rows": rows, "rounds": times, "environment": environment("tensorflow", "keras", "keras-mgnet")}
    write(out, "workers", record, markdown(rows, COLUMNS))


def _run(count: int, fit: str) -> dict:
    """Returns what the first of `count` workers prints."""
    ports = [_free_port() for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    command, pipes = (
        [sys.executable, "-m", __spec__.name, "--fit", fit],
        {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL},
    )
    processes = []
    for i in range(count):
        task = (
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})} if count > 1 else {}
        )
        processes.append(subprocess.Popen(command, env=os.environ | task, text=True, **pipes))
    outputs = [process.communicate()[0] for process in processes]
    return json.loads(outputs[0].splitlines()[-1])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def worker(fit: str) -> None:
    """Trains a small network and prints the median milliseconds of a step, or how Keras' own `fit` ended."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_mgnet import MgNet
    from keras_mgnet.training.loop.strategy import connect

    strategy = connect("auto")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(BATCH, 16, 16, 3)).astype("float32"), rng.integers(0, 10, BATCH).astype("int32")
    batches = tf.data.Dataset.from_tensors(data).repeat(STEPS)
    with strategy.scope():
        model = MgNet((1, 1), 8, input_shape=(16, 16, 3))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
    times: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.perf_counter()))
    if fit == OWN:
        strategy.install(model, False)
        model.fit(strategy.distribute(batches), steps_per_epoch=STEPS, shuffle=False, callbacks=[watch], verbose=0)
        print(json.dumps({"ms": 1000 * float(np.median(np.diff(times[WARM:])))}), flush=True)
        return
    try:
        keras.Model.fit(model, batches, steps_per_epoch=STEPS, verbose=0)
        print(json.dumps({"fit": "trains"}), flush=True)
    except Exception as error:  # any: this is the measurement
        print(json.dumps({"fit": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:80]}"}), flush=True)
        os._exit(1)  # the other workers wait for this one


def main(
    out: Annotated[Path, typer.Option(help="folder for workers.json and workers.md")] = Path(),
    fit: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Times a training step on several worker processes of this machine."""
    if fit:
        worker(fit)
    else:
        measure(out)


if __name__ == "__main__":
    typer.run(main)
