"""Errors against the solution of the differential equation: the grid's is O(h^2), that of the cycles goes to zero."""

import numpy as np
import pytest
from scipy.sparse.linalg import spsolve

from keras_mgnet.multigrid.discretisation import errors, plot_errors, smooth_problem
from keras_mgnet.multigrid.experiment import SolveConfig, build
from keras_mgnet.multigrid.sparse import operator_matrix


@pytest.mark.parametrize("problem", ["poisson", "anisotropic"])
def test_the_error_of_the_grid_is_of_second_order(problem):
    found = []
    for n in (15, 31):
        config = SolveConfig(problem, n=n)
        u, f = smooth_problem(config)
        found.append(np.abs(spsolve(operator_matrix(config.operator(), n).tocsc(), f.ravel()) - u.ravel()).max())
    assert 3.9 < found[0] / found[1] < 4.1


def test_errors_of_cycles():
    config = SolveConfig("poisson", n=15)
    result = errors(config, build(config), 8)
    u, f = smooth_problem(config)
    solution = spsolve(operator_matrix(config.operator(), 15).tocsc(), f.ravel()).reshape(u.shape)
    np.testing.assert_allclose(result.discretisation, np.abs(solution - u).max() / u.max(), rtol=1e-6)
    assert result.total[0] == 1.0 and len(result.total) == len(result.algebraic) == 9
    assert result.algebraic[8] < 1e-3 * result.algebraic[0]
    bounds = np.array(result.algebraic) + result.discretisation
    assert (np.array(result.total) <= bounds * (1 + 1e-12)).all()


def test_variable_coefficients_are_refused():
    with pytest.raises(ValueError, match=r"expected constant coefficients\. Received: problem='block'"):
        smooth_problem(SolveConfig("block", n=7))


def test_plot(tmp_path):
    config = SolveConfig("poisson", n=7)
    plot_errors({"jacobi": (2.0, errors(config, build(config), 2))}, "title", tmp_path / "errors.png")
    assert (tmp_path / "errors.png").stat().st_size > 10_000
