"""The weak orders of stochastic depth and shake-shake: exact moments of the steps, against those of Ito's equations.

For linear f a moment is multiplied in each step by one matrix, so that nothing is drawn at random.
"""

import re
from functools import reduce

import numpy as np
import pytest
from scipy.linalg import expm

from keras_mgnet.layers import Blocks, LinearMultistep, Shake, steps
from support import ROOT


def orders(error, counts):
    errors = [abs(error(n)) for n in counts]
    return np.log(np.divide(errors[:-1], errors[1:])) / np.log(np.divide(counts[1:], counts[:-1]))


def cube(A):
    return reduce(np.kron, [A] * 3)


def third_moment_of_depth(p, n):
    """The error of E x(1)^3 for f(x) = x and x(0) = 1, by n steps of Lu2018's form with a step size."""
    dt = 1 / n
    step = [steps.euler(1.0, dt * p + dt**0.5 * (eta - p)) ** 3 for eta in (1, 0)]
    return (p * step[0] + (1 - p) * step[1]) ** n - np.exp(3 * p + 3 * p * (1 - p))


@pytest.mark.parametrize(("p", "order"), [(0.5, 1), (0.8, 1 / 2), (0.2, 1 / 2)])
def test_stochastic_depth(p, order):
    counts = (10**5, 10**6, 10**7)
    np.testing.assert_allclose(orders(lambda n: third_moment_of_depth(p, n), counts), order, atol=0.03)
    assert Blocks.stochastic.order == "weak: 1 for p_n = 1/2, else 1/2; strong: none"


def test_the_page_has_these_errors():
    page = (ROOT / "docs" / "equations.md").read_text()
    rows = re.findall(r"^\| (1e-\d) \| (\S+) \| (\S+) \|$", page, flags=re.MULTILINE)
    assert [float(dt) for dt, *_ in rows] == [1e-3, 1e-4, 1e-5, 1e-6]
    for dt, half, other in rows:
        for p, printed in ((0.5, half), (0.8, other)):
            assert f"{abs(third_moment_of_depth(p, round(1 / float(dt)))):.1e}" == printed


def test_an_assumption_of_the_paper_gives_order_1():
    """1 - 2 p = dt^(1/2), so p changes with the step size."""

    def error(n):
        return third_moment_of_depth((1 - n**-0.5) / 2, n)

    np.testing.assert_allclose(orders(error, (10**4, 10**5, 10**6)), 1, atol=0.03)


def test_shake_shake():
    """f_1 = x, f_2 = -x / 2: the mean of E x^4 over eta by a quadrature that is exact for polynomials."""
    nodes, weights = np.polynomial.legendre.leggauss(6)

    def error(n):
        draws = [steps.euler(1.0, steps.mix(1.0, -0.5, (node + 1) / 2, 1 / n)) ** 4 for node in nodes]
        return np.dot(weights / 2, draws) ** n - np.exp(4 * 0.25 + 6 * 1.5**2 / 12)

    np.testing.assert_allclose(orders(error, (10**3, 10**4, 10**5)), 1, atol=0.03)
    assert Shake.unit.order == Shake.stepped.order == "weak: 1; strong: none"


@pytest.mark.parametrize("k", [-0.3, 0.0, 0.4])
@pytest.mark.parametrize(("p", "order"), [(0.5, 1), (0.8, 1 / 2)])
def test_the_two_step_method_with_stochastic_depth(p, order, k):
    """(1 + k) dx = p x dt + (p (1 - p))^(1/2) x dW."""

    def error(n):
        def step(eta):
            f = (p + n**0.5 * (eta - p)) / n
            columns = [[steps.linear_multistep(x, previous, f * x, k), x] for x, previous in np.eye(2)]
            return cube(np.transpose(columns))

        moments = np.linalg.matrix_power(p * step(1) + (1 - p) * step(0), n) @ np.ones(8)
        return moments[0] - np.exp(3 * p / (1 + k) + 3 * p * (1 - p) / (1 + k) ** 2)

    counts = (10**4, 10**5) if order == 1 else (10**7, 10**8)  # round-off hides the smaller errors of order 1
    np.testing.assert_allclose(orders(error, counts), order, atol=0.03)
    assert LinearMultistep.stochastic.order == Blocks.stochastic.order


@pytest.mark.parametrize(("p", "order"), [(0.5, 1), (0.8, 1 / 2)])
def test_third_moments_of_the_second_order_equation(p, order):
    """Lu2018 section 3.2 with f(X) = -X; the second moments are in test_two_step.py."""
    g, one, start = 0.3, np.eye(2), reduce(np.kron, [np.array([1.0, 0.5])] * 3)
    D = np.array([[0.0, 1.0], [-p, -g]])
    S = np.array([[0.0, 0.0], [-1.0, 0.0]]) * (p * (1 - p)) ** 0.5
    ito = sum(reduce(np.kron, [D if j == i else one for j in range(3)]) for i in range(3))
    ito += sum(reduce(np.kron, [one if j == i else S for j in range(3)]) for i in range(3))
    exact = expm(ito) @ start

    def error(n):
        h = 1 / n

        def step(eta):
            velocity = np.array([[1.0, 0.0], [-h * p - h**0.5 * (eta - p), 1 - h * g]])
            return cube(np.array([[1.0, h], [0.0, 1.0]]) @ velocity)

        return np.abs(np.linalg.matrix_power(p * step(1) + (1 - p) * step(0), n) @ start - exact).max()

    np.testing.assert_allclose(orders(error, (10**3, 10**4, 10**5)), order, atol=0.03)
