"""The images of the searches."""

import numpy as np
import pytest

from keras_mgnet.training.data.dataset import load


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A few digits, so that a trial is a matter of tracing."""
    digits = load("digits")
    parts = {}
    for name, split, count in (("train", digits.train, 12), ("test", digits.test, 3)):
        chosen = np.concatenate([np.flatnonzero(split.labels == digit)[:count] for digit in range(10)])
        parts |= {f"x_{name}": split.images[chosen], f"y_{name}": split.labels[chosen]}
    path = tmp_path_factory.mktemp("data") / "few.npz"
    np.savez(path, **parts)
    return f"npz:{path}"
