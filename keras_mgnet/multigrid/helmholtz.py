"""Helmholtz' equation as data: pressures in a box, by series of cosines. Finite differences would need far finer grids."""

import numpy as np

OMEGA = 1000.0
MODES = 48  # cosines per axis
TERMS = 1024  # of the part that carries the source
SOURCE = 0.35, 0.65


def cosines(points: np.ndarray, modes: int) -> np.ndarray:
    """Returns e_0 = 1 and e_k(x) = sqrt(2) cos(pi k x) at points (p,), as (p, modes). They are orthonormal on [0, 1].

    Example:
        >>> cosines(np.array([0.0, 1.0]), 3).round(3).tolist()
        [[1.0, 1.414, 1.414], [1.0, -1.414, 1.414]]
    """
    k = np.arange(modes)
    return np.where(k == 0, 1, np.sqrt(2)) * np.cos(np.pi * k * points[:, None])


def centres(n: int) -> np.ndarray:
    """Returns the centres of n cells of [0, 1]."""
    return (np.arange(n) + 0.5) / n


def pressures(c: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Solves -Laplace u - (omega / c)^2 u = 0 on the unit square. omega is 1000.

    The normal derivative of u is 1 on the part [0.35, 0.65] of the last row's side, and 0 on the rest of the boundary. Source:
    the data of de Hoop et al., "The cost-accuracy trade-off in operator learning with neural networks" (2022).

    u = u_0 + v. u_0 has the normal derivatives of u, and Laplace u_0 = u_0. v is a series of 48 x 48 cosines (`cosines`), whose
    Galerkin equations are solved directly: -Laplace v - (omega / c)^2 v = ((omega / c)^2 + 1) u_0.

    Args:
        c: wave speeds at the centres of m x m cells, (N, m, m). The integrals are sums over these points; m = 96 suffices.
        n: cells per side on which u is returned.

    Returns:
        u at the centres of n x n cells, (N, n, n), and the relative residuals of the Galerkin equations, (N,).

    Example:
        >>> u, residuals = pressures(np.full((1, 96, 96), 20.0), 16)
        >>> u.shape, bool(residuals[0] < 1e-10)
        ((1, 16, 16), True)
    """
    m = c.shape[-1]
    e, at = cosines(centres(m), MODES) / np.sqrt(m), cosines(centres(n), MODES)
    products = (e[:, :, None] * e[:, None]).reshape(m, -1)
    squares = (np.pi * np.arange(MODES)) ** 2
    laplace = np.diag((squares[:, None] + squares).ravel())
    fine, coarse = _smoothed(m), _of_the_source(n)
    found, residuals = [], []
    for square in (OMEGA / c) ** 2:
        mass = (products.T @ square @ products).reshape((MODES,) * 4).transpose(0, 2, 1, 3)
        A, b = laplace - mass.reshape(laplace.shape), (e.T @ ((square + 1) * fine) @ e).ravel() / m
        v = np.linalg.solve(A, b)
        residuals.append(np.linalg.norm(b - A @ v) / np.linalg.norm(b))
        found.append(coarse + at @ v.reshape(MODES, MODES) @ at.T)
    return np.stack(found), np.array(residuals)


def _flux(terms: int) -> np.ndarray:
    """Returns the integrals b_l of e_l over the source."""
    k, (first, last) = np.pi * np.arange(1, terms), SOURCE
    return np.append(last - first, np.sqrt(2) * (np.sin(k * last) - np.sin(k * first)) / k)


def _of_the_source(n: int) -> np.ndarray:
    """Returns u_0 = sum_l b_l cosh(s_l x) / (s_l sinh s_l) e_l(y) at the centres of n x n cells, with s_l^2 = (pi l)^2 + 1."""
    x, s = centres(n), np.sqrt((np.pi * np.arange(TERMS)) ** 2 + 1)
    along = (np.exp(s * (x[:, None] - 1)) + np.exp(-s * (x[:, None] + 1))) / (s * -np.expm1(-2 * s))
    return (along * _flux(TERMS)) @ cosines(x, TERMS).T


def _smoothed(m: int) -> np.ndarray:
    """Returns the first m x m terms of u_0 = sum_{k, l} e_k(1) b_l / (pi^2 (k^2 + l^2) + 1) e_k(x) e_l(y) at the same points."""
    squares, e = (np.pi * np.arange(m)) ** 2, cosines(centres(m), m)
    ends = cosines(np.ones(1), m).T
    return e @ (ends * _flux(m) / (squares[:, None] + squares + 1)) @ e.T
