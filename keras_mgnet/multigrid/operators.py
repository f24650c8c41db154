"""Model problems: differential operators on the unit square as stencils, times h^2 for mesh width h. Boundary values are zero."""

import numpy as np

from keras_mgnet.models.checks import is_real


def five_point() -> np.ndarray:
    """Returns the stencil of -Laplace u, times h^2: [0 -1 0; -1 4 -1; 0 -1 0].

    Example:
        >>> float(five_point().sum())
        0.0
    """
    return anisotropic(1.0)


def anisotropic(eps: float) -> np.ndarray:
    """Returns the stencil of -(eps u_xx + u_yy), times h^2. x runs along the rows of the grid, y down its columns.

    Raises:
        ValueError: if eps is not positive and finite.

    Example:
        >>> anisotropic(0.01)[1].tolist()
        [-0.01, 2.02, -0.01]
    """
    if not (is_real(eps) and eps > 0):
        raise ValueError(f"expected eps to be positive. Received: eps={eps!r}")
    return np.array([[0, -1, 0], [-eps, 2 + 2 * eps, -eps], [0, -1, 0]], "float64")


def diffusion(a) -> np.ndarray:
    """Returns the stencils of -div(a grad u), times h^2, at each of n x n points: (n, n, 3, 3).

    The points are centres of finite volumes. The flux between two neighbouring points uses the mean of a in the two cells on
    both sides of the edge that joins the points.

    Args:
        a: (n + 1, n + 1), the positive coefficient in each cell of the grid.

    Raises:
        ValueError: if a is not square, positive and finite.

    Example:
        >>> diffusion(np.ones((4, 4)))[0, 0].tolist()
        [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]
    """
    a = np.asarray(a, "float64")
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.isfinite(a).all() or not (a > 0).all():
        raise ValueError(f"expected one positive coefficient a per cell, (n + 1, n + 1). Received: shape {a.shape}")
    across, along = (a[:, 1:] + a[:, :-1]) / 2, (a[1:] + a[:-1]) / 2
    fluxes = {(0, 1): across[:-1], (2, 1): across[1:], (1, 0): along[:, :-1], (1, 2): along[:, 1:]}
    field = np.zeros((a.shape[0] - 1, a.shape[1] - 1, 3, 3))
    for (i, j), flux in fluxes.items():
        field[:, :, i, j] = -flux
    field[:, :, 1, 1] = sum(fluxes.values())
    return field


def block(n: int, contrast: float = 1000.0) -> np.ndarray:
    """Returns the stencils (n, n, 3, 3) of `diffusion` with the coefficient `contrast` in a square in the middle, and 1 outside.

    The square has a third of the points per side. For n = 2^k - 1 its sides are not on lines of the coarser grids.

    Example:
        >>> block(15)[7, 7, 1].tolist(), block(15)[0, 0, 1].tolist()
        ([-1000.0, 4000.0, -1000.0], [-1.0, 4.0, -1.0])
    """
    a = np.ones((n + 1, n + 1))
    a[n // 3 : n - n // 3 + 1, n // 3 : n - n // 3 + 1] = _checked(contrast)
    return diffusion(a)


def jumps(n: int, contrast: float = 1000.0, tiles: int = 8, seed: int = 0) -> np.ndarray:
    """Returns the stencils (n, n, 3, 3) of `diffusion` with coefficient 1 or `contrast`, drawn for each of tiles x tiles squares.

    tiles = n + 1 draws a coefficient for each cell of the grid.

    Example:
        >>> sorted({float(d) for d in jumps(15, 10.0)[:, :, 1, 1].ravel()} & {4.0, 40.0})
        [4.0, 40.0]
    """
    contrast = _checked(contrast)
    high = np.random.default_rng(seed).random((tiles, tiles)) < 0.5
    place = np.arange(n + 1) * tiles // (n + 1)
    return diffusion(np.where(high[np.ix_(place, place)], contrast, 1.0))


def _checked(contrast: float) -> float:
    if not 0 < contrast < np.inf:
        raise ValueError(f"expected a positive contrast. Received: contrast={contrast!r}")
    return contrast
