"""Data for networks of functions: pairs (x, y) on one grid, from a file, or solved by our multigrid and kept in a cache."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.files import expanded
from keras_mgnet.multigrid.problems import PROBLEMS, ProblemConfig, write_pairs
from keras_mgnet.npz import read_arrays
from keras_mgnet.training.data.arrays import draw
from keras_mgnet.training.data.dataset import CALIBRATING, COMPARED, HELD_OUT, form_of
from keras_mgnet.training.data.plan import Plan
from keras_mgnet.training.data.prefetch import generated

CACHE = "KERAS_MGNET_CACHE"  # environment variable: folder for generated pairs
KEYS, TEST_KEYS = ("x", "y"), ("x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Functions x and y on one grid. A wrong type or shape raises ValueError.

    Example:
        >>> Pairs(np.zeros((2, 8, 8, 1), np.float32), np.zeros((2, 8, 8, 1), np.float32)).x.shape
        (2, 8, 8, 1)
    """

    x: np.ndarray  # (N, H, W, c) float32, finite
    y: np.ndarray  # (N, H, W, d) float32, finite

    def __post_init__(self):
        for name, values in (("x", self.x), ("y", self.y)):
            if values.ndim != 4 or not values.size:
                raise ValueError(f"expected {name} of the shape (N, H, W, c) or (N, H, W). Received: {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"expected finite numbers in {name}. Received: NaN or infinity")
        if self.x.shape[:3] != self.y.shape[:3]:
            raise ValueError(
                f"expected x and y of equally many functions on one grid. Received: {self.x.shape} and {self.y.shape}"
            )


@dataclass(frozen=True, eq=False)
class FunctionPairs:
    """Pairs of functions for training and test."""

    name: str  # the name given to `load_pairs`
    train: Pairs  # at least two, for the statistics of normalisers
    test: Pairs  # on the grid of `train`
    class_names = ()
    judge = "test"  # the pairs that choose the best epoch

    def __post_init__(self):
        shapes = [[part.x.shape[1:], part.y.shape[1:]] for part in (self.train, self.test)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"expected training and test functions of one shape. Received: {shapes[0]} and {shapes[1]}"
            )
        if len(self.train.x) < 2:
            raise ValueError(f"expected at least two pairs for training. Received: {len(self.train.x)}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, c) of an input function."""
        return self.train.x.shape[1:]

    @property
    def mean(self) -> tuple[float, ...]:
        """With `std`, the normalisation of pixels that leaves functions as they are."""
        return (0.0,) * self.input_shape[-1]

    @property
    def std(self) -> tuple[float, ...]:
        return (1 / 255,) * self.input_shape[-1]

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of training and test pairs."""
        return len(self.train.x), len(self.test.x)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All arrays of the data set."""
        return [self.train.x, self.train.y, self.test.x, self.test.y]

    @property
    def model_arguments(self) -> dict[str, Any]:
        """Arguments of a network for these data."""
        return {"input_shape": self.input_shape, "out_channels": self.train.y.shape[-1]}

    def train_batch(self, plan: Plan, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns batch `number` of a plan, counted from 0. The order depends only on the seed and the epoch."""
        epoch, step = plan.place(number)
        order = np.random.default_rng([plan.seed, epoch]).permutation(plan.count)
        chosen = order[step * plan.batch_size : (step + 1) * plan.batch_size]
        return self.train.x[chosen], self.train.y[chosen]

    def export_images(self, compared: int = COMPARED, calibrating: int = CALIBRATING) -> dict[str, np.ndarray]:
        """Returns arguments for `export_model`: test pairs, and training inputs for calibration."""
        test, train = draw(len(self.test.x), compared), draw(len(self.train.x), calibrating)
        return {"samples": self.test.x[test], "labels": self.test.y[test], "calibration": self.train.x[train]}


def load_pairs(name: str, *, grid: int | None = None, pairs: int | None = None) -> FunctionPairs:
    """Loads `pde:PROBLEM` or `npz:FILE`.

    - `pde:PROBLEM` has a problem of `keras_mgnet.multigrid.ProblemConfig`, with `pairs` pairs on grid x grid points. They are
      made once and kept in the folder that the environment variable KERAS_MGNET_CACHE names, by default ~/.cache/keras_mgnet.
    - `npz:FILE` has the arrays x and y, (N, H, W, c) or (N, H, W). The file may also have x_test and y_test.

    Without test arrays, the last fifth of the pairs are the test pairs.

    Raises:
        ValueError: if the problem is unknown, or the arrays are not real and finite, or do not fit together.
        MissingDataError: a ValueError, if the file does not exist.
    """
    _, _, place = name.partition(":")
    if form_of(name) == "npz":
        return _read(name, expanded(place))
    check_known("problem", place, PROBLEMS)
    config = ProblemConfig(place, samples=pairs, grid=grid)
    file = expanded(os.environ.get(CACHE) or "~/.cache/keras_mgnet") / f"{place}-{grid}-{pairs}.npz"
    if not file.is_file():
        write_pairs(config, file)
    return _read(name, file)


def train_batches(data: FunctionPairs, plan: Plan) -> Iterable:
    """Returns batches of (x, y) for `fit`: a tf.data.Dataset on TensorFlow, a PyDataset on JAX."""
    return generated(partial(data.train_batch, plan), len(plan), _shapes(data))


def test_batches(data: FunctionPairs, batch_size: int) -> Iterable:
    """Returns the test pairs in batches, in the same type of object as `train_batches`."""

    def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(number * batch_size, (number + 1) * batch_size)
        return data.test.x[part], data.test.y[part]

    return generated(batch, -(-len(data.test.x) // batch_size), _shapes(data))


def _shapes(data: FunctionPairs) -> tuple[tuple[int | None, ...], ...]:
    return tuple((None, *values.shape[1:]) for values in (data.train.x, data.train.y))


def _read(name: str, file: Path) -> FunctionPairs:
    arrays = read_arrays(file, (*KEYS, *TEST_KEYS))
    has_test = any(key in arrays for key in TEST_KEYS)
    if missing := [key for key in (*KEYS, *(TEST_KEYS if has_test else ())) if key not in arrays]:
        raise ValueError(f"expected the arrays x and y in {file}. Received: no {', '.join(missing)}")
    x, y, *test = (_real(key, arrays[key]) for key in (*KEYS, *TEST_KEYS) if key in arrays)
    if has_test:
        return FunctionPairs(name, Pairs(x, y), Pairs(*test))
    whole, held = Pairs(x, y), max(1, round(HELD_OUT * len(x)))
    train, last = slice(None, -held), slice(-held, None)
    return FunctionPairs(name, Pairs(whole.x[train], whole.y[train]), Pairs(whole.x[last], whole.y[last]))


def _real(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"expected real numbers in {name}. Received: {values.dtype}")
    return (values[..., None] if values.ndim == 3 else values).astype(np.float32)
