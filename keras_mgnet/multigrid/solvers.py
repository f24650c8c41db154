"""The multigrid solver as a Keras model: one cycle maps (u, f) to the next u."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import CycleLevel, Residual, StencilFieldTransfer, StencilTransfer
from keras_mgnet.layers.schemes.smoothers import ResidualCorrection
from keras_mgnet.models import vcycle
from keras_mgnet.models.checks import is_integer
from keras_mgnet.multigrid.defaults import suited
from keras_mgnet.multigrid.grids import Grid, assigned, checked, hierarchy, inverse_layer, operator_layer
from keras_mgnet.multigrid.operators import five_point
from keras_mgnet.multigrid.smoothers import Smoother, smoother_of
from keras_mgnet.multigrid.stencils import INJECTION

VISITS = {"backslash": 1, "V": 1, "W": 2}  # kind of cycle -> how often a grid visits the next coarser grid
PI = ("zero", "injection", "random")
COARSEST = ("exact", "smooth")


def solver(
    n: int,
    *,
    cycle: str = "V",
    nu: tuple[int, int] = (1, 1),
    smoother=None,
    omega: float = 0.8,
    levels: int | None = None,
    Pi: str = "zero",
    dtype="float64",
    A=None,
    transfer: str | None = None,
    coarse: str | None = None,
    coarsening: str = "full",
    coarsest: str = "exact",
    degree: int = 2,
    cycle_dtype=None,
    name: str = "multigrid",
) -> keras.Model:
    """Returns a Keras model of one multigrid cycle for A * u = f. The model maps [u, f], each (N, n, n, 1), to the next u.

    Each grid iterates u <- u + B * (f - A * u), He2019 (4.3), without norms and activations. Residuals are restricted by R to
    coarser grids. Corrections are prolongated by P to finer grids (KAUST m6_01, Algorithm 10). All stencils are fixed. The model
    can be saved, has gradients, and compiles with XLA. If u solves A * u = f, the model returns u, with any smoother.

    `smoother`, `transfer` and `coarse` have defaults that depend on A, see `keras_mgnet.multigrid.defaults.suited`.

    Args:
        n: number of points per side in the interior of the unit square, 2^k - 1. The mesh size is h = 1 / (n + 1), and f is h^2
            times the right-hand side.
        cycle: "V", "W" or "backslash". A backslash cycle is a V-cycle without smoothing on the way from coarse to fine grids.
        nu: (down, up), the smoothing steps on each grid on the way from fine to coarse grids, and on the way back.
        smoother: one of three.

            - a name: "jacobi", "red_black" (Gauss-Seidel) or "chebyshev"; "zebra_x", "zebra_y" or "zebra" (lines along x, along
              y, or both in turn); "patches"
            - an array (k, k): the kernel B on all grids
            - a list of layers (N, m, m, 1) -> (N, m, m, 1): the B of each grid that smooths, from fine to coarse. The layers may
              be trainable.
        omega: damping of Jacobi.
        levels: number of grids; None for all grids down to a single point.
        Pi: initial u on coarser grids: "zero", "injection" or "random". With "zero" coarser grids compute corrections. The other
            two are variants of the full approximation scheme. In exact arithmetic all three give the same result.
        dtype: dtype of u, f and the result.
        A: h^2 times the differential operator, as a stencil (3, 3) or as a stencil for each point (n, n, 3, 3). `anisotropic` and
            `diffusion` return such stencils. None stands for -Laplace u. u is zero outside the grid. With N operators
            (N, n, n, 3, 3) the model takes batches of N problems, each with its own operator.
        transfer: "full_weighting" or "injection", with bilinear interpolation; "fem", with linear interpolation on triangles;
            "black_box", with an interpolation that depends on A, for coefficients that jump (Dendy 1982); or a function as
            `keras_mgnet.multigrid.black_box.black_box`, such as `learned_interpolation` returns.
        coarse: the operators of the coarser grids, "rediscretised" or "galerkin" (R A P). "rediscretised" takes harmonic means of
            the couplings of a field. Use "galerkin" with "black_box" and with strong coarsening.
        coarsening: "full" halves the points per side from grid to grid. "strong" halves only the axis of strong couplings, until
            neither axis dominates (semicoarsening). Simple smoothers then suffice for anisotropic problems.
        coarsest: "exact" for an exact solution on the coarsest grid, or "smooth" for nu[0] smoothing steps.
        degree: degree of the Chebyshev polynomial.
        cycle_dtype: dtype of the cycle; None for `dtype`. The first residual f - A * u and the last sum always use dtype. So with
            cycle_dtype="float32" and dtype="float64" the iteration still converges to a float64 solution (iterative refinement).
        name: name of the model.

    Raises:
        ValueError: if n is not 2^k - 1, a name is unknown, nu has no smoothing step, or A has a wrong shape.

    Example:
        >>> model = solver(15)
        >>> u, f = np.zeros((1, 15, 15, 1)), np.full((1, 15, 15, 1), 1 / 16**2)
        >>> for _ in range(12):
        ...     u = model.predict_on_batch([u, f])
        >>> float(u[0, 7, 7, 0].round(4))  # u of -Laplace u = 1 in the middle; for h -> 0 the value is 0.0737
        0.0734
    """
    nu = _check_nu(nu, cycle)
    for kind, value, choices in (("Pi", Pi, PI), ("coarsest", coarsest, COARSEST)):
        check_known(kind, value, choices)
    if Pi != "zero" and cycle_dtype not in (None, dtype):
        raise ValueError(
            f"expected Pi='zero' with a cycle_dtype: the cycle then carries corrections. Received: Pi={Pi!r}"
        )
    inner = keras.dtype_policies.get(cycle_dtype or dtype)
    A = checked(five_point() if A is None else A, n)
    chosen = suited(A).with_given(smoother, transfer, coarse, coarsening)
    grids = hierarchy(A, n, levels, chosen.transfer, chosen.coarse, coarsening)
    smoothed = len(grids) - (coarsest == "exact")
    rule = smoother_of(chosen.smoother, omega, degree, smoothed)

    parts = [_smoothing(rule, j, grid, nu, inner) for j, grid in enumerate(grids[:smoothed])]
    if coarsest == "exact":  # one step with B = A^{-1}
        once = [ResidualCorrection(count, dtype=inner) for count in (1, 0)]
        parts.append((inverse_layer(grids[-1], inner), once))
    form = "residual" if Pi == "zero" else "feature"
    grid_levels = [_level(j, g.A, *part, form, inner) for j, (g, part) in enumerate(zip(grids, parts, strict=True))]
    transfers = [_transfer(grid, f"transfer{j}", inner) for j, grid in enumerate(grids[:-1], 2)]

    u, f = (keras.Input((n, n, 1), dtype=dtype, name=key) for key in "uf")
    r = Residual(operator_layer(grids[0].A, "A", dtype), name="residual", dtype=dtype)(f, u)
    if Pi == "zero":
        e, _ = vcycle.cycle(r, grid_levels, transfers, visits=VISITS[cycle])
        result = keras.layers.Add(name="correction", dtype=dtype)([u, e])
    else:
        restrictions = [_restriction(Pi, f"Pi{j + 2}", inner) for j in range(len(grids) - 1)]
        result, _ = vcycle.cycle(r, grid_levels, transfers, u=u, Pi=restrictions, visits=VISITS[cycle])
    return keras.Model([u, f], result, name=name)


def cycle_levels(model: keras.Model) -> list[CycleLevel]:
    """Returns the levels of a solver, from the finest to the coarsest."""
    levels = [layer for layer in model.layers if isinstance(layer, CycleLevel)]
    return sorted(levels, key=lambda level: int(level.name.removeprefix("level")))


def _smoothing(rule: Smoother, j: int, grid: Grid, nu: tuple[int, int], dtype) -> tuple[Any, list[ResidualCorrection]]:
    """Returns B on one grid, and the schemes on the way down and up."""
    B = rule.B(j, grid, dtype)
    iterations = len(B) if isinstance(B, list) else 1
    return B, [rule.scheme(count * iterations, dtype) for count in nu]


def _level(j: int, A: np.ndarray, B, schemes: list[ResidualCorrection], form: str, dtype) -> CycleLevel:
    options = {"form": form, "smoothers": schemes, "operators": (operator_layer(A, "A", dtype), B), "dtype": dtype}
    return CycleLevel(1, *(scheme.nu for scheme in schemes), B=(None, None), name=f"level{j + 1}", **options)


def _transfer(grid: Grid, name: str, dtype) -> StencilTransfer | StencilFieldTransfer:
    """Returns the transfer from a grid. Constant kernels are stored as four times their values, which are integers."""
    R, P = grid.transfer
    if P.ndim == 4:
        return assigned(StencilFieldTransfer(P.shape[2:], name=name, dtype=dtype), P, grid.shape)
    return StencilTransfer((4 * R).tolist(), (4 * P).tolist(), 4.0, name=name, dtype=dtype)


def _restriction(Pi: str, name: str, dtype) -> StencilTransfer:
    kernel = INJECTION / 4 if Pi == "injection" else np.random.default_rng(0).normal(size=(3, 3))
    return StencilTransfer(kernel.tolist(), name=name, dtype=dtype)


def _check_nu(nu, cycle: str) -> tuple[int, int]:
    """Returns the smoothing steps on the way to coarser and to finer grids."""
    check_known("cycle", cycle, VISITS)
    if not isinstance(nu, Sequence) or len(nu) != 2 or not all(is_integer(count) and count >= 0 for count in nu):
        raise ValueError(f"expected nu=(down, up), two integers >= 0. Received: nu={nu!r}")
    down, up = (int(count) for count in nu)
    up = 0 if cycle == "backslash" else up
    if down + up == 0:
        raise ValueError(f"expected at least one smoothing step. Received: nu={nu!r}, cycle={cycle!r}")
    return down, up
