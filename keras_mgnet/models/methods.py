"""The numerical schemes that the families are: what one iteration computes, its order, and the equation it discretises."""

from typing import NamedTuple


class Method(NamedTuple):
    """One scheme.

    Attributes:
        name: as numerical analysis calls it.
        step: one iteration.
        order: of consistency, in words where it is no number.
        equation: what the iteration discretises or solves.
    """

    name: str
    step: str
    order: str
    equation: str


METHODS = {
    "mgnet": Method(
        "multigrid, residual correction", "u <- u + B(f - A u)", "1 as forward Euler", "A u = f, by u' = B(f - A u)"
    ),
    "euler": Method("forward Euler", "x_{n+1} = x_n + f(x_n)", "1", "x' = f(x)"),
    "linear_multistep": Method(
        "linear two-step method", "x_{n+1} = (1 - k) x_n + k x_{n-1} + f(x_n)", "1", "(1 + k) x' = f(x)"
    ),
    "shake": Method(
        "Euler-Maruyama",
        "x_{n+1} = x_n + eta f_1(x_n) + (1 - eta) f_2(x_n), eta ~ U(0, 1)",
        "1/2 strong, 1 weak",
        "dx = (f_1 + f_2)/2 dt + 12^(-1/2) (f_1 - f_2) dW",
    ),
    "neumann": Method(
        "backward Euler, its resolvent as a truncated Neumann series",
        "x_{n+1} = x_n + F(x_n) + F(F(x_n)) + ...",
        "1",
        "x' = F(x), by x_{n+1} = (I - F)^{-1} x_n",
    ),
    "runge_kutta": Method(
        "Runge-Kutta",
        "x_{n+1} = k_1 x_n + k_2 y + f_2(y), y = k_3 x_n + f_1(x_n)",
        "2 with k_1 = k_2 = 1/2, k_3 = 1, f_1 = 2 f_2 (Heun)",
        "x' = f_1(x)",
    ),
    "dense": Method(
        "explicit multistep scheme over all states",
        "x_{n+1} = f([x_0, ..., x_n])",
        "none, there is no step size",
        "a recursion with full memory, as multistep iterative methods have",
    ),
    "highway": Method(
        "forward Euler with a gate for the step size", "x_{n+1} = x_n + T(x_n) (H(x_n) - x_n)", "1", "x' = T(x) (H(x) - x)"
    ),
    "euler_sum": Method("forward Euler", "x_{n+1} = x_n + f_1(x_n) + ... + f_k(x_n)", "1", "x' = f_1(x) + ... + f_k(x)"),
    "recurrent": Method(
        "forward Euler, autonomous", "x_i <- x_i + K_i1(x_1) + ... + K_iS(x_S)", "1", "x_i' = sum_j K_ij(x_j), K_ij fixed in time"
    ),
}
