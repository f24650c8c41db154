"""Times the input pipeline without training, for each augmentation, on noise images that do not fit into a processor cache."""

import time

import numpy as np

from keras_mgnet.benchmarks.report import in_process

BATCH, IMAGES = 128, 50_000
COLUMNS = {"augment": "augmentation", "images_per_second": "images/s", "ms": "ms a batch of 128"}


def measure(seconds: float) -> tuple[list[dict], dict[str, str]]:
    """Returns one row per augmentation, and the headings."""
    from keras_mgnet.augmentations import AUGMENTATIONS

    return [in_process(rate, augment, seconds) for augment in AUGMENTATIONS], COLUMNS


def rate(augment: str, seconds: float) -> dict:
    """Returns the row of an augmentation: the number of 32x32x3 images per second that are shuffled, augmented and normalised."""
    from keras_mgnet.training.data.dataset import Split
    from keras_mgnet.training.data.pipeline import train_batches

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (IMAGES, 32, 32, 3), "uint8"), rng.integers(0, 10, IMAGES, "int32"))
    options = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "seed": 0, "augment": augment, "epochs": 1000, "classes": 10}
    batches = iter(train_batches(split, BATCH, **options))
    for _ in range(20):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or count < 20:
        next(batches)
        count += 1
    each = (time.perf_counter() - start) / count
    return {"augment": augment, "images_per_second": BATCH / each, "ms": 1000 * each}
