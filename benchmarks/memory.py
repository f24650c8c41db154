"""Peak memory and time of a training step as nu grows, the states of the levels kept or computed again (`remat`)."""

import statistics

import numpy as np

from keras_mgnet.benchmarks.race import peak_memory, timed
from keras_mgnet.benchmarks.report import in_process

COLUMNS = {"nu": "nu", "states": "states", "memory_mb": "memory beyond the built model, MB", "ms": "step, ms"}
NU, STEPS = (2, 4, 8, 16), 5


def measure() -> tuple[list[dict], dict[str, str]]:
    """Returns a row for each nu, with the states kept and computed again, and the headings."""
    return [in_process(step, nu, remat) for nu in NU for remat in (False, True)], COLUMNS


def step(nu: int, remat: bool) -> dict:
    """Returns what MgNet[nu,nu,nu,nu]-32 with shared kernels takes to train on 64 images of 32x32."""
    from keras_mgnet import MgNet

    model = MgNet((nu,) * 4, 32, remat=[f"level{j}" for j in range(1, 5)] if remat else ())
    batch = np.random.default_rng(0).normal(size=(64, 32, 32, 3)).astype("float32"), np.arange(64) % 10
    before = peak_memory()
    model.train_on_batch(*batch)
    times = [timed(lambda: model.train_on_batch(*batch)) for _ in range(STEPS)]
    states = "computed again" if remat else "kept"
    return {"nu": nu, "states": states, "memory_mb": peak_memory() - before, "ms": 1000 * statistics.median(times)}
