"""The schemes of the stable networks. Each is a `Coupling` with the field `Force`, whose increments contain the step size.

K^T is the adjoint of a convolution K.
"""

from typing import Any

from keras import ops

from keras_mgnet.annotations import DType, Map, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.schemes.scheme import Method, State
from keras_mgnet.layers.schemes.two_step import Coupling
from keras_mgnet.serialization import serializable


@serializable
class SymplecticEuler(Coupling):
    """Symplectic Euler, the Hamiltonian network of Chang et al. 2018. (Y, Z) is the state before a step, (Y', Z') after it.

    Y' = Y + h K_1^T s(K_1 Z + b_1)
    Z' = Z - h K_2^T s(K_2 Y' + b_2)

    h is the step size, s the activation, and each K_i, b_i a convolution with its bias.
    """

    method = Method(
        "symplectic Euler",
        "Y <- Y + h K_1^T s(K_1 Z + b_1), Z <- Z - h K_2^T s(K_2 Y + b_2)",
        "1; 2 with Z read at half steps",
        "Y' = K_1^T s(K_1 Z + b_1), Z' = -K_2^T s(K_2 Y + b_2)",
    )


@serializable
class Midpoint(Coupling):
    """The explicit midpoint rule, the midpoint network of Chang et al. 2018: Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b).

    h is the step size, s the activation, and K, b a convolution with its bias.
    """

    method = Method(
        "explicit midpoint rule, begun by forward Euler",
        "Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b)",
        "2",
        "Y' = s((K - K^T) Y + b)",
    )


@serializable
class Leapfrog(Coupling):
    """The leapfrog method: Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), Chang et al. 2018.

    h is the step size, s the activation, and K, b a convolution with its bias. The state is (V, Y) with a velocity V. A step
    computes V <- V - h K^T s(K Y + b), then Y <- Y + h V.
    """

    method = Method(
        "leapfrog (Stoermer)",
        "Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), Y_{-1} = Y_0",
        "2 with Y' read at half steps, else 1",
        "Y'' = -K^T s(K Y + b), Y'(0) = 0",
    )


@serializable
class Verlet(Coupling):
    """The Stoermer-Verlet method, Haber & Ruthotto 2017. A step computes Z <- Z - h s(K^T Y + b), then Y <- Y + h s(K Z + b).

    h is the step size, s the activation, and K, b a convolution with its bias.
    """

    method = Method(
        "Stoermer-Verlet",
        "Z <- Z - h s(K^T Y + b), Y <- Y + h s(K Z + b)",
        "2 with Z read at half steps, else 1",
        "Y' = s(K Z + b), Z' = -s(K^T Y + b)",
    )


@serializable
class VelocityVerlet(Coupling):
    """Velocity Verlet: r_{n+1} = r_n + h v_n + h^2 F_n / 2, v_{n+1} = v_n + h (F_n + F_{n+1}) / 2, Lu2017.

    r is the position, v the velocity, h the step size and F_n = s(K_n r_n + b_n) the force. K_n, b_n are a convolution with its
    bias, and s is the activation.

    The state is (w, r) with the velocity at half steps, w_n = v_n + h F_n / 2. Step n computes w <- w + h F_n, then r <- r + h w.
    Step 0 adds only h F_0 / 2 to w. So each F_n is computed once. The velocity after N steps is w_{N-1}. v_N would need F_N, and
    so one more convolution K_N.
    """

    method = Method(
        "velocity Verlet",
        "r <- r + h v + h^2 F / 2, v <- v + h (F + F') / 2, F = s(K r + b), F' that of the new r",
        "2",
        "r' = v, v' = s(K r + b), v(0) = 0",
    )


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

    def undo(self, i: int, f: Map, x: Tensor, following: Tensor) -> State:
        return steps.central_differences(x, following, ops.cast(f(x), x.dtype), -self.q), x

    def pull_back(self, i: int, pull: Map, d_x: Tensor, d_following: Tensor) -> State:
        d = d_following / (1 + self.q)
        return -(1 - self.q) * d, d_x + 2 * d + pull(d)

    def over(self, field: Any) -> Method:
        return self.damped if self.q else self.method
