"""Times a training step on 1, 2 and 4 worker processes of one machine, beside the model of a step, and tries Keras' own `fit`.

    python -m keras_mgnet.benchmarks.workers --out docs/records/distributed

All processes share the same cores and the same global batch, so the figures show what a step costs more, not what several
machines gain. Latency and bandwidth of the model are those that the smallest and the largest network have on two processes. All
other times on several processes are predictions.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from keras_mgnet.benchmarks.report import environment, markdown, write
from keras_mgnet.training.tables.scaling import BYTES, Cluster

WORKERS, CHANNELS, ROUNDS, STEPS, WARM, BATCH = (1, 2, 4), (8, 32, 64, 128), 3, 60, 20, 32
COLUMNS = {
    "channels": "channels",
    "params": "parameters",
    "workers": "processes",
    "ms": "step, ms",
    "predicted": "predicted, ms",
    "error": "error of the prediction",
}
OWN, STOCK = "own", "stock"

Times = dict[tuple[int, int], float]  # (channels, workers) -> seconds of a step


def measure(out: Path) -> None:
    """Times a training step of each network with each number of workers in turn, for several rounds, and writes the medians."""
    cases = [(channels, count) for channels in CHANNELS for count in WORKERS]
    rounds = [[_run(*case, OWN) for case in cases] for _ in range(ROUNDS)]
    times = {case: median(r["seconds"] for r in found) for case, *found in zip(cases, *rounds, strict=True)}
    params = {channels: found["params"] for (channels, _), found in zip(cases, rounds[0], strict=True)}
    network = calibrated(times, params)
    rows = [_row(*case, times, params, network) for case in cases]
    stock = {count: _run(CHANNELS[0], count, STOCK)["fit"] for count in WORKERS[1:]}
    record = {"rows": rows, "network": network, "stock": stock, "rounds": rounds}
    record["environment"] = environment("tensorflow", "keras", "keras-mgnet")
    write(out, "workers", record, markdown(rows, COLUMNS))


def calibrated(times: Times, params: dict[int, int]) -> dict[str, float]:
    """Returns latency and bandwidth, from the exchanges of the smallest and the largest network between two processes."""
    small, large = (
        (times[c, 2] - times[c, 1]) / 2 for c in (CHANNELS[0], CHANNELS[-1])
    )  # seconds of each of two messages
    sent = [BYTES * params[c] / 2 for c in (CHANNELS[0], CHANNELS[-1])]
    bandwidth = (sent[1] - sent[0]) / (large - small)
    return {"latency": small - sent[0] / bandwidth, "bandwidth": bandwidth}


def _row(
    channels: int, workers: int, times: Times, params: dict[int, int], network: dict[str, float]
) -> dict[str, Any]:
    row = {"channels": channels, "params": params[channels], "workers": workers, "ms": 1e3 * times[channels, workers]}
    if workers == 1 or (workers == 2 and channels in (CHANNELS[0], CHANNELS[-1])):
        return row | {"predicted": "", "error": ""}
    rate = 3 * BATCH / times[channels, 1] / workers  # of a network with one multiply-add; the processes share the cores
    predicted = Cluster(workers, rate=rate, **network).step(1, params[channels], BATCH)
    return row | {"predicted": 1e3 * predicted, "error": f"{predicted / times[channels, workers] - 1:+.0%}"}


def _run(channels: int, count: int, fit: str) -> dict[str, Any]:
    """Returns what the first of `count` workers prints."""
    ports = [_free_port() for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    command, pipes = (
        [sys.executable, "-m", __spec__.name, "--fit", fit, "--channels", str(channels)],
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


def worker(fit: str, channels: int) -> None:
    """Trains a small network and prints the median seconds of a step, or how Keras' own `fit` ended."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_mgnet import MgNet, count_params
    from keras_mgnet.training.loop.strategy import connect

    strategy = connect("auto")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(BATCH, 16, 16, 3)).astype("float32"), rng.integers(0, 10, BATCH).astype("int32")
    batches = tf.data.Dataset.from_tensors(data).repeat(STEPS)
    with strategy.scope():
        model = MgNet((1, 1), channels, input_shape=(16, 16, 3))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
    times: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.perf_counter()))
    if fit == OWN:
        strategy.install(model, False)
        model.fit(strategy.distribute(batches), steps_per_epoch=STEPS, shuffle=False, callbacks=[watch], verbose=0)
        seconds = float(np.median(np.diff(times[WARM:])))
        print(json.dumps({"seconds": seconds, "params": count_params(model)}), flush=True)
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
    channels: Annotated[int, typer.Option(hidden=True)] = CHANNELS[0],
) -> None:
    """Times a training step on several worker processes of this machine."""
    if fit:
        worker(fit, channels)
    else:
        measure(out)


if __name__ == "__main__":
    typer.run(main)
