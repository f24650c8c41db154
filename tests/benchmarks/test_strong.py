"""The benchmark of anisotropy and jumps: rows of all methods, with and without conjugate gradients and times."""

import pytest

from keras_mgnet.multigrid import block, convergence_factor, solver
from support import slow_unless


@pytest.mark.parametrize("rounds", slow_unless([1], [0, 1]))
def test_rows(rounds):
    pytest.importorskip("pyamg")
    from keras_mgnet.benchmarks.strong import measure

    rows = list(measure("one block of 1000", 7, rounds))
    assert [row.accelerate for row in rows] == ["none", "cg"] * 3 and rows[0].method == "keras_mgnet, patches"
    assert all(row.iterations and row.iterations < 40 for row in rows)
    assert rows[0].factor == pytest.approx(convergence_factor(solver(7, A=block(7)), 7), abs=1e-6)
    assert all((row.median is not None) == bool(rounds) for row in rows)
