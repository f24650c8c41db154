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
}
