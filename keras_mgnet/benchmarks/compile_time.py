"""Times the first training step, which traces and compiles, and the later steps, as the number of iterations nu grows."""

import time

import numpy as np

from keras_mgnet.benchmarks.report import in_process

COLUMNS = {"nu": "nu", "xla": "XLA", "first_s": "first step, s", "ms": "step, ms"}
NU = (2, 4, 8, 16)


def measure() -> tuple[list[dict], dict[str, str]]:
    """Returns the rows, one per nu without XLA and one per nu with XLA, and the headings."""
    return [in_process(first_step, nu, xla) for xla in (False, True) for nu in NU], COLUMNS


def first_step(nu: int, xla: bool) -> dict:
    """Times the first and later steps of MgNet[nu, nu]-16 with shared kernels, on 32 images of 16x16."""
    import keras

    from keras_mgnet import MgNet

    model = MgNet((nu, nu), 16, input_shape=(16, 16, 3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss, jit_compile=xla)
    batch = np.random.default_rng(0).normal(size=(32, 16, 16, 3)).astype("float32"), np.arange(32) % 10
    times = []
    for _ in range(8):
        start = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - start)
    return {"nu": nu, "xla": "on" if xla else "off", "first_s": times[0], "ms": 1000 * float(np.median(times[1:]))}
