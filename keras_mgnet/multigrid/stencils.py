"""Stencils on coarser grids: the product K_H = R K_h P, or the same differential operator discretised again (Lu2017)."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_mgnet.errors import check_known

FULL_WEIGHTING = np.outer((1, 2, 1), (1, 2, 1)) / 4
FEM = np.array([[0, 1, 1], [1, 2, 1], [1, 1, 0]]) / 2
INJECTION = np.array([[0, 0, 0], [0, 4, 0], [0, 0, 0]], "float64")


class Transfer(NamedTuple):
    """The stencils of a restriction R and an interpolation P: a kernel (3, 3), or one for each coarse point, (m, n, 3, 3).

    Kernels of size (3, 1) halve only the rows, and kernels of size (1, 3) only the columns. P preserves constants. R has the sum
    4, because right-hand sides are multiplied by h^2, which is (2 h)^2 on the next grid. If only one axis is halved, R has the
    sum 2, because right-hand sides are multiplied by h_x h_y, and only one of the two doubles.
    """

    R: np.ndarray
    P: np.ndarray

    @property
    def halves(self) -> tuple[bool, bool]:
        """Whether the transfer halves the rows, and whether it halves the columns."""
        return self.P.shape[-2] > 1, self.P.shape[-1] > 1


TRANSFERS = {
    "full_weighting": Transfer(FULL_WEIGHTING, FULL_WEIGHTING),
    "fem": Transfer(FEM, FEM),
    "injection": Transfer(INJECTION, FULL_WEIGHTING),
}


def galerkin(K, transfer: Transfer) -> np.ndarray:
    """Returns the stencil of R K P for a stencil K (k_h, k_w, ...) of odd size and constant R and P.

    R K P is the coarse operator if each grid multiplies right-hand sides by its own h^2.
    """
    K = np.asarray(K, "float64")
    R, P = transfer
    return _product(transfer.halves, K.shape[:2], lambda i, j, p, D: R[i] * P[p] * K[j])


def galerkin_field(A: np.ndarray, transfer: Transfer) -> np.ndarray:
    """Returns the stencils (m, n, 3, 3) of R A P at the coarse points, from the stencils (h, w, 3, 3) of A.

    R and P may be constant or have a stencil at each coarse point. Entries of A outside the grid are not used.
    """
    halves, (h, w) = transfer.halves, A.shape[:2]
    R = transfer.R
    around = np.pad(transfer.P, [(1, 1), (1, 1), (0, 0), (0, 0)]) if transfer.P.ndim == 4 else None

    def P(p, D):
        if around is None:
            return transfer.P[p]
        m, n = (size - 2 for size in around.shape[:2])
        return around[1 + D[0] : 1 + D[0] + m, 1 + D[1] : 1 + D[1] + n, *p]

    def term(i, j, p, D):
        rows, columns = (
            slice(k, size - 2 + k, 2) if half else slice(None) for k, size, half in zip(i, (h, w), halves, strict=True)
        )
        return R[..., *i] * P(p, D) * A[rows, columns, *j]

    return np.moveaxis(_product(halves, (3, 3), term), (0, 1), (2, 3))


def _product(halves: tuple[bool, bool], size: tuple[int, int], term: Callable) -> np.ndarray:
    """Returns the stencil of R K P. Its entry for an offset D on the coarse grid is the sum of term(i, j, p, D).

    i, j and p are places in the kernels of R, K and P, such that the offsets satisfy p = i + j - s D. s is 2 along an axis that
    is halved, else 1. `size` is the size of K.
    """
    width = [3 if half else 1 for half in halves]
    reach = [length // 2 for length in size]
    coarse = [(r + 2) // 2 if half else r for r, half in zip(reach, halves, strict=True)]

    def entry(D):
        total = 0.0
        for i in itertools.product(*map(range, width)):
            for j in itertools.product(*map(range, size)):
                p = tuple(i[a] + j[a] - reach[a] - (2 if halves[a] else 1) * D[a] for a in (0, 1))
                if all(0 <= p[a] < width[a] for a in (0, 1)):
                    total = total + term(i, j, p, D)
        return total

    rows, columns = (range(-c, c + 1) for c in coarse)
    return np.array([[entry((row, column)) for column in columns] for row in rows])


def moment_matrix(K) -> np.ndarray:
    """Returns the moments M_ab = sum_{d,e} d^a e^b K[d, e] of a stencil K (k_h, k_w, ...), as an array of the same shape.

    (d, e) are the offsets from the centre, and a < k_h, b < k_w.

    Example:
        >>> float(moment_matrix([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[2, 0])  # 2! times the coefficient of h^2 u_xx
        2.0
    """
    return along_axes([powers(size) for size in np.shape(K)[:2]], K)


def rediscretised(K, ratio: float = 2.0) -> np.ndarray:
    """Returns a stencil of the same size for the same differential operator on a grid with the mesh size H = `ratio` * h.

    On a grid with mesh size h, K approximates sum_ab M_ab / (a! b!) h^{a+b} d_x^a d_y^b, where M is `moment_matrix(K)`. So the
    moments of the new stencil are (h / H)^{a+b} M_ab.
    """
    both = [(powers(size), ratio ** -np.arange(size)) for size in np.shape(K)[:2]]
    return along_axes([np.linalg.solve(V, scale[:, None] * V) for V, scale in both], K)


def powers(size: int) -> np.ndarray:
    """Returns the matrix (size, size) whose row a has the powers d^a of the offsets d from the centre."""
    return np.vander(np.arange(size) - size // 2, size, increasing=True).T.astype("float64")


def along_axes(matrices, K) -> np.ndarray:
    """Returns sum_{d,e} S[a, d] T[b, e] K[d, e, ...], where `matrices` are S and T, one for each of the first two axes."""
    return np.einsum("ai,bj,ij...->ab...", *matrices, np.asarray(K, "float64"))


RULES: dict[str, Callable] = {
    "galerkin": lambda K: galerkin(K, TRANSFERS["full_weighting"]) / 4,
    "fem": lambda K: galerkin(K, TRANSFERS["fem"]) / 4,
    "moment": rediscretised,
}


def real_array(name: str, values: Any) -> np.ndarray:
    """Returns values as an array of float64. Raises ValueError if they are not real numbers."""
    try:
        return np.asarray(values, "float64")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected an array of real numbers. Received: {name}={values!r}") from error


def transfer_stencil(K, rule: str = "galerkin") -> np.ndarray:
    """Returns the stencil K_H that represents K on a grid of twice the width (Lu2017, "Learning across scales").

    - "galerkin" is R K P with bilinear interpolation P and full weighting R.
    - "fem" is R K P with linear interpolation P on triangles and R = P^T / 4.
    - "moment" discretises the differential operator again, with a stencil of the same size.

    "galerkin" and "fem" preserve the sum of K. They return a 3x3 stencil for 1x1 and 3x3 stencils, and a 5x5 stencil for 5x5
    stencils. K includes its powers of h. For example, the five-point stencil divided by h^2 becomes a stencil divided by
    (2 h)^2. If stencils are multiplied by h^2, the stencil on the coarse grid is therefore 4 K_H.

    Lu2017 asks for R P = I and P = 4 R^T. "galerkin" and "fem" have P = 4 R^T, which excludes R P = I for these P. For K = 1 the
    result is R P.

    Args:
        K: stencil (k_h, k_w, ...) with odd k_h and k_w, such as a convolution kernel (k_h, k_w, c_in, c_out).
        rule: "galerkin", "fem" or "moment".

    Raises:
        ValueError: if the rule is unknown, or the size of the stencil is even.

    Example:
        >>> 4 * transfer_stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], "fem")
        array([[ 0., -1.,  0.],
               [-1.,  4., -1.],
               [ 0., -1.,  0.]])
    """
    K = real_array("K", K)
    check_known("rule", rule, RULES)
    if K.ndim < 2 or not all(size % 2 for size in K.shape[:2]):
        raise ValueError(f"expected a stencil of odd height and width. Received: shape {K.shape}")
    return RULES[rule](K)
