"""The V-cycle of an operator network, made of learned convolutions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import Conv, DataCorrection, DataSystem, GridTransfer, Level, Prolongation, Residual
from keras_mgnet.layers.operators.grid_norm import GridNorm
from keras_mgnet.models.checks import is_integer
from keras_mgnet.models.frame import MOST_GRIDS

Steps = Sequence[Sequence[int]]


class Variant(NamedTuple):
    """What distinguishes the published networks, apart from their sizes.

    Attributes:
        bias: whether A and B have a bias.
        norms: where layer normalisations are: after each "correction" from a coarser grid, after each "cycle", or nowhere.
        pointwise: whether each layer adds K u + b with a 1x1 convolution K.
        ends_in_cycle: whether the last map is a V-cycle. If not, it is a 1x1 convolution.
        adds_input: whether the network adds its input to the output of the last map.
    """

    bias: bool = False
    norms: str | None = None
    pointwise: bool = False
    ends_in_cycle: bool = False
    adds_input: bool = False


@dataclass(frozen=True)
class Cycle:
    """Makes the V-cycles of a network. Attributes as the arguments of `MgNO`; `growth` has channels in units of the first grid.

    Layers of grid l of V-cycle k are named by (k, l), counted from 1, such as "level1_2".
    """

    steps: Steps
    growth: Sequence[int]
    kind: Variant
    padding: str
    restrict: str
    coarse_points: str
    common: dict[str, Any]

    def __call__(self, k: int, channels: int, f: Tensor) -> Tensor:
        """Returns u of the first grid for the data f (N, H, W, c_f), as (N, H, W, channels)."""
        return self._from_grid(k, 0, channels, f.shape[-1], f, None)

    def _from_grid(self, k: int, l: int, c_u: int, c_f: int, f: Tensor, u: Tensor | None) -> Tensor:  # noqa: E741
        """Returns u of grid l after the part of the V-cycle on this grid and on all coarser ones."""
        place, down = f"{k}_{l + 1}", self.steps[l][0]
        u = self._smooth(f"level{place}", down, c_u * self.growth[l], f, u)
        if l + 1 == len(self.steps):
            return u
        e, g = self._restricted(f"{k}_{l + 2}", c_u * self.growth[l + 1], c_f * self.growth[l + 1], f, u)
        e = self._from_grid(k, l + 1, c_u, c_f, g, e)
        up = Prolongation(padded=self.coarse_points == "even", name=f"up{place}", **self.common)
        u = up(u, e)
        if self.kind.norms == "correction":
            u = GridNorm(name=f"norm{place}", dtype=self.common["dtype"])(u)
        return self._smooth(f"level{place}_up", self.steps[l][1], c_u * self.growth[l], f, u)

    def _smooth(self, name: str, count: int, channels: int, f: Tensor, u: Tensor | None) -> Tensor:
        if not count:
            return u
        dtype, options = self.common["dtype"], {"padded": self.padding, "bias": self.kind.bias, **self.common}
        system = DataSystem(channels, f.shape[-1], count, from_zero=u is None, name="system", **options)
        level = Level(DataCorrection(dtype=dtype), system, name=name, dtype=dtype)
        return (level(f) if u is None else level(f, u))[0]

    def _restricted(self, place: str, c_u: int, c_f: int, f: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the start u and the data f of the next grid."""
        if self.restrict == "residual":
            A = Conv(f.shape[-1], padded=self.padding, name="A", **self.common)
            f = Residual(A, name=f"residual{place}", dtype=self.common["dtype"])(f, u)
        padded = self.padding if self.coarse_points == "even" else False
        options = {"normalize": False, "padded": padded, "name": f"transfer{place}", **self.common}
        return GridTransfer(c_u, c_f, **options)(u, f)


def check_steps(steps: Any) -> tuple[tuple[int, int], ...]:
    """Returns `steps` as pairs of integers. Raises ValueError unless they make a V-cycle.

    Example:
        >>> check_steps([[1, 0], [2, 1]])
        Traceback (most recent call last):
            ...
        ValueError: expected (before, 0) as the steps of the coarsest grid, ... Received: steps=[[1, 0], [2, 1]]
    """
    pairs: Sequence[Any] = steps if isinstance(steps, (tuple, list)) and steps else [()]
    for pair in pairs:
        is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
        if not is_pair or not all(is_integer(count) and 0 <= count <= 1_000 for count in pair):
            raise ValueError(
                f"expected steps to be pairs (before, after) of integers >= 0, one per grid. Received: steps={steps!r}"
            )
    if len(pairs) > MOST_GRIDS:
        raise ValueError(f"expected at most {MOST_GRIDS} grids. Received: {len(pairs)}")
    if pairs[0][0] < 1:
        raise ValueError(f"expected at least one step on the way down of the first grid. Received: steps={steps!r}")
    if pairs[-1][1]:
        raise ValueError(
            f"expected (before, 0) as the steps of the coarsest grid, which has no way up. Received: steps={steps!r}"
        )
    return tuple((int(before), int(after)) for before, after in pairs)


def check_growth(channels: Sequence[int]) -> tuple[int, ...]:
    """Returns channels in units of those of the first grid. Raises ValueError unless they are multiples.

    Example:
        >>> check_growth((20, 40, 60))
        (1, 2, 3)
    """
    if any(c % channels[0] for c in channels):
        raise ValueError(f"expected channels to be multiples of the first. Received: channels={tuple(channels)}")
    return tuple(c // channels[0] for c in channels)


def check_grids(sides: Sequence[int | None], grids: int, coarse_points: str, padding: str) -> None:
    """Raises ValueError unless all transfers fit the grids below a grid of these sides. Sides of None stand for any.

    Example:
        >>> check_grids((8, 9), 3, "even", "zeros")
        Traceback (most recent call last):
            ...
        ValueError: expected a height and width that are both even or both odd on each grid. Received: 8 x 9 points on grid 1
    """
    if None in sides:
        return
    now = [int(side) for side in sides if side is not None]
    for grid in range(1, grids + 1):
        is_last = grid == grids
        least = (1 if is_last and padding != "reflect" else 2) + (coarse_points == "odd" and not is_last)
        if min(now) < least:
            raise ValueError(
                f"expected an input_shape that leaves at least {least} x {least} points on grid {grid} of {grids}. "
                f"Received: {sides[0]} x {sides[1]} points, of which {now[0]} x {now[1]} are left"
            )
        if not is_last and sum(now) % 2:
            received = f"{now[0]} x {now[1]} points on grid {grid}"
            raise ValueError(
                f"expected a height and width that are both even or both odd on each grid. Received: {received}"
            )
        now = [(n + 1) // 2 if coarse_points == "even" else (n - 1) // 2 for n in now]
