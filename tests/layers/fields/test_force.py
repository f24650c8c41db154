"""The forces of the stable networks: adjoints and skew maps."""

from functools import partial

import numpy as np
import pytest

from keras_mgnet.layers import Conv, Force, SkewConv
from support.twins import matrix


@pytest.mark.parametrize("shape", [(3, 4, 2), (1, 1, 3), (2, 5, 1)])
def test_the_adjoint_is_the_transposed_matrix(shape):
    force = Force(shape[-1], ("single", "adjoint"), (1.0, 1.0), shared=True, activation="linear", dtype="float64")
    force.build((None, *shape))
    K, KT = (matrix(partial(force, i=i), shape) for i in range(2))
    assert np.abs(KT - K.T).max() <= 1e-14


@pytest.mark.parametrize("inner", [1, 5])
def test_a_gradient_has_a_symmetric_jacobian_with_any_number_of_inner_channels(inner):
    """K^T K is symmetric and has no negative eigenvalues; its rank is at most that of K."""
    shape = (2, 3, 2)
    force = Force(2, ("gradient",), (1.0,), inner=inner, activation="linear", dtype="float64")
    force.build((None, *shape))
    K = matrix(force.K[0], shape)
    assert K.shape == (6 * inner, 12) and force.b[0].shape == (inner,)
    np.testing.assert_allclose(matrix(force, shape), K.T @ K, atol=1e-13)
    with pytest.raises(ValueError, match=r"expected inner only with K or K\^T in all forms\. Received: forms="):
        Force(2, ("skew",), (1.0,), inner=inner)


def test_the_skew_convolution_is_K_minus_its_adjoint_and_has_imaginary_eigenvalues():
    shape = (3, 4, 2)
    K = SkewConv(2, dtype="float64")
    K.build((None, *shape))
    skew = matrix(K, shape)
    single = Conv(2, dtype="float64")
    single.build((None, *shape))
    single.kernel.assign(K.kernel)
    np.testing.assert_allclose(skew, matrix(single, shape) - matrix(single, shape).T, atol=1e-14)
    assert np.abs(skew + skew.T).max() <= 1e-15
    assert np.abs(np.linalg.eigvals(skew).real).max() <= 1e-12


@pytest.mark.parametrize("forms", [("skew", "single"), ("gradient", "damped_skew")])
def test_a_shared_convolution_is_skew_for_all_forms_or_for_none(forms):
    with pytest.raises(ValueError, match=r"expected no forms with K - K\^T beside others .* Received: forms=\('"):
        Force(2, forms, (1.0, 1.0), shared=True)
    assert len(Force(2, forms[:1] * 2, (1.0, 1.0), shared=True).K) == 1
