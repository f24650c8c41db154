"""The components with which a solver converges for an operator, where the caller leaves them out."""

from typing import Any, NamedTuple

import numpy as np

from keras_mgnet.multigrid.grids import BLACK_BOX, Interpolation, neighbours, strong

SYMMETRIC = 1e-12  # largest difference of the couplings of two points, relative to the largest coupling


class Components(NamedTuple):
    """Arguments of `solver`, and the acceleration of `solve`."""

    smoother: Any  # a name, or one of the other forms
    transfer: str | Interpolation
    coarse: str
    accelerate: str  # "cg" or "none"

    def with_given(
        self,
        smoother: Any = None,
        transfer: str | Interpolation | None = None,
        coarse: str | None = None,
        coarsening: str = "full",
    ) -> "Components":
        """Returns the components with the arguments that are not None. Some of them are possible only with coarse="galerkin".

        Example:
            >>> suited(np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])).with_given(coarsening="strong").coarse
            'galerkin'
        """
        if coarse is None and (coarsening == "strong" or transfer == BLACK_BOX or callable(transfer)):
            coarse = "galerkin"
        given = {"smoother": smoother, "transfer": transfer, "coarse": coarse}
        return self._replace(**{name: value for name, value in given.items() if value is not None})


def suited(A: np.ndarray) -> Components:
    """Returns the components for an operator: a stencil (3, 3), one per point (n, n, 3, 3), or N operators (N, n, n, 3, 3).

    - Constant coefficients: Jacobi, or lines along the axis of strong couplings.
    - Variable coefficients, which may jump: interpolation by the operator, Galerkin operators and patches. If A is symmetric,
      also conjugate gradients.
    - Several operators: red-black Gauss-Seidel, bilinear interpolation and Galerkin operators, which are alike for all of them.

    Example:
        >>> suited(np.array([[0, -1, 0], [-0.01, 2.02, -0.01], [0, -1, 0]])).smoother
        'zebra_y'
    """
    if A.ndim == 5:
        return Components("red_black", "full_weighting", "galerkin", "none")
    if A.ndim == 4:
        return Components("patches", BLACK_BOX, "galerkin", "cg" if is_symmetric(A) else "none")
    smoother = {(True, False): "zebra_y", (False, True): "zebra_x"}.get(strong(A, (3, 3)), "jacobi")
    return Components(smoother, "full_weighting", "rediscretised", "none")


def is_symmetric(A: np.ndarray) -> bool:
    """Returns whether the matrix of a field (h, w, 3, 3) is symmetric: a(i -> j) = a(j -> i) for all points i and j."""
    partners = neighbours(np.arange(A.shape[0] * A.shape[1]).reshape(A.shape[:2]), outside=-1)
    values = A.reshape(-1, 3, 3)
    back = np.stack([values[partners[..., i, j], 2 - i, 2 - j] for i in range(3) for j in range(3)], -1)
    difference = np.abs(back - A.reshape(*A.shape[:2], 9))[partners.reshape(*A.shape[:2], 9) >= 0]
    return bool(difference.max() <= SYMMETRIC * np.abs(A).max())
