"""The command `solve`: tables, picture, record, PyAMG beside it, and errors before anything is computed."""

import inspect
import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.cli.solve import comparison_table
from keras_mgnet.multigrid import solver
from keras_mgnet.multigrid.comparison import FAMILIES, Row
from keras_mgnet.multigrid.report import factors, level_rows
from support.command import invoke


def test_tables_picture_and_record(tmp_path):
    pytest.importorskip("pyamg")
    out = tmp_path / "out"
    output = invoke("solve", "poisson", "--n", 31, "--nu", 1, 1, "--batch", 2, "--against", "pyamg", "--out", out)
    assert "31 x 31" in output and "5-point" in output and "PyAMG, Ruge-Stuben" in output
    record = json.loads((out / "solve.json").read_text())
    ours, same, *_ = record["solutions"]
    np.testing.assert_allclose(ours["history"], same["history"], rtol=1e-5)
    assert ours["history"][-1] <= 1e-8 < ours["history"][-2] and abs(ours["factor"] - 0.364) < 0.01
    assert (
        record["config"]["nu"] == [1, 1]
        and sum(h * w for h, w in (row["points"] for row in record["levels"])) == 961 + 225 + 49 + 9 + 1
    )
    assert f"{ours['history'][3]:.2e}  {factors(ours['history'])[2]:.3f}" in output
    assert (out / "residuals.png").stat().st_size > 10_000
    assert sorted(path.name for path in out.iterdir()) == ["residuals.png", "solve.json"]


@pytest.mark.parametrize(
    "options",
    [
        "anisotropic --smoother red_black --eps 0.1 --cycle W",
        "jumps --contrast 10 --smoother chebyshev --degree 3 --cycle backslash --cycle-dtype float32",
        "poisson --transfer fem --coarse galerkin --levels 3 --dtype float32 --tolerance 1e-4",
    ],
)
def test_problems(options):
    output = invoke("solve", *options.split(), "--n", 15)
    assert "keras_mgnet" in output and " yes " in output


def test_it_needs_nothing_of_training():
    """The extra `solve` brings none of the packages that training needs."""
    assert "keras_mgnet.training" not in inspect.getsource(sys.modules[comparison_table.__module__])


def test_products_are_those_that_a_cycle_makes():
    """On the V- and the W-cycle, counted where the operator is applied; those whose result nobody reads are XLA's to drop."""
    rows = level_rows(solver(31, nu=(2, 1), smoother="red_black"), "V")
    assert [row.products for row in rows] == [7, 6, 6, 6, 0]
    rows = level_rows(solver(31, nu=(2, 1), cycle="W"), "W")
    assert [row.visits for row in rows] == [1, 2, 4, 8, 8]
    assert [row.products for row in rows] == [4, 2 * 3 + 1, 4 * 3 + 2, 8 * 3 + 4, 0]
    assert abs(rows[1].work - 7 * (15 / 31) ** 2) < 1e-12


def test_methods_that_do_not_converge_have_a_row_without_a_gain():
    diverging = [Row(name, "", factor, 2.0) for name, factor in zip(FAMILIES, (1.0, 1.5, np.inf), strict=True)]
    stream = io.StringIO()
    Console(file=stream, width=160).print(comparison_table([Row("learned", "", 0.5, 2.0), *diverging]))
    rows = {line.split()[0]: line.split() for line in stream.getvalue().splitlines() if "." in line}
    assert all(rows[name] == [name, *rows[name][1:3], "0.0000"] for name in FAMILIES)
    assert rows["learned"][-2:] == ["0.3466", "1.00"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["poison"], "unknown problem 'poison'; did you mean 'poisson'"),
        (["poisson", "--n", "30"], "expected n = 2^k - 1"),
        (["poisson", "--against", "hypre"], "unknown against 'hypre'. Expected one of: pyamg"),
        (["poisson", "--dtype", "float16"], "unknown dtype 'float16'; did you mean"),
        (["poisson", "--smoother", "jacoby"], "did you mean 'jacobi'"),
        (["poisson", "--tolerance", "0"], "expected tolerance > 0"),
        (["poisson", "--batch", "0"], "expected batch >= 1"),
    ],
)
def test_errors_are_one_line(words, message, tmp_path, refused):
    error = refused("solve", *words, "--out", tmp_path / "out")
    assert message in error and not (tmp_path / "out").exists()
