"""Polynomial smoothers by their roots."""

import numpy as np
import pytest
from keras.ops import convert_to_tensor as tensor

from keras_mgnet.layers import GridLevel, PolynomialSmoother
from support.twins import close


@pytest.mark.parametrize(("kind", "nu"), [("linear", 2), ("quadratic", 1), ("quadratic", 3), ("double", 1)])
def test_the_residual_vanishes_at_the_roots(kind, nu):
    """r <- prod (I - A / z) r, so A with these eigenvalues is solved exactly: a z of each step, or a rotation a +- ib."""
    plain = {"B": (None, None), "dtype": "float64"}
    level = GridLevel(2, 2, nu, smoother=PolynomialSmoother(nu, kind, dtype="float64"), **plain)
    level.build((None, 3, 3, 2))
    alpha = [w.numpy() for w in level.scheme.alpha]
    if kind == "quadratic":
        p, q = alpha[-1] / (alpha[-1] @ alpha[-1])
        A = np.array([[p, -q], [q, p]])
    elif kind == "double":  # I - alpha A^2
        A = np.diag([1, -1]) * np.sqrt(abs(1 / alpha[0]))
        level.scheme.alpha[0].assign(abs(alpha[0]))
    else:
        A = np.diag([1 / a[0] for a in alpha])
    level.field.A[0].kernel.assign(np.pad(A[None, None], ((1, 1), (1, 1), (0, 0), (0, 0))))
    f = np.random.default_rng(0).normal(size=(2, 3, 3, 2))
    u, r = level(tensor(f))
    close(r, np.zeros_like(f), 1e-12 * np.abs(u).max())
    close(u @ A, f, 1e-11)


def test_roots_start_within_their_bound_and_apart():
    scheme = PolynomialSmoother(4, "quadratic")
    scheme.build((None, 8, 8, 12))
    roots = [w.numpy() / (w.numpy() @ w.numpy()) for w in scheme.alpha]
    assert [len(z) for z in roots] == [1, 1, 1, 2]
    assert max(np.abs(z).max() for z in roots) <= np.sqrt(6 / 24)
    assert len({round(float(z[0]), 6) for z in roots}) == 4


def test_polynomials_need_equal_channels():
    with pytest.raises(
        ValueError,
        match=r"expected channels_f == channels for a smoother without B\. Received: channels_f=3, channels=2",
    ):
        GridLevel(2, 3, 1, smoother=PolynomialSmoother(1))
