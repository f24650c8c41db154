"""Nonlinear diffusion with a reaction: u' = -K^T psi(K u) - lambda (u - f), where K is a bank of filters on a mirrored grid."""

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Map, Shape, Tensor
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.conv import record
from keras_mgnet.layers.operators.rbf import RadialBasis
from keras_mgnet.serialization import serializable


def reaction_diffusion(u: Tensor, f: Tensor, K: "FilterBank", psi: Map, lambda_: Tensor) -> Tensor:
    """Returns -K^T psi(K u) - lambda (u - f), the increment of u in an explicit step of reaction-diffusion, Chen & Pock 2017 (4).

    Args: u, f (N, H, W, 1) are the state and the data; K is a bank of n filters; psi maps K u (N, H, W, n) to the same shape;
    lambda_ is the strength of the reaction.
    """
    return -K.adjoint(psi(K(u))) - lambda_ * (u - f)


def mirrored(u: Tensor, margin: int) -> Tensor:
    """Extends u (N, H, W, c) by `margin` pixels on all sides, mirrored at the edges: b a | a b ... y z | z y."""
    for axis in (1, 2):
        before, behind = _reversed_ends(u, axis, margin)
        u = ops.concatenate([before, u, behind], axis)
    return u


def mirrored_adjoint(v: Tensor, margin: int) -> Tensor:
    """Applies the adjoint of `mirrored`: adds the values beyond an edge to the pixels that `mirrored` copies there.

    v is (N, H + 2 margin, W + 2 margin, c). H and W must be at least 2 margin.
    """
    for axis in (2, 1):
        before, behind = _reversed_ends(v, axis, margin)
        first, middle, last = (
            _cut(v, axis, *ends) for ends in ((margin, 2 * margin), (2 * margin, -2 * margin), (-2 * margin, -margin))
        )
        v = ops.concatenate([first + before, middle, last + behind], axis)
    return v


def _reversed_ends(x: Tensor, axis: int, margin: int) -> tuple[Tensor, Tensor]:
    """Returns the first `margin` and the last `margin` pixels along an axis, each in reverse order.

    The function slices, because tf2onnx does not convert `ops.flip` correctly.
    """
    return _cut(x, axis, margin - 1, None, -1), _cut(x, axis, None, -margin - 1, -1)


def _cut(x: Tensor, axis: int, *ends: int | None) -> Tensor:
    return x[:, slice(*ends)] if axis == 1 else x[:, :, slice(*ends)]


def cosines(size: int) -> np.ndarray:
    """Returns the orthonormal DCT-II basis of size x size images, (size^2, size^2), an image per column.

    The first image is constant.
    """
    n = np.arange(size)
    basis = np.sqrt(2 / size) * np.cos(np.pi * (n[:, None] + 0.5) * n / size)
    basis[:, 0] /= np.sqrt(2)
    return np.kron(basis, basis)


class FilterBank(keras.layers.Layer):
    """A bank K of n filters on an image that is mirrored at its edges: (N, H, W, 1) -> (N, H, W, n).

    A subclass defines `kernel`. The size m of the filters is odd.
    """

    def kernel(self) -> Tensor:
        """Returns the filters, (m, m, 1, n)."""
        raise NotImplementedError

    def call(self, u: Tensor) -> Tensor:
        kernel = self.kernel()
        record(self, tuple(u.shape)[1:3], kernel.shape)
        return ops.conv(mirrored(u, kernel.shape[0] // 2), kernel, 1, "valid", data_format="channels_last")

    def adjoint(self, v: Tensor) -> Tensor:
        """Returns K^T v. K^T is the exact adjoint, <K u, v> = <u, K^T v>, also at the edges.

        Args:
            v: (N, H, W, n), H and W at least m - 1.
        """
        kernel = self.kernel()
        record(self, tuple(v.shape)[1:3], kernel.shape)
        spread = ops.conv_transpose(v, kernel, 1, "valid", data_format="channels_last")
        return mirrored_adjoint(spread, kernel.shape[0] // 2)


@serializable
class CosineFilters(FilterBank):
    """Learned filters of zero mean and unit norm: k_i = sum_{j > 0} c_ij d_j / ||c_i||.

    d_0, d_1, ... is the DCT basis of m x m images, and d_0 is constant. Each filter has m^2 coefficients c_ij, as counted in the
    published sizes. c_i0 has no effect, because neither the sum nor the norm includes it. The initial filters are d_1, d_2, ....

    Args:
        size: m, odd and at least 3.
        count: n, at most m^2 - 1; None for m^2 - 1.

    Example:
        >>> K = CosineFilters(5)
        >>> tuple(K(keras.ops.ones((1, 8, 9, 1))).shape)
        (1, 8, 9, 24)
    """

    def __init__(
        self, size: int = 5, count: int | None = None, *, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if size % 2 != 1 or size < 3:
            raise ValueError(f"expected filters of odd size >= 3. Received: size={size!r}")
        self.size, self.count = size, size**2 - 1 if count is None else count
        if not 1 <= self.count < size**2:
            raise ValueError(f"expected 1 to {size**2 - 1} filters of size {size}. Received: count={count!r}")

    def build(self, shape: Shape) -> None:
        start = np.eye(self.size**2, self.count, -1)
        self.c = self.add_weight(shape=start.shape, initializer=lambda shape, dtype: ops.array(start, dtype), name="c")

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.count)

    def kernel(self) -> Tensor:
        c = ops.convert_to_tensor(self.c)[1:]
        unit = c / ops.sqrt(ops.sum(c**2, axis=0))
        kernel = ops.matmul(ops.array(cosines(self.size)[:, 1:], unit.dtype), unit)
        return ops.reshape(kernel, (self.size, self.size, 1, self.count))


class Coarsening(keras.layers.Layer):
    """Full weighting A of an image that is mirrored at its edges: (N, H, W, 1) -> (N, ceil(H/2), ceil(W/2), 1)."""

    def kernel(self) -> Tensor:
        """Returns the stencil [1 2 1; 2 4 2; 1 2 1] / 16, (3, 3, 1, 1)."""
        hat = np.array([1, 2, 1]) / 4
        return ops.array(np.outer(hat, hat)[:, :, None, None], self.compute_dtype)

    def call(self, u: Tensor) -> Tensor:
        return ops.conv(mirrored(u, 1), self.kernel(), 2, "valid", data_format="channels_last")

    def adjoint(self, v: Tensor, grid: Tensor) -> Tensor:
        """Returns A^T v, (N, H, W, 1) for a grid (H, W). A^T is the exact adjoint, <A u, v> = <u, A^T v>."""
        spread = ops.conv_transpose(v, self.kernel(), 2, "valid", data_format="channels_last")
        spread = ops.pad(spread, ((0, 0), (0, 1), (0, 1), (0, 0)))  # an even H has a row that the kernels do not reach
        return mirrored_adjoint(spread[:, : grid[0] + 2, : grid[1] + 2], 1)


@serializable
class DiffusionStep(keras.layers.Layer):
    """Computes `reaction_diffusion` with learned filters K, learned influence functions psi and a learned lambda.

    Call the layer with u and f, each (N, H, W, 1). The result has the same shape. With several scales the result is

        -sum_l (A^l)^T K_l^T psi_l(K_l A^l u) - lambda (u - f),    l = 0, ..., scales - 1

    where A^l u is u on a grid that is coarser by 2^l, by full weighting. Each scale has its own filters and functions.

    Args:
        size, filters: size and count of `CosineFilters`.
        functions: number of Gaussians of each influence function, see `RadialBasis`.
        reaction: initial value of lambda.
        scales: number of scales.

    Example:
        >>> u = keras.ops.ones((1, 8, 8, 1))
        >>> bool(keras.ops.max(abs(DiffusionStep()(u, u))) < 1e-6)
        True
    """

    def __init__(
        self,
        size: int = 5,
        filters: int | None = None,
        functions: int = 63,
        *,
        reaction: float = 0.1,
        scales: int = 1,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        policy, coarse = self.dtype_policy, range(1, scales)
        self.K = CosineFilters(size, filters, name="K", dtype=policy)
        self.psi = RadialBasis(functions, name="psi", dtype=policy)
        self.A = Coarsening(name="A", dtype=policy)
        self.coarse_K = [CosineFilters(size, filters, name=f"K{scale}", dtype=policy) for scale in coarse]
        self.coarse_psi = [RadialBasis(functions, name=f"psi{scale}", dtype=policy) for scale in coarse]
        self.reaction = reaction

    def build(self, u_shape: Shape, f_shape: Shape | None = None) -> None:
        for K, psi in ((self.K, self.psi), *zip(self.coarse_K, self.coarse_psi, strict=True)):
            K.build(u_shape)
            psi.build(K.compute_output_shape(u_shape))
        self.lambda_ = self.add_weight(shape=(), initializer=self._start, name="lambda")

    def _start(self, shape: Shape, dtype: DType) -> Tensor:
        return ops.full(shape, self.reaction, dtype)  # Keras' Constant rounds to float32

    def compute_output_shape(self, u_shape: Shape, f_shape: Shape | None = None) -> Shape:
        return tuple(u_shape)

    def call(self, u: Tensor, f: Tensor) -> Tensor:
        increment = reaction_diffusion(u, f, self.K, self.psi, self.lambda_)
        return increment + self._coarse(u, 0) if self.coarse_K else increment

    def _coarse(self, u: Tensor, scale: int) -> Tensor:
        """Returns the increment of u by the scales after the given one."""
        v, K, psi = self.A(u), self.coarse_K[scale], self.coarse_psi[scale]
        increment = -K.adjoint(psi(K(v)))
        if scale + 1 < len(self.coarse_K):
            increment = increment + self._coarse(v, scale + 1)
        return self.A.adjoint(increment, ops.shape(u)[1:3])


@serializable
class Diffusion(Field):
    """The field of `EulerFromData`: learned reaction-diffusion on grey values 0..255, with one `DiffusionStep` per iteration.

    Args:
        uses: number of steps.
        size, filters, functions, reaction, scales: as in `DiffusionStep`.

    Attributes:
        greedy: the argument of the last call of `end_with`; None for all steps.

    Example:
        >>> from keras_mgnet.layers import EulerFromData, Level
        >>> tuple(Level(EulerFromData(), Diffusion(2))(keras.ops.ones((1, 8, 9, 1))).shape)
        (1, 8, 9, 1)
    """

    def __init__(
        self,
        uses: int,
        size: int = 5,
        filters: int | None = None,
        functions: int = 63,
        *,
        reaction: float = 0.1,
        scales: int = 1,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.uses = uses
        self.greedy: int | None = None
        options = {"reaction": reaction, "scales": scales, "dtype": self.dtype_policy}
        self.steps = [DiffusionStep(size, filters, functions, name=f"step{i}", **options) for i in range(uses)]

    def end_with(self, step: int | None) -> None:
        """Ends the level after a step, counted from 0, and trains only this step. None restores all steps.

        After the call, compile the model again, so that Keras traces its functions again.
        """
        self.greedy, self.uses = step, len(self.steps) if step is None else step + 1

    @property
    def least(self) -> int:
        """The smallest height and width of an image. On the coarsest grid they are m - 1, see `FilterBank.adjoint`."""
        return 2 ** len(self.steps[0].coarse_K) * (self.steps[0].K.size - 2) + 1

    def build(self, shape: Shape) -> None:
        for step in self.steps:
            step.build(shape)

    def call(self, states: tuple[Tensor, Tensor], i: int = 0) -> Tensor:
        return self.steps[i](*states)

    def parts(self, states: tuple[Tensor, Tensor], i: int) -> tuple[Tensor, Tensor]:
        u, f = states
        u = ops.stop_gradient(u) if i == self.greedy else u
        return u, self.steps[i](u, f)
