"""The equations of preconditioned conjugate gradients, for all right-hand sides of a batch at once."""

from keras import ops

from keras_mgnet.annotations import Tensor


def conjugate_direction(z: Tensor, r: Tensor, before: Tensor, p: Tensor, zr: Tensor) -> Tensor:
    """Returns z + beta p, beta = <z, r - r'> / <z', r'>: the next direction of flexible conjugate gradients, Notay 2000.

    r is the residual and z = B r, where B is the preconditioner. r' (`before`) is the previous residual, p the previous direction
    and `zr` the previous <z', r'>. The preconditioner need not be symmetric. If it is, this is the usual direction.
    """
    return z + quotient(inner(z, r - before), zr) * p


def steepest(u: Tensor, r: Tensor, p: Tensor, Ap: Tensor) -> Tensor:
    """Returns u + alpha p, alpha = <p, r> / <p, A p>. The error is the smallest along p, in the norm of a symmetric A."""
    return u + quotient(inner(p, r), inner(p, Ap)) * p


def inner(x: Tensor, y: Tensor) -> Tensor:
    """Returns the inner product of each image, (N, 1, 1, 1)."""
    return ops.sum(x * y, axis=(1, 2, 3), keepdims=True)


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """Returns a / b, and 0 where b is 0."""
    return ops.where(b == 0, ops.zeros_like(a), a / ops.where(b == 0, ops.ones_like(b), b))
