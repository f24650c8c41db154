"""The transfers between two grids of a multigrid cycle, for the way down and the way up."""

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers.operators.families import build_all, identity
from keras_mgnet.layers.operators.norm import norm_layer
from keras_mgnet.layers.transfers.transfer import Restriction
from keras_mgnet.serialization import serializable


@serializable
class CycleTransfer(keras.layers.Layer):
    """Transfers between two grids of a V-cycle with one kernel R: s(R *_2 r) on the way down, R *_2^T e on the way up.

    On the way down, `transfer(r)` maps (N, H, W, c) to (N, ceil(H/2), ceil(W/2), channels). On the way up, `transfer(r, e)` maps
    the correction e of the coarse grid to the grid of r. R *_2 is the convolution with stride 2. R *_2^T is its exact adjoint, on
    grids of even and of odd size.

    Args:
        channels: number of channels of the coarse grid.
        normalize: whether s is a norm followed by the activation. If not, s is the identity.
        activation, norm, init: as in `Chain`.

    Example:
        >>> transfer, r = CycleTransfer(8), ops.ones((1, 7, 7, 4))
        >>> e = transfer(r)
        >>> tuple(e.shape), tuple(transfer(r, e).shape)
        ((1, 4, 4, 8), (1, 7, 7, 4))
    """

    def __init__(
        self,
        channels: int,
        *,
        normalize: bool = True,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.R = Restriction(channels, init=init, name="R", dtype=policy)
        sigma = {"foldable": False, "name": "s", "dtype": policy}
        self.s = norm_layer(norm, activation, **sigma) if normalize else identity

    def build(self, r_shape: Shape, e_shape: Shape | None = None) -> None:
        self.R.build(r_shape)
        build_all(self.R.compute_output_shape(r_shape), [self.s])

    def compute_output_shape(self, r_shape: Shape, e_shape: Shape | None = None) -> Shape:
        return self.R.compute_output_shape(r_shape) if e_shape is None else tuple(r_shape)

    def call(self, r: Tensor, e: Tensor | None = None) -> Tensor:
        return self.s(self.R(r)) if e is None else self.R.conv.adjoint(e, ops.shape(r)[1:3])
