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
    """V-cycle MgNet: down as `MgNet`, then up by u^l <- u^l + R *_2^T (u^{l+1} - Pi u^l) and post-smoothing, l = J-1, ..., 1.

    The way up uses the convolutions of the way down: A^l, B^l (with share_B) and the transpose of R. There is no Pi. While A is
    linear, the steps of a grid see only r. So u^{l+1} - Pi u^l is what the coarse grid adds to u^{l+1} = 0, whatever Pi is.
    Without norms and sigma, and with the stencils of multigrid, the network is the textbook V-cycle.

    The output is u^1, on the first grid. With `include_top=False, pooling=None` it is the backbone of dense prediction, (N, H, W,
    channels). `features` gives the states of the way down. Source: the linear algorithm is KAUST m6_01, Algorithm 10. Sigma and
    norms are where MgNet has them; R *_2^T has none.

    Args:
        nu: smoothing iterations per grid on the way down. Its length J is the number of grids.
        channels: c_u = c_f, an integer or one per grid. They are equal because R *_2 restricts data and R *_2^T prolongs
            features.
        post_nu: iterations per grid on the way up, an integer >= 0; None for the nu of the grid. The coarsest grid has none.
        share_B: whether a grid has one B, for both ways. False gives every iteration its own.

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
    """Returns (u, r) after one cycle over the grid of levels[0] and those below it, KAUST m6_01, Algorithm 10.

    Args:
        r: f - A * u, (N, H, W, c).
        levels: one `CycleLevel` per grid.
        transfers: transfers between the grids, called like a `CycleTransfer`.
        u: the state before; None for zero.
        Pi: one map per transfer that restricts u. The next grid begins with the result, as in the full approximation scheme. With
            () the grids begin with zero. While A and B are linear it makes no difference.
        visits: how often a grid calls the next one: 1 for the V-cycle, 2 for the W-cycle. The coarsest grid is called once.
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
