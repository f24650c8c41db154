"""Two-step schemes: the next state is computed from the last two states."""

from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Map, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.schemes.scheme import Method, Scheme, State
from keras_mgnet.serialization import serializable


class TwoStep(Scheme):
    """Base class of schemes with a trainable k_i in iteration i, for the iterations first, ..., nu - 1.

    Args:
        nu: number of iterations.
        first: number of iterations without k_i.
    """

    def __init__(self, nu: int, first: int, *, name: str | None = "scheme", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.nu, self.first = nu, first

    def build(self, *shapes: Shape) -> None:
        self.k = [self._add_k(i) for i in range(self.first, self.nu)]

    def _add_k(self, i: int) -> keras.Variable:
        near_zero = keras.initializers.RandomUniform(-0.1, 0.0)  # one per k: an initialiser repeats its values
        return self.add_weight(shape=(), initializer=near_zero, name=f"k{i}")

    def advance(self, i: int, x: Tensor, previous: Tensor | None, f: Tensor) -> Tensor:
        """Returns (1 - k_i) x + k_i previous + f, or x + f if iteration i has no k_i."""
        return steps.euler(x, f) if i < self.first else steps.linear_multistep(x, previous, f, self.k[i - self.first])


@serializable
class LinearMultistep(TwoStep):
    """The linear two-step method of Lu2018 (1): x^{i+1} = sigma((1 - k_i) x^i + k_i x^{i-1} + f^i(x^i)).

    f^i is the field at iteration i, and each k_i is a trainable scalar. sigma is the identity in Lu2018. Call the level with x^0
    and, if `k_first` is set, with x^{-1}. Leave x^{-1} out if x^{-1} is zero. The level returns the last two states, the last one
    first. If an iteration has a shortcut R, then R x^i replaces x^i, also as the previous state of the next iteration.

    Args:
        nu: number of iterations.
        k_first: whether the first iteration has a k_i. If not, the first iteration is a step of `Euler`, as in the released code
            of LM-ResNet.
        activation: sigma after the sum; None for the identity.

    Example:
        >>> from keras_mgnet.layers import Level, basic
        >>> x, previous = Level(LinearMultistep(3), basic(4, uses=3))(ops.ones((1, 8, 8, 4)))
        >>> tuple(previous.shape)
        (1, 8, 8, 4)
    """

    method = Method("linear two-step method", "x_{n+1} = (1 - k) x_n + k x_{n-1} + f(x_n)", "1", "(1 + k) x' = f(x)")
    stochastic = Method(
        "stochastic linear two-step method",
        "x_{n+1} = (1 - k) x_n + k x_{n-1} + eta_n f(x_n), eta_n ~ Bernoulli(p_n)",
        "weak: 1 for p_n = 1/2, else 1/2; strong: none",
        "(1 + k) dx = p f dt + (p (1 - p))^(1/2) f dW",
    )

    def __init__(
        self,
        nu: int,
        *,
        k_first: bool = False,
        activation: Activation = None,
        name: str | None = "scheme",
        dtype: DType = None,
    ) -> None:
        super().__init__(nu, 0 if k_first else 1, name=name, dtype=dtype)
        self.sigma = keras.activations.get(activation)

    def begin(self, f: Any, x: Tensor, previous: Tensor | None = None) -> State:
        return x, previous

    def step(self, i: int, f: Any, x: Tensor, previous: Tensor) -> State:
        x, increment = f.parts(x)
        return self.sigma(self.advance(i, x, previous, increment)), x

    def over(self, field: Any) -> Method:
        return self.stochastic if field.draws else self.method

    def shapes(self, field: Any, x_shape: Shape, previous_shape: Shape | None = None) -> Any:
        return (field.compute_output_shape(x_shape),) * 2


@serializable
class CoupledMultistep(TwoStep):
    """The linear two-step method of Lu2018 (1) on two states in turn, for the equations x_1' = F(x_2), x_2' = G(x_1) of RevNet.

    With the additive coupling of `Coupling` written as y_{j+2} = y_j + f^j(y_{j+1}), a step is
    y_{j+2} = (1 - k_j) y_j + k_j y_{j-2} + f^j(y_{j+1}), so x_1 and x_2 each take the two-step method. The first two steps have
    no k_j. The scheme has no inverse for k_j = 0, so it has no `undo`.

    Call the level with (x_1, x_2), each (N, H, W, c). The level returns the last pair.

    Args:
        nu: number of iterations, two per block of RevNet.

    Example:
        >>> from keras_mgnet.layers import InTurn, Level, basic
        >>> level = Level(CoupledMultistep(6), InTurn([basic(4, uses=2) for _ in range(3)]))
        >>> x1, x2 = level(ops.ones((1, 8, 8, 4)), ops.zeros((1, 8, 8, 4)))
        >>> tuple(x2.shape), len(level.scheme.k)
        ((1, 8, 8, 4), 4)
    """

    method = Method(
        "semi-implicit linear two-step method",
        "x_1 <- (1 - k) x_1 + k x_1^- + F(x_2), x_2 <- (1 - k) x_2 + k x_2^- + G(x_1), x^- the state before x",
        "1",
        "(1 + k) x_1' = F(x_2), (1 + k) x_2' = G(x_1)",
    )

    def __init__(self, nu: int, *, name: str | None = "scheme", dtype: DType = None) -> None:
        super().__init__(nu, 2, name=name, dtype=dtype)

    def begin(self, f: Any, x1: Tensor, x2: Tensor) -> State:
        return None, None, x1, x2

    def step(self, i: int, f: Any, before: Any, between: Any, x: Tensor, y: Tensor) -> State:
        return between, x, y, self.advance(i, x, before, f(y))

    def end(self, f: Any, *states: Any) -> Any:
        return states[2:]

    def shapes(self, field: Any, x1_shape: Shape, x2_shape: Shape) -> Any:
        return tuple(x1_shape), tuple(x2_shape)


@serializable
class Coupling(Scheme):
    """A reversible iteration: (x^{i-1}, x^i) -> (x^i, x^{i-1} + f^i(x^i)), where f^i is the field at iteration i.

    - On two halves (x_1, x_2) of the channels, where f^i alternates between F and G, two iterations are a block of RevNet (Gomez
      et al. 2017): y_1 = x_1 + F(x_2), y_2 = x_2 + G(y_1). The Hamiltonian network and the Stoermer-Verlet method have this form.
    - On velocity and position, the iteration is the leapfrog method.
    - On two successive states, the iteration is the explicit midpoint rule.

    Call the level with (x^{-1}, x^0), each (N, H, W, c). The level returns the last pair. States have at least float32 precision,
    even if f computes in lower precision, because a sum in bfloat16 cannot be undone.

    Example:
        >>> from keras_mgnet.layers import InTurn, Level, basic
        >>> level = Level(Coupling(), InTurn([basic(4, uses=2) for _ in range(3)]))
        >>> x1, x2 = ops.ones((1, 8, 8, 4)), ops.zeros((1, 8, 8, 4))
        >>> bool(ops.max(ops.abs(level.inverse(*level(x1, x2))[1])) < 1e-5)
        True
    """

    method = Method(
        "semi-implicit Euler (additive coupling)",
        "x_1 <- x_1 + F(x_2), x_2 <- x_2 + G(x_1)",
        "1; 2 with x_2 read at half steps",
        "x_1' = F(x_2), x_2' = G(x_1)",
    )
    wide = True

    def step(self, i: int, f: Any, previous: Tensor, x: Tensor) -> State:
        return x, steps.coupling(previous, ops.cast(f(x), x.dtype))

    def undo(self, i: int, f: Any, x: Tensor, following: Tensor) -> State:
        """Returns the state before iteration i for a given state after iteration i."""
        return steps.coupling(following, -ops.cast(f(x), x.dtype)), x

    def pull_back(self, i: int, pull: Map, d_x: Tensor, d_following: Tensor) -> tuple[Tensor, Tensor]:
        """Maps the cotangents of the state after iteration i to the cotangents of the state before the iteration.

        `pull` is the pullback of f^i at x^i.
        """
        return d_following, d_x + pull(d_following)

    def over(self, field: Any) -> Method:
        return field.by_coupling or self.method

    def shapes(self, field: Any, previous_shape: Shape, x_shape: Shape) -> Any:
        return tuple(previous_shape), tuple(x_shape)


@serializable
class SecondOrder(Coupling):
    """Central differences for y'' + c y' = f / h^2: y_{j+1} = (2 y_j - (1 - q) y_{j-1} + f^j(y_j)) / (1 + q).

    c is the damping, h the step size, and q = c h / 2. For q = 0 this is Verlet's method as printed in Lu2017, with
    f^j(y) = h^2 s(K_j y + b_j). `undo` enlarges errors by the factor (1 + q) / (1 - q) per step.

    Args:
        q: c h / 2, with 0 <= q < 1.

    Example:
        >>> from keras_mgnet.layers import Force, Level
        >>> level, y = Level(SecondOrder(0.1), Force(4, ("single",), (0.01,))), ops.ones((1, 8, 8, 4))
        >>> bool(ops.max(ops.abs(level.inverse(*level(y, y))[1] - y)) < 1e-5)
        True
    """

    method = Method("Verlet", "y_{j+1} = 2 y_j - y_{j-1} + h^2 s(K_j y_j + b_j)", "2", "y'' = s(K y + b), y'(0) = 0")
    damped = Method(
        "central differences",
        "y_{j+1} = (2 y_j - (1 - c h/2) y_{j-1} + h^2 s(K_j y_j + b_j)) / (1 + c h/2)",
        "2",
        "y'' + c y' = s(K y + b), y'(0) = 0",
    )

    def __init__(self, q: float = 0.0, *, name: str | None = "scheme", dtype: DType = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.q = q

    def step(self, i: int, f: Any, previous: Tensor, x: Tensor) -> State:
        return x, steps.central_differences(x, previous, ops.cast(f(x), x.dtype), self.q)

    def undo(self, i: int, f: Any, x: Tensor, following: Tensor) -> State:
        return steps.central_differences(x, following, ops.cast(f(x), x.dtype), -self.q), x

    def pull_back(self, i: int, pull: Map, d_x: Tensor, d_following: Tensor) -> State:
        d = d_following / (1 + self.q)
        return -(1 - self.q) * d, d_x + 2 * d + pull(d)

    def over(self, field: Any) -> Method:
        return self.damped if self.q else self.method
