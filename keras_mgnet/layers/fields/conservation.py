"""Conservation laws u_t + div F = 0 on an image whose edges nothing crosses: Perona-Malik's diffusion and Burgers' equation."""

import keras
import numpy as np
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.diffusion import FilterBank
from keras_mgnet.serialization import serializable


class Differences(FilterBank):
    """The gradient by forward differences. A difference across an edge is zero (Neumann). The adjoint is minus the divergence.

    Example:
        >>> Differences()(keras.ops.reshape(keras.ops.arange(4.0), (1, 2, 2, 1)))[0, 0, 0].numpy().tolist()
        [2.0, 1.0]
    """

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], 2)

    def kernel(self) -> Tensor:
        kernel = np.zeros((3, 3, 1, 2))
        kernel[1, 1], kernel[2, 1, 0, 0], kernel[1, 2, 0, 1] = -1, 1, 1
        return ops.array(kernel, self.compute_dtype)


class ConservationLaw(keras.layers.Layer):
    """Explicit Euler for u_t + div F = 0: nu steps u <- u + dt K^T F, (N, H, W, 1) to the same shape.

    K u are the differences to the next pixels, and -K^T is the divergence. H and W must be at least 2. The layer has no weights.
    The mean of the image does not change. A subclass defines `flux`.

    Args:
        nu: number of steps.
        dt: step size.
    """

    def __init__(self, nu: int, *, dt: float, name: str | None = None, dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.nu, self.dt = nu, dt
        self.K = Differences(name="K", dtype=self.dtype_policy)

    def build(self, shape: Shape) -> None:
        self.K.build(shape)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return tuple(shape)

    def flux(self, u: Tensor) -> Tensor:
        """Returns F between each pixel and the next one in its column and in its row, (N, H, W, 2)."""
        raise NotImplementedError

    def call(self, u: Tensor) -> Tensor:
        for _ in range(self.nu):
            u = steps.euler(u, self.dt * self.K.adjoint(self.flux(u)))
        return u


@serializable
class PeronaMalik(ConservationLaw):
    """Edge-preserving diffusion of an image u by nu steps of explicit Euler: u_t = div(g(|grad u|) grad u).

    The diffusivity is g(x) = 1 / (1 + k x^2), and the flux F = -g(|grad u|) grad u. For dt <= 1/4 all values stay between the
    smallest and the largest value of the image. Source: Perona, Malik 1990; Lu2017.

    A step is `reaction_diffusion` with lambda = 0. Its filters compute d = grad u, and psi(d) = dt g(|d|) d.

    Args:
        nu: number of steps.
        k: sets the contrast of edges. Gradients larger than 1 / k^(1/2) grey values per pixel count as edges and are preserved.
            Smaller gradients are smoothed.
        dt: step size.

    Example:
        >>> image = keras.ops.reshape(keras.ops.arange(16.0), (1, 4, 4, 1))
        >>> float(keras.ops.mean(PeronaMalik(10)(image)))
        7.5
    """

    def __init__(
        self, nu: int, k: float = 0.01, *, dt: float = 0.25, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(nu, dt=dt, name=name, dtype=dtype)
        self.k = k

    def flux(self, u: Tensor) -> Tensor:
        d = self.K(u)
        return -d / (1 + self.k * ops.sum(d**2, axis=-1, keepdims=True))


@serializable
class Burgers(ConservationLaw):
    """Burgers' equation u_t + a . grad(u^2 / 2) = 0 by nu steps of explicit Euler: waves steepen into shocks.

    The flux between two pixels with the values v and w is that of Rusanov, a (v^2 + w^2) / 4 - |a| max(|v|, |w|) (w - v) / 2. It
    adds as much diffusion as shocks need. Steps are stable for dt (|a_1| + |a_2|) max |u| <= 1. Source: Lu2017, which names the
    equation beside Perona-Malik's.

    Args:
        nu: number of steps.
        a: the direction (a_1, a_2), down and to the right. With (0, 1) each row has its own equation u_t + (u^2 / 2)_x = 0.
        dt: step size.

    Example:
        >>> shock = keras.ops.reshape(keras.ops.array([1.0, 0.0, 0.0, 0.0] * 2), (1, 2, 4, 1))
        >>> keras.ops.convert_to_numpy(Burgers(2)(shock))[0, 0, :, 0].tolist()
        [0.51953125, 0.427734375, 0.052734375, 0.0]
    """

    def __init__(
        self,
        nu: int,
        a: tuple[float, float] = (0.0, 1.0),
        *,
        dt: float = 0.5,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(nu, dt=dt, name=name, dtype=dtype)
        self.a = tuple(a)

    def flux(self, u: Tensor) -> Tensor:
        d = self.K(u)
        mean, a = u + d / 2, ops.array(self.a, u.dtype)
        return a * (mean**2 + d**2 / 4) / 2 - ops.abs(a) * (ops.abs(mean) + ops.abs(d) / 2) * d / 2
