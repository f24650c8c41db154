"""V-cycle MgNet: MgNet's way down the grids, then the way up again (He & Xu 2019; KAUST m6_01, Algorithm 10)."""

from collections.abc import Sequence
from typing import Any, Unpack

from keras_mgnet.annotations import Map, Tensor
from keras_mgnet.layers import CycleLevel, CycleTransfer
from keras_mgnet.layers.sharing import check_share
from keras_mgnet.models.checks import is_integer, positive_integers
from keras_mgnet.models.family import EITHER, Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, Link, Picture, carried
from keras_mgnet.serialization import serializable

PICTURE = Picture(
    ("u", "r"),
    (carried("u"), Edge(("r", 0), ("u", 1), "B"), Edge(("u", 1), ("r", 1), "A")),
    (Link((0, "r"), (1, "r"), "R"), Link((1, "u"), (2, "u"), "Rᵀ"), Link((0, "u"), (2, "u")), Link((0, "r"), (2, "r"))),
    segments=((1, 1), (2, 1), (1, 1)),
    drop=1.4,
)


@serializable
class VCycleMgNet(Network):
    """V-cycle MgNet: goes down to the coarsest grid as `MgNet` does, and then up again to the first grid.

    On the way up, each grid l = J-1, ..., 1 adds a correction from the next coarser grid, and then smooths:

        u^l <- u^l + R *_2^T (u^{l+1} - Pi u^l)

    R *_2 is the convolution with kernel R and stride 2, and R *_2^T is its transpose. Both ways use the same A^l, the same R and,
    with share_B, the same B^l. Because A is linear, an iteration reads only r: it adds e = B(r) to u and subtracts A e from r.
    The r with which a grid starts does not contain Pi. So u^{l+1} minus its start Pi u^l is the same for every Pi, and the
    network has no Pi: unlike MgNet, it starts coarser grids from u = 0. Without norms and activations, and with the stencils of
    multigrid, the network is the textbook V-cycle.

    The features of the network are u^1 on the first grid. With include_top=False and pooling=None the network returns these
    features, (N, H, W, channels), for example for dense prediction. `keras_mgnet.features` returns the states of the way down.
    Norms and activations are at the same places as in MgNet, and R *_2^T has none. Source of the linear algorithm: KAUST m6_01,
    Algorithm 10.

    Args:
        nu: number of smoothing iterations on each grid on the way down. The length J of nu is the number of grids.
        channels: number of channels of u and of r, an integer or one per grid. u and r have equally many channels, because R *_2
            restricts r and R *_2^T prolongs u.
        post_nu: number of iterations on each grid on the way up, an integer >= 0; None for the number on the way down. The
            coarsest grid has no way up.
        share_B: whether all iterations on a grid share one B, on both ways. With False every iteration has its own B.

    Example:
        >>> VCycleMgNet((1, 1), 4, input_shape=(9, 7, 1), include_top=False, pooling=None).output_shape
        (None, 9, 7, 4)
    """

    family = Family(
        recipe="xuteam",
        small={"nu": (1,), "channels": 2},
        picture=PICTURE,
        space=Space("channels", "nu", choices={"share_B": EITHER}),
        rows=(Row("vcycle_mgnet_2222_c256_shared_b", {}, 6_513_930, source="KAUST m6_01, Algorithm 10"),),
    )

    def __init__(
        self,
        nu: Sequence[int] = (2, 2, 2, 2),
        channels: int | Sequence[int] = 256,
        *,
        post_nu: int | None = None,
        share_B: bool = True,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        nu = positive_integers("nu", nu)
        channels = positive_integers("channels", channels, len(nu))
        if post_nu is not None and not (is_integer(post_nu) and post_nu >= 0):
            raise ValueError(f"expected post_nu to be an integer >= 0 or None. Received: post_nu={post_nu!r}")
        check_share("share_B", share_B)

        with Frame(**arguments) as frame:
            post = [*(n if post_nu is None else int(post_nu) for n in nu[:-1]), 0]
            grids = list(zip(range(1, len(nu) + 1), nu, post, channels, strict=True))
            levels = [CycleLevel(c, n, p, share_B=share_B, name=f"level{j}", **frame.common) for j, n, p, c in grids]
            transfers = [CycleTransfer(c, name=f"transfer{j}", **frame.common) for j, *_, c in grids[1:]]
            u, _ = cycle(frame.begin(channels[0], len(nu)), levels, transfers)
        super().__init__(frame, u, name="vcycle_mgnet")


def cycle(
    r: Tensor,
    levels: Sequence[Any],
    transfers: Sequence[Any],
    *,
    u: Tensor | None = None,
    Pi: Sequence[Map] = (),
    visits: int = 1,
) -> tuple[Tensor, Tensor]:
    """Runs one cycle over all grids of `levels` and returns (u, r) of the first grid, KAUST m6_01, Algorithm 10.

    Args:
        r: residual f - A * u of the first grid, (N, H, W, c).
        levels: one `CycleLevel` per grid, from fine to coarse.
        transfers: transfers between the grids, called like a `CycleTransfer`.
        u: the initial u on the first grid; None for zero.
        Pi: one map per transfer that restricts u to the initial u of the next grid (full approximation scheme). With () coarser
            grids start from zero. If A and B are linear, the result does not depend on Pi.
        visits: how often a grid visits the next coarser grid: 1 in the V-cycle, 2 in the W-cycle. The coarsest grid is always
            visited once.
    """
    (level, *levels), (transfer, *transfers) = levels, transfers or [None]
    u, r = level(r) if u is None else level(r, u)
    if transfer is None:
        return u, r
    start = Pi[0](u) if Pi else None
    e, residual = start, transfer(r)
    for _ in range(visits if transfers else 1):
        e, residual = cycle(residual, levels, transfers, u=e, Pi=Pi[1:], visits=visits)
    return level(r, u, transfer(r, e if start is None else e - start))
