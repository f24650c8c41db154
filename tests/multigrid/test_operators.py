"""Operators with terms of every order on coarser grids, and iterations that do not reach their tolerance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.multigrid import solve, solver
from keras_mgnet.multigrid.grids import rediscretised, rediscretised_field
from keras_mgnet.multigrid.operators import five_point
from support import slow_unless

DX = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]]) / 2
U = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
F = np.random.default_rng(0).normal(size=(1, 31, 31, 1))


def operator(h, b, c):
    """h^2 (-Laplace u + b u_x + c u)."""
    return five_point() + b * h * DX + c * h**2 * U


@given(st.floats(-9, 9), st.floats(-9, 9), st.integers(1, 6))
def test_a_coarser_operator_is_that_of_twice_the_h(b, c, k):
    h = 2.0**-k
    expected = operator(2 * h, b, c)
    np.testing.assert_allclose(rediscretised(operator(h, b, c)), expected, rtol=0, atol=1e-9)
    field = np.broadcast_to(operator(h, b, c), (3, 3, 3, 3))
    np.testing.assert_allclose(rediscretised_field(field)[0, 0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("b", "c"), [pytest.param(0, 100, marks=pytest.mark.slow), (10, 100)])
@pytest.mark.parametrize("field", slow_unless([False], [False, True]))
def test_lower_order_terms_cost_no_convergence(field, b, c):
    A = operator(1 / 32, b, c)
    _, history = solve(solver(31, A=np.broadcast_to(A, (31, 31, 3, 3)) if field else A), F)
    assert history[-1].max() <= 1e-8 and len(history) < 25


def test_a_tolerance_that_is_not_met_is_told():
    with pytest.warns(UserWarning, match=r"the residual is .* after 2 cycles, and not below 1e-08"):
        solve(solver(15), F[:, :15, :15], cycles=2)


def test_a_diverging_iteration_ends():
    model = solver(15, omega=3.0, levels=1, coarsest="smooth")
    with pytest.warns(UserWarning, match="the residual is"):
        _, history = solve(model, F[:, :15, :15], cycles=1000)
    assert len(history) < 100 and np.isfinite(history).all()


@pytest.mark.parametrize(
    ("change", "message"), [({"f": F * np.nan}, "finite numbers in f"), ({"tolerance": 0}, "tolerance > 0")]
)
def test_what_cannot_be_solved(change, message):
    with pytest.raises(ValueError, match=message):
        solve(solver(31), **{"f": F} | change)
