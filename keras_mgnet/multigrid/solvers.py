"""The multigrid solver as a Keras model: one cycle maps (u, f) to the next u."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_mgnet.errors import check_known
from keras_mgnet.layers import CycleLevel, Residual, StencilTransfer
from keras_mgnet.layers.schemes.smoothers import ResidualCorrection
from keras_mgnet.models import vcycle
from keras_mgnet.models.checks import is_integer
from keras_mgnet.multigrid.grids import inverse_layer, operator_layer, operators, sizes
from keras_mgnet.multigrid.operators import five_point
from keras_mgnet.multigrid.smoothers import smoother_of
from keras_mgnet.multigrid.stencils import INJECTION, TRANSFERS, Transfer

VISITS = {"backslash": 1, "V": 1, "W": 2}  # of the next grid, in one cycle of this kind
PI = ("zero", "injection", "random")
COARSEST = ("exact", "smooth")


def solver(
    n: int,
    *,
    cycle: str = "V",
    nu: tuple[int, int] = (1, 1),
    smoother="jacobi",
    omega: float = 0.8,
    levels: int | None = None,
    Pi: str = "zero",
    dtype="float64",
    A=None,
    transfer: str = "full_weighting",
    coarse: str = "rediscretised",
    coarsest: str = "exact",
    degree: int = 2,
    cycle_dtype=None,
    name: str = "multigrid",
) -> keras.Model:
    """Returns the model that maps [u, f], each (N, n, n, 1), to u after one multigrid cycle for A * u = f.

    It is MgNet's iteration, linear and with fixed stencils: u <- u + B * (f - A * u) on each grid, He2019 (4.3), with R on the
    way down and P on the way up (KAUST m6_01, Algorithm 10). The model can be saved, trained through and compiled by XLA. It maps
    a solution to itself, whatever its smoother.

    Args:
        n: points per side in the interior of the unit square, 2^k - 1; h = 1 / (n + 1). f is h^2 times the right-hand side.
        cycle: "V", "W", or "backslash", a V-cycle without smoothing on the way up.
        nu: smoothing steps down and up.
        smoother: "jacobi", "red_black" (Gauss-Seidel), "chebyshev", B itself as a kernel (k, k), or a list of layers (N, m, m, 1)
            -> (N, m, m, 1), trainable or not: the B of each grid but the coarsest.
        omega: weight of Jacobi.
        levels: number of grids; None for all grids down to a single point.
        Pi: initial u on a coarser grid, as in the full approximation scheme: "zero", "injection" or "random". The cycle is the
            same in exact arithmetic. "zero" carries residuals, the two others u and f.
        dtype: dtype of u, f and the result.
        A: h^2 times the operator: a stencil (3, 3) or one for each point, (n, n, 3, 3), such as `anisotropic` and `diffusion`
            return; None for -Laplace u. It is zero outside the grid.
        transfer: "full_weighting" with bilinear interpolation, "fem", or "injection" with bilinear interpolation.
        coarse: the operators of the coarser grids, "rediscretised" or "galerkin" (R A P).
        coarsest: "exact", or "smooth", which smooths nu[0] times there too.
        degree: degree of Chebyshev's polynomial.
        cycle_dtype: dtype of everything except the first residual f - A * u and the sum at the end; None for dtype. With
            "float32" the iteration still converges to the solution in dtype, by iterative refinement.
        name: name of the model.

    Raises:
        ValueError: if n is not 2^k - 1, a name is unknown, nu has no smoothing step, or A has another shape.

    Example:
        >>> model = solver(15)
        >>> u, f = np.zeros((1, 15, 15, 1)), np.full((1, 15, 15, 1), 1 / 16**2)
        >>> for _ in range(12):
        ...     u = model.predict_on_batch([u, f])
        >>> float(u[0, 7, 7, 0].round(4))  # of -Laplace u = 1 in the middle, 0.0737 in the limit h -> 0
        0.0734
    """
    points = sizes(n, levels)
    nu = _check_nu(nu, cycle)
    for kind, value, choices in (("Pi", Pi, PI), ("transfer", transfer, TRANSFERS), ("coarsest", coarsest, COARSEST)):
        check_known(kind, value, choices)
    if Pi != "zero" and cycle_dtype not in (None, dtype):
        raise ValueError(
            f"expected Pi='zero' with a cycle_dtype: the cycle then carries corrections. Received: Pi={Pi!r}"
        )
    inner = keras.dtype_policies.get(cycle_dtype or dtype)
    grids = operators(five_point() if A is None else A, n, len(points), TRANSFERS[transfer], coarse)
    smoothed = len(points) - (coarsest == "exact")
    rule = smoother_of(smoother, omega, degree, smoothed)

    parts = [(rule.B(j, A, inner), [rule.scheme(count, inner) for count in nu]) for j, A in enumerate(grids[:smoothed])]
    if coarsest == "exact":  # one step with B = A^{-1}
        once = [ResidualCorrection(count, dtype=inner) for count in (1, 0)]
        parts.append((inverse_layer(grids[-1], points[-1], inner), once))
    form = "residual" if Pi == "zero" else "feature"
    grid_levels = [_level(j, A, *part, form, inner) for j, (A, part) in enumerate(zip(grids, parts, strict=True))]
    transfers = [_transfer(TRANSFERS[transfer], f"transfer{j + 2}", inner) for j in range(len(points) - 1)]

    u, f = (keras.Input((n, n, 1), dtype=dtype, name=key) for key in "uf")
    r = Residual(operator_layer(grids[0], "A", dtype), name="residual", dtype=dtype)(f, u)
    if Pi == "zero":
        e, _ = vcycle.cycle(r, grid_levels, transfers, visits=VISITS[cycle])
        result = keras.layers.Add(name="correction", dtype=dtype)([u, e])
    else:
        restrictions = [_restriction(Pi, f"Pi{j + 2}", inner) for j in range(len(points) - 1)]
        result, _ = vcycle.cycle(r, grid_levels, transfers, u=u, Pi=restrictions, visits=VISITS[cycle])
    return keras.Model([u, f], result, name=name)


def cycle_levels(model: keras.Model) -> list[CycleLevel]:
    """Returns the levels of a solver, fine to coarse."""
    levels = [layer for layer in model.layers if isinstance(layer, CycleLevel)]
    return sorted(levels, key=lambda level: int(level.name.removeprefix("level")))


def _level(j: int, A: np.ndarray, B, schemes: list[ResidualCorrection], form: str, dtype) -> CycleLevel:
    options = {"form": form, "smoothers": schemes, "operators": (operator_layer(A, "A", dtype), B), "dtype": dtype}
    return CycleLevel(1, *(scheme.nu for scheme in schemes), B=(None, None), name=f"level{j + 1}", **options)


def _transfer(kernels: Transfer, name: str, dtype) -> StencilTransfer:
    """Returns a layer with four times the kernels, which are integers; the layer divides by 4."""
    R, P = ((4 * kernel).tolist() for kernel in kernels)
    return StencilTransfer(R, P, 4.0, name=name, dtype=dtype)


def _restriction(Pi: str, name: str, dtype) -> StencilTransfer:
    kernel = INJECTION / 4 if Pi == "injection" else np.random.default_rng(0).normal(size=(3, 3))
    return StencilTransfer(kernel.tolist(), name=name, dtype=dtype)


def _check_nu(nu, cycle: str) -> tuple[int, int]:
    """Returns the smoothing steps down and up."""
    check_known("cycle", cycle, VISITS)
    if not isinstance(nu, Sequence) or len(nu) != 2 or not all(is_integer(count) and count >= 0 for count in nu):
        raise ValueError(f"expected nu=(down, up), two integers >= 0. Received: nu={nu!r}")
    down, up = (int(count) for count in nu)
    up = 0 if cycle == "backslash" else up
    if down + up == 0:
        raise ValueError(f"expected at least one smoothing step. Received: nu={nu!r}, cycle={cycle!r}")
    return down, up
