"""Measures peak memory and time of a training step as nu grows, with the levels' states stored or recomputed (`remat`)."""

import statistics

import numpy as np

from keras_mgnet.benchmarks.race import peak_memory, timed
from keras_mgnet.benchmarks.report import in_process

COLUMNS = {
    "nu": "nu", "states": "states", "memory_mb": "memory beyond the built model, MB", "one_image_mb": "the same on one image",
    "ms": "step, ms",
}  # fmt: skip
NU, BATCH, STEPS = (2, 4, 8, 16), 64, 5


def measure() -> tuple[list[dict], dict[str, str]]:
    """Returns the rows, two per nu with states stored and with states recomputed, and the headings."""
    return [row(nu, remat) for nu in NU for remat in (False, True)], COLUMNS


def row(nu: int, remat: bool) -> dict:
    """Returns memory and time of training steps on a batch, and the memory on one image, which is mostly the traced program."""
    (memory, ms), (one_image, _) = (in_process(step, nu, remat, batch) for batch in (BATCH, 1))
    states = "computed again" if remat else "kept"
    return {"nu": nu, "states": states, "memory_mb": memory, "one_image_mb": one_image, "ms": ms}


def step(nu: int, remat: bool, batch: int) -> tuple[float, float]:
    """Returns the MB and ms of a training step of MgNet[nu,nu,nu,nu]-32 with shared kernels, on images of 32x32."""
    from keras_mgnet import MgNet

    model = MgNet((nu,) * 4, 32, remat=[f"level{j}" for j in range(1, 5)] if remat else ())
    images = np.random.default_rng(0).normal(size=(batch, 32, 32, 3)).astype("float32"), np.arange(batch) % 10
    before = peak_memory()
    model.train_on_batch(*images)
    times = [timed(lambda: model.train_on_batch(*images)) for _ in range(STEPS)]
    return peak_memory() - before, 1000 * statistics.median(times)
