"""Data for denoising: grey images of any size with Gaussian noise. Training uses random patches, each with fresh noise."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_mgnet.errors import MissingDataError
from keras_mgnet.files import expanded
from keras_mgnet.images import decode
from keras_mgnet.training.data.arrays import draw
from keras_mgnet.training.data.dataset import CALIBRATING, COMPARED
from keras_mgnet.training.data.folder import image_files
from keras_mgnet.training.data.plan import Plan
from keras_mgnet.training.data.prefetch import generated

TEST_SEED = 0  # all runs see the same noise on the test images
PARTS = ("train", "test")
SHAPES = ((None, None, None, 1),) * 2  # of a batch of noisy and of clean images
SIDE = 96  # of the squares on which an export is compared: the sizes of the images differ


@dataclass(frozen=True, eq=False)
class CleanImages:
    """Clean grey images for training and test. The methods return them with and without noise.

    Example:
        >>> grey = np.zeros((20, 24), np.uint8)
        >>> CleanImages("grey", (grey,), (grey,), sigma=25.0, patch_size=8).patches
        8
    """

    name: str  # the name given to `load_images`
    train: tuple[np.ndarray, ...]  # training images, each (H, W) uint8 with H, W >= patch_size
    test: tuple[np.ndarray, ...]  # test images, each (H, W) uint8
    sigma: float  # standard deviation of the noise in grey values; noisy images are neither clipped nor rounded
    patch_size: int  # side of the square training patches
    mean, std = (0.0,), (1 / 255,)  # normalisation that leaves grey values as they are
    class_names = ()
    judge = "test"  # the images that choose the best epoch

    def __post_init__(self):
        least = min(min(image.shape) for image in self.train)
        if least < self.patch_size:
            raise ValueError(
                f"expected training images of at least patch_size={self.patch_size} pixels a side. Received: {least}"
            )

    @property
    def input_shape(self) -> tuple[None, None, int]:
        """(H, W, C) of the images. H and W are None, because the images have different sizes."""
        return None, None, 1

    @property
    def counts(self) -> tuple[int, int]:
        """(training patches per epoch, test images)."""
        return self.patches, len(self.test)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All images of the data set."""
        return [*self.train, *self.test]

    @property
    def model_arguments(self) -> dict[str, Any]:
        """Arguments of a network for these data. Empty, because a denoiser takes images of any size."""
        return {}

    @cached_property
    def patches(self) -> int:
        """Number of patches per epoch. An image of n pixels gives n / patch_size^2 patches, rounded up."""
        return sum(self._per_image)

    @cached_property
    def _per_image(self) -> list[int]:
        return [-(-image.size // self.patch_size**2) for image in self.train]

    @cached_property
    def _sources(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.train)), self._per_image)

    def train_batch(self, plan: Plan, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns batch `number` of a plan, counted from 0, as (noisy, clean), each (B, S, S, 1) float32 with S = patch_size.

        Each patch is cropped at a random position, rotated by a random multiple of 90 degrees, and mirrored at random. The random
        numbers depend only on the seed, the epoch and the position of the patch in the epoch.
        """
        epoch, step = plan.place(number)
        order = np.random.default_rng([plan.seed, epoch]).permutation(self.patches)
        places = range(step * plan.batch_size, min((step + 1) * plan.batch_size, self.patches))
        pairs = [self._patch(order[place], np.random.default_rng([plan.seed, epoch, place])) for place in places]
        return tuple(np.stack(part) for part in zip(*pairs, strict=True))

    def _patch(self, source: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        image, size = self.train[self._sources[source]], self.patch_size
        top, left = (rng.integers(length - size, endpoint=True) for length in image.shape)
        turned = np.rot90(image[top : top + size, left : left + size], rng.integers(4))
        clean = (turned.T if rng.integers(2) else turned)[..., None].astype(np.float32)
        return self._noisy(clean, rng), clean

    def test_pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns a test image as (noisy, clean), each (1, H, W, 1) float32. The noise depends only on the index."""
        clean = self.test[index][None, ..., None].astype(np.float32)
        return self._noisy(clean, np.random.default_rng([TEST_SEED, index])), clean

    def test_squares(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns central squares of all test images as (noisy, clean), each (N, S, S, 1) float32.

        S is `side`, or the shortest side of a test image if that is smaller.
        """
        side = min(side, *(length for image in self.test for length in image.shape))
        pairs = ([_middle(image, side) for image in self.test_pair(i)] for i in range(len(self.test)))
        return tuple(np.concatenate(part) for part in zip(*pairs, strict=True))

    def export_images(self, compared: int = COMPARED, calibrating: int = CALIBRATING) -> dict[str, np.ndarray]:
        """Returns arguments for `export_model`: noisy and clean squares of the test images, and noisy patches for calibration."""
        noisy, clean = self.test_squares(SIDE)
        test = draw(len(noisy), compared)
        calibration, _ = self.train_batch(Plan(0, self.patches, calibrating, 0, 0, epochs=1), 0)
        return {"samples": noisy[test], "labels": clean[test], "calibration": calibration}

    def _noisy(self, clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return clean + np.float32(self.sigma) * rng.standard_normal(clean.shape, np.float32)


def load_images(name: str, *, sigma: float, patch_size: int) -> CleanImages:
    """Reads the images of `denoise:DIR`: DIR/train*/* and DIR/test*/*, of any size. Colour images become grey."""
    root = expanded(name.partition(":")[2])
    if not root.exists():
        raise MissingDataError(f"no such folder: '{root}'")
    parts = {part: _read(root, part) for part in PARTS}
    return CleanImages(name, **parts, sigma=sigma, patch_size=patch_size)


def train_batches(images: CleanImages, plan: Plan) -> Iterable:
    """Returns batches of (noisy, clean) patches for `fit`: a tf.data.Dataset on TensorFlow, a PyDataset on JAX."""
    return generated(lambda number: images.train_batch(plan, number), len(plan), SHAPES)


def test_batches(images: CleanImages) -> Iterable:
    """Returns the test images as batches of one (noisy, clean) pair, in the same type of object as `train_batches`."""
    return generated(images.test_pair, len(images.test), SHAPES)


def _middle(images: np.ndarray, side: int) -> np.ndarray:
    top, left = ((length - side) // 2 for length in images.shape[1:3])
    return images[:, top : top + side, left : left + side]


def _read(root: Path, part: str) -> tuple[np.ndarray, ...]:
    folders = sorted(folder for folder in root.glob(f"{part}*") if folder.is_dir())
    paths = [path for folder in folders for path in image_files(folder)]
    if not paths:
        raise ValueError(f"expected images in a folder {part}* of {root}. Received: none")
    return tuple(decode(path, channels=1)[..., 0] for path in paths)
