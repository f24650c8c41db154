"""Operator-dependent interpolation: its weights come from the stencils of A (Dendy 1982, "Black box multigrid")."""

import numpy as np

BALANCED = 1e-9  # row sum, relative to the diagonal, up to which interpolation preserves constants


def black_box(A: np.ndarray, halves: tuple[bool, bool] = (True, True)) -> np.ndarray:
    """Returns the interpolation for a field A (h, w, 3, 3), a stencil at each coarse point.

    The entry [x, y, d, e] is the weight of the coarse point (x, y) in the fine point that is (d - 1, e - 1) from it. With
    halves=(True, True) the result has the shape (h // 2, w // 2, 3, 3). The fine points take the values that solve these
    equations:

    - Between two coarse points of a row: A * u = 0, if u does not change across the row. The weight of each neighbour is then
      the sum of a column of the stencil. Between two coarse points of a column, the same with the sums of the rows.
    - Between four coarse points: A * u = 0 with the values that were interpolated before.

    For jumping coefficients, fluxes are continuous and u is not smooth. Bilinear interpolation would be wrong there. For the
    five-point Laplacian away from the boundary, the result is bilinear interpolation. halves=(True, False) halves the rows and
    returns (h // 2, w, 3, 1); (False, True) returns (h, w // 2, 1, 3).

    Example:
        >>> laplacian = np.broadcast_to([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], (7, 7, 3, 3))
        >>> black_box(laplacian)[1, 1].tolist()
        [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
    """
    A = inside(A)
    rows, columns = halves
    down = _between(A.sum(-1), A)  # weights of the upper and of the lower neighbour
    right = _between(A.sum(-2), A)
    if not columns:
        return np.stack([down[:-1:2, :, 1], np.ones_like(down[1::2, :, 0]), down[2::2, :, 0]], axis=-1)[..., None]
    if not rows:
        return np.swapaxes(black_box(np.swapaxes(A, 0, 1).swapaxes(2, 3), (True, False)), 0, 1).swapaxes(2, 3)
    P = np.zeros((A.shape[0] // 2, A.shape[1] // 2, 3, 3))
    P[..., 1, 1] = 1
    P[..., 0, 1], P[..., 2, 1] = down[:-1:2, 1::2, 1], down[2::2, 1::2, 0]
    P[..., 1, 0], P[..., 1, 2] = right[1::2, :-1:2, 1], right[1::2, 2::2, 0]
    for d in (0, 2):
        for e in (0, 2):  # K is the stencil there; 2 - d and 2 - e point back to the coarse point
            K = A[d : A.shape[0] - 2 + d : 2, e : A.shape[1] - 2 + e : 2]
            near = K[..., 2 - d, 2 - e] + K[..., 2 - d, 1] * P[..., 1, e] + K[..., 1, 2 - e] * P[..., d, 1]
            P[..., d, e] = -near / K[..., 1, 1]
    return P


def _between(lumped: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Returns the weights (h, w, 2) of the neighbours along an axis. `lumped` are the stencils, summed over the other axis."""
    sides = -lumped[..., ::2]
    balanced = np.abs(A.sum((-2, -1))) <= BALANCED * A[..., 1, 1]
    return sides / np.where(balanced, sides.sum(-1), lumped[..., 1])[..., None]


def inside(A: np.ndarray) -> np.ndarray:
    """Returns a copy of a field (h, w, 3, 3) without the entries that point outside of the grid."""
    A = np.array(A, "float64")
    A[0, :, 0], A[-1, :, 2], A[:, 0, :, 0], A[:, -1, :, 2] = 0, 0, 0, 0
    return A
