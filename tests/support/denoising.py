"""Small runs of denoisers."""

import io

import numpy as np
from PIL import Image
from rich.console import Console

from keras_mgnet.training.loop import loop
from keras_mgnet.training.loop.config import TrainConfig


def write_images(root):
    """Writes smooth images of several sizes, two of them in colour, as folders train_a and test. Returns `root`."""
    for part, sizes in (("train_a", [(24, 20), (20, 33)]), ("test", [(17, 12), (12, 18), (9, 30)])):
        (root / part).mkdir()
        for number, (height, width) in enumerate(sizes):
            rows, columns = np.mgrid[:height, :width]
            grey = np.rint(127 + 60 * np.sin(rows / 4 + number) + 60 * np.cos(columns / 5)).astype(np.uint8)
            image = np.stack([grey] * 3, axis=-1) if number == 1 else grey
            Image.fromarray(image).save(root / part / f"{number}.png")
    return root


def config(folder, out=None, **changes):
    small = {"set": {"stages": 2, "filter_size": 3}, "epochs": 3, "patch_size": 8, "batch_size": 6}
    return TrainConfig(f"denoise:{folder}", **small | changes, out=out and str(out))


def train(folder, out, **changes):
    return loop.train(config(folder, out, **changes), Console(file=io.StringIO()))
