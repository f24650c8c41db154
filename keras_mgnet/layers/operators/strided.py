"""Stencils with stride 2 and their adjoints: what restricts and interpolates in multigrid, and in cyclic reduction."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import steps

Weights = Mapping[tuple[int, int], Any]
Halves = tuple[bool, bool]


def restrict(x: Tensor, weights: Weights, halves: Halves = (True, True)) -> Tensor:
    """Restricts x by a stencil without padding: returns the sum over d, e of weights[d, e] x(2 i + 1 + d, 2 j + 1 + e).

    Args:
        x: (N, 2 m + 1, 2 n + 1, c). The result is (N, m, n, c).
        weights: maps an offset (d, e) with |d|, |e| <= 1 to a number, or to a tensor that can be multiplied with the result.
        halves: whether the number of rows and of columns is halved. If rows are kept, d is 0 and the sum has x(i, 2 j + 1 + e).
    """
    _, h, w, _ = x.shape
    rows, columns = halves
    terms = [weight * x[:, _places(h, d, rows), _places(w, e, columns)] for (d, e), weight in weights.items()]
    return steps.superpose(terms)


def _places(size: int, offset: int, half: bool) -> slice:
    return slice(1 + offset, size - 1 + offset, 2) if half else slice(None)


def interpolate(e: Tensor, weights: Weights, halves: Halves = (True, True)) -> Tensor:
    """Applies the adjoint of `restrict` to e (N, m, n, c)."""
    rows, columns = halves
    parts: dict[int, dict[int, Tensor]] = {}
    for (d, offset), weight in weights.items():
        parts.setdefault(offset, {})[d] = weight * e
    lines = {offset: _interlaced(part, 1) if rows else part[0] for offset, part in parts.items()}
    return _interlaced(lines, 2) if columns else lines[0]


def _interlaced(parts: Mapping[int, Tensor], axis: int) -> Tensor:
    """Adds parts[d](i) to the value at 2 i + 1 + d along an axis, and returns the 2 m + 1 values of the sums."""
    padded = {
        d: ops.pad(x, [(int(d > 0), int(d <= 0)) if a == axis else (0, 0) for a in range(4)]) for d, x in parts.items()
    }
    even = [padded[d] for d in (-1, 1) if d in padded]
    zeros = ops.zeros_like(next(iter(padded.values())))
    both = ops.stack([steps.superpose(even) if even else zeros, padded.get(0, zeros)], axis=axis + 1)
    _, h, w, c = zeros.shape
    size = 2 * zeros.shape[axis]
    x = ops.reshape(both, (-1, size, w, c) if axis == 1 else (-1, h, size, c))
    return x[:, :-1] if axis == 1 else x[:, :, :-1]
