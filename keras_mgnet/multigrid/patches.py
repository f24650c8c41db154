"""Additive Schwarz smoothers: A is solved exactly on overlapping patches of points, and the results are averaged."""

import numpy as np

from keras_mgnet.multigrid.black_box import inside


def additive_schwarz(A: np.ndarray, size: int) -> np.ndarray:
    """Returns B = sum_i R_i^T A_i^{-1} R_i / size^2 as a stencil at each point, (h, w, 2 size - 1, 2 size - 1).

    R_i restricts a grid to the points of the patch i, and A_i = R_i A R_i^T. The patches are all squares of size x size points,
    those that reach over the edge included. So each point is in size^2 patches. If A is symmetric and positive definite, so is B.
    If also all couplings of A are at most zero, the eigenvalues of B A are less than 1 + 2 / size, so u <- u + B (f - A u)
    converges for size >= 2.

    Args:
        A: stencils (h, w, 3, 3).
        size: points per side of a patch.

    Example:
        >>> A = np.broadcast_to([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], (3, 3, 3, 3))
        >>> additive_schwarz(A, 1)[1, 1].tolist()
        [[0.25]]
    """
    A = inside(A)
    h, w = A.shape[:2]
    margin = size - 1
    around = np.pad(A, [(margin, margin), (margin, margin), (0, 0), (0, 0)])
    around[..., 1, 1] = np.where(around[..., 1, 1] == 0, 1, around[..., 1, 1])  # points beyond the edge stay apart
    B = np.zeros((*around.shape[:2], 2 * size - 1, 2 * size - 1))
    pairs = [(a, b) for a in np.ndindex(size, size) for b in np.ndindex(size, size)]
    columns = w + margin
    for row in range(h + margin):  # one row of patches at a time, to save memory
        patches = np.zeros((columns, size, size, size, size))
        for a, b in pairs:
            d, e = b[0] - a[0], b[1] - a[1]
            if max(abs(d), abs(e)) <= 1:
                patches[:, *a, *b] = around[row + a[0], a[1] : a[1] + columns, d + 1, e + 1]
        inverses = np.linalg.inv(patches.reshape(columns, size**2, size**2)).reshape(patches.shape) / size**2
        for a, b in pairs:
            d, e = b[0] - a[0], b[1] - a[1]
            B[row + a[0], a[1] : a[1] + columns, d + margin, e + margin] += inverses[:, *a, *b]
    return B[margin : margin + h, margin : margin + w]
