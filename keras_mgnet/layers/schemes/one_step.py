"""One-step schemes for x' = f(x)."""

from typing import Any

import keras

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.schemes.scheme import Method, Scheme, State
from keras_mgnet.serialization import serializable


class OneStep(Scheme):
    """Base class of schemes that apply an activation sigma at the end of each iteration."""

    def __init__(self, activation: Activation = None, *, name: str | None = "scheme", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.sigma = keras.activations.get(activation)


@serializable
class Euler(OneStep):
    """Forward Euler: x^{i+1} = sigma(R_i x^i + f^i(x^i)), He2019 (2.1) to (2.4), Lu2017.

    f^i is the field at iteration i. R_i is the shortcut of an iteration that changes the grid or the channels. In the other
    iterations R_i is the identity.

    Args:
        activation: sigma after the sum; None for the identity.

    Example:
        >>> from keras_mgnet.layers import Level, basic
        >>> tuple(Level(Euler(), basic(4, uses=3))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    method = Method("forward Euler", "x_{n+1} = x_n + f(x_n)", "1", "x' = f(x)")

    def step(self, i: int, f: Any, x: Tensor) -> State:
        return (self.sigma(steps.euler(*f.parts(x))),)

    def over(self, field: Any) -> Method:
        return field.by_euler or self.method


@serializable
class Heun(OneStep):
    """Heun's method: x^{i+1} = sigma(x^i + (f^i(x^i) + f^i(x^i + f^i(x^i))) / 2).

    An iteration that changes the grid or the channels is a step of `Euler`, because in this iteration f^i does not accept a state
    of the new shape. Arguments as in `Euler`.

    Example:
        >>> from keras_mgnet.layers import Level, basic
        >>> tuple(Level(Heun(), basic(4, uses=3))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    method = Method("Heun's method", "x_{n+1} = x_n + (f(x_n) + f(x_n + f(x_n))) / 2", "2", "x' = f(x)")

    def step(self, i: int, f: Any, x: Tensor) -> State:
        start, k1 = f.parts(x)
        predicted = steps.euler(start, k1)
        return (self.sigma(predicted if start is not x else steps.heun(x, k1, f(predicted))),)


@serializable
class Dense(Scheme):
    """DenseNet's step: x^{i+1} = [x^i, f^i(x^i)], where [ ] is the concatenation along the channels.

    The step is an explicit multistep scheme over all states.
    """

    method = Method(
        "explicit multistep scheme over all states",
        "x_{n+1} = f([x_0, ..., x_n])",
        "none, there is no step size",
        "a recursion with full memory, as multistep iterative methods have",
    )

    def step(self, i: int, f: Any, x: Tensor) -> State:
        return (steps.dense(x, f),)

    def shapes(self, field: Any, x_shape: Shape) -> Any:
        return *x_shape[:-1], x_shape[-1] + field.uses * field.growth


@serializable
class EulerSystem(Scheme):
    """Forward Euler for several states on one grid: x_j <- x_j + f_j(x_1, ..., x_S).

    The input of the level is x_1. The other states x_2, ..., x_S start at zero. The level returns the last x_S.
    """

    method = Method(
        "forward Euler, autonomous",
        "x_i <- x_i + K_i1(x_1) + ... + K_iS(x_S)",
        "1",
        "x_i' = sum_j K_ij(x_j), K_ij fixed in time",
    )

    def begin(self, f: Any, x: Tensor) -> State:
        return x, *[None] * (f.field.states - 1)

    def step(self, i: int, f: Any, *states: Tensor | None) -> State:
        return tuple(steps.plus(x, increment) for x, increment in zip(states, f(states), strict=True))

    def end(self, f: Any, *states: Tensor | None) -> Any:
        return states[-1]


@serializable
class EulerFromData(Scheme):
    """Forward Euler for u' = f(u; data): u^{i+1} = u^i + f^i(u^i; data). The iteration starts from u^0 = data."""

    method = Method(
        "forward Euler with steps of its own",
        "u <- u - (K^T psi(K u) + lambda (u - f))",
        "1",
        "u' = -K^T psi(K u) - lambda (u - f), reaction-diffusion",
    )

    def begin(self, f: Any, data: Tensor) -> State:
        return data, data

    def step(self, i: int, f: Any, u: Tensor, data: Tensor) -> State:
        return steps.euler(*f.parts((u, data))), data

    def end(self, f: Any, u: Tensor, data: Tensor) -> Tensor:
        return u


@serializable
class DataCorrection(Scheme):
    """The iteration u <- u + B_i (f - A_i u) of a level that gets and returns the data f of its grid, He, Liu, Xu 2024.

    Call the level with f and u, or with f alone for u = 0. The level returns (u, f). The field is a `DataSystem`.
    """

    method = Method(
        "non-stationary residual correction",
        "u_{n+1} = u_n + B_n(f - A_n u_n)",
        "none, it has a convergence factor",
        "A_n u = f, with another A_n in each iteration",
    )

    def begin(self, system: Any, f: Tensor, u: Tensor | None = None) -> State:
        return u, f

    def step(self, i: int, system: Any, u: Tensor | None, f: Tensor) -> State:
        return steps.plus(u, system.correction(u, f)), f
