"""Shake-shake: mixes two branches at random."""

from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.serialization import serializable

SHAKES = ("image", "batch")


@serializable
class Shake(Field):
    """Mixes two branches at random: eta f_1(x) + (1 - eta) f_2(x) with eta ~ U(0, 1) (Gastaldi 2017; Lu2018 section 3).

    The backward pass of a training step replaces eta by an independent draw. Inference returns the expectation (f_1 + f_2) / 2.

    With a step size dt, the weights of f_1 and f_2 are dt/2 +- dt^(1/2) (eta - 1/2), Lu2018 (4). Each pass uses its own eta. The
    mixture then has the mean dt (f_1 + f_2) / 2 and the variance dt (f_1 - f_2)^2 / 12.

    Args:
        f1, f2: the branches.
        mode: "image" draws one eta per image, "batch" one per batch.
        dt: step size.
        seed: seed of the random draws; None for a random seed.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> tuple(Shake(basic(4), basic(4))(ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    unit = Method(
        "simplified weak Euler scheme",
        "x_{n+1} = x_n + eta f_1(x_n) + (1 - eta) f_2(x_n), eta ~ U(0, 1)",
        "weak: 1; strong: none",
        "dx = (1/2) (f_1 + f_2) dt + 12^(-1/2) (f_1 - f_2) dW",
    )
    stepped = unit._replace(
        step="x_{n+1} = x_n + dt (f_1(x_n) + f_2(x_n))/2 + dt^(1/2) (eta - 1/2) (f_1(x_n) - f_2(x_n)), eta ~ U(0, 1)"
    )

    def __init__(
        self,
        f1: Field,
        f2: Field,
        *,
        mode: str = "image",
        dt: float = 1.0,
        seed: int | None = None,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        check_known("shake mode", mode, SHAKES)
        self.f1, self.f2, self.mode, self.dt = f1, f2, mode, dt
        self.uses, self.by_euler = f1.uses, self.unit if dt == 1 else self.stepped
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Shape) -> None:
        self.f1.build(input_shape)
        self.f2.build(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.f1.compute_output_shape(input_shape)

    def call(self, x: Tensor, i: int = 0, training: bool | None = None) -> Tensor:
        f1, f2 = self.f1(x, i=i), self.f2(x, i=i)
        if not training:
            return steps.mix(f1, f2, 0.5, self.dt)
        shape = (ops.shape(x)[0], 1, 1, 1) if self.mode == "image" else ()
        forward, backward = (
            ops.cast(keras.random.uniform(shape, seed=self.seed_generator), f1.dtype) for _ in range(2)
        )
        return _shake(f1, f2, forward, backward, self.dt)


def _shake(f1: Tensor, f2: Tensor, forward: Tensor, backward: Tensor, dt: float) -> Tensor:
    @ops.custom_gradient  # applied here, because not every backend has custom gradients
    def shake(f1: Tensor, f2: Tensor, forward: Tensor, backward: Tensor) -> Any:
        def gradient(*arguments: Any, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            (upstream,) = arguments if upstream is None else (upstream,)
            first, second = steps.shares(backward, dt)
            return first * upstream, second * upstream, ops.zeros_like(forward), ops.zeros_like(backward)

        return steps.mix(f1, f2, forward, dt), gradient

    return shake(f1, f2, forward, backward)
