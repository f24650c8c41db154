"""The transfer of a cycle, down and up."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from keras.ops import convert_to_tensor as tensor

from keras_mgnet.layers import CycleTransfer
from support.twins import adjoint, close


@given(size=st.tuples(st.integers(3, 9), st.integers(3, 9)))
def test_the_way_up_is_the_adjoint_of_the_way_down(size):
    transfer = CycleTransfer(4, normalize=False, dtype="float64")
    rng = np.random.default_rng(0)
    r = tensor(rng.normal(size=(2, *size, 3)))
    down = transfer(r).numpy()
    e = rng.normal(size=down.shape)
    up = transfer(r, tensor(e)).numpy()
    assert abs(np.vdot(down, e) - np.vdot(r, up)) <= 1e-12 * np.linalg.norm(down) * np.linalg.norm(e)
    close(up, adjoint(e, transfer.R.conv.kernel.numpy(), size), 1e-12)
