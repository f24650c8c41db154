"""MgNet: multigrid as a classifier (He & Xu 2019; He, Chen, Zhang, Xu 2019, section 4)."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import GridLevel, GridTransfer
from keras_mgnet.layers.sharing import check_share
from keras_mgnet.models.checks import positive_integers
from keras_mgnet.models.datasets import IMAGENET, MNIST
from keras_mgnet.models.family import EITHER, Family, Row, Space, accuracies
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import smoothing
from keras_mgnet.serialization import serializable


def _row(
    name: str,
    nu: Sequence[int],
    channels: int | Sequence[int],
    share_B: bool,
    params: int,
    source: str = "XuTeam code",
    **options: Any,
) -> Row:
    return Row(name, {"nu": nu, "channels": channels, "share_B": share_B}, params, source=source, **options)


README, FOUR, WIDER = "XuTeam README", (2, 2, 2, 2), (64, 128, 256, 512)
ROWS = (
    _row(
        *("mgnet_2222_c256_shared_b", FOUR, 256, True, 8_278_794, README),
        published=accuracies(README, "8.2M", cifar10=96.00, cifar100=79.94),
    ),
    _row(
        *("mgnet_3463_c128_256_512_1024", (3, 4, 6, 3), (128, 256, 512, 1024), False, 71_270_504, README),
        published=accuracies(README, "71.3M", imagenet=78.59),
        dataset=IMAGENET,
    ),
    _row("mgnet_1111_c64_shared_b", (1, 1, 1, 1), 64, True, 520_394, "KAUST lecture MG_MgNet", recipe="kaust"),
    _row("mgnet_2222_c256_shared_b_mnist", FOUR, 256, True, 8_274_186, dataset=MNIST),
    _row("mgnet_2222_c256_mnist", FOUR, 256, False, 10_633_482, dataset=MNIST),
    _row("mgnet_2222_c256", FOUR, 256, False, 10_638_090),
    _row("mgnet_2222_c128_shared_b", FOUR, 128, True, 2_075_018),
    _row("mgnet_2222_c128", FOUR, 128, False, 2_664_842),
    _row("mgnet_2222_c64_shared_b", FOUR, 64, True, 521_418),
    _row("mgnet_2222_c64", FOUR, 64, False, 668_874),
    _row("mgnet_2222_c64_128_256_512_shared_b", FOUR, WIDER, True, 9_381_706),
    _row("mgnet_2222_c64_128_256_512", FOUR, WIDER, False, 12_515_146),
)


def _fast_row(channels: tuple[int, int, int], params: int) -> Row:
    restrictions = {"Pi": "average", "R": "conv_max"}
    options = {"stem": "whitening", **restrictions, "init": "identity", "activation": "gelu"}
    name = f"mgnet_111_c{'_'.join(map(str, channels))}_fast"
    kwargs = {"nu": (1, 1, 1), "channels": channels, **options}
    return Row(name, kwargs, params, source="this package", recipe="fast")


FAST = (_fast_row((32, 96, 128), 643_042), _fast_row((64, 192, 256), 2_551_714))
SMOOTHERS = ("residual_correction", "damped", "chebyshev", "multistep")


@serializable
class MgNet(Network):
    """MgNet[nu_1, ..., nu_J]: a classifier with nu_l smoothing iterations on grid l, for J grids.

    A smoothing iteration is u <- u + s2(B * s1(f - A * u)). u is the feature and f the data of the grid. A and B are
    convolutions. s1 and s2 are each a norm followed by the activation. A transfer restricts u and the residual r = f - A * u to
    the next grid.

    Source: He2019 (3.4), (4.3)-(4.4), with the norms of the authors' code. Symbols: docs/reference/symbols.md.

    Args:
        nu: smoothing iterations per grid. The length J of nu is the number of grids.
        channels: channels c_u of the feature, an integer or one per grid.
        channels_f: channels c_f of the data, an integer or one per grid; None for c_f = c_u.
        share_A: whether all iterations on a grid share one A, as in the definition of MgNet. With False every iteration has its
            own A.
        share_B: whether all iterations on a grid share one B. With False every iteration has its own B.
        form: "residual" updates the residual r in each iteration. "feature" computes r from f in each iteration. With a shared A
            both forms are the same function, and "feature" needs one more product with A on each coarser grid.
        smoother: "residual_correction", "damped", "chebyshev" or "multistep".
        Pi, R: restriction of u and of r: "conv", "conv_max" or "depthwise" (learned), "average", "max" or "full_weighting"
            (fixed), see `keras_mgnet.layers.Restriction`.

    Raises:
        ValueError: if an argument is invalid. The error is raised before anything is built.

    Example:
        >>> model = MgNet(nu=(1, 1), channels=8, input_shape=(8, 8, 1))
        >>> model.output_shape
        (None, 10)
        >>> [tensor.shape for tensor in model.get_layer("level2").output]
        [(None, 4, 4, 8), (None, 4, 4, 8)]
    """

    family = Family(
        recipe="xuteam",
        small={"nu": (1,), "channels": 2},
        picture=smoothing("A", "B"),
        space=Space("channels", "nu", choices={"share_A": EITHER, "share_B": EITHER, "smoother": SMOOTHERS}),
        rows=(*ROWS, *FAST),
    )

    def __init__(
        self,
        nu: Sequence[int] = (2, 2, 2, 2),
        channels: int | Sequence[int] = 256,
        *,
        channels_f: int | Sequence[int] | None = None,
        share_A: bool = True,
        share_B: bool = True,
        form: str = "residual",
        smoother: str = "residual_correction",
        Pi: str = "conv",
        R: str = "conv",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        nu = positive_integers("nu", nu)
        c_u = positive_integers("channels", channels, len(nu))
        c_f = c_u if channels_f is None else positive_integers("channels_f", channels_f, len(nu))
        check_share("share_A", share_A)
        check_share("share_B", share_B)

        with Frame(**arguments) as frame:
            options = {"share_A": share_A, "share_B": share_B, "form": form, "smoother": smoother, **frame.common}
            grids = list(zip(range(1, len(nu) + 1), nu, c_u, c_f, strict=True))
            levels = [GridLevel(u, f, n, name=f"level{j}", **options) for j, n, u, f in grids]
            transfers = [
                GridTransfer(u, f, Pi=Pi, R=R, name=f"transfer{j}", **frame.common) for j, _, u, f in grids[1:]
            ]
            u = descend(frame.begin(c_f[0], len(nu)), levels, transfers)
        super().__init__(frame, u, name="mgnet")


def descend(r: Tensor, levels: Sequence[GridLevel], transfers: Sequence[Callable[..., Any]]) -> Tensor:
    """Runs the levels and the transfers in turn, from the data r of the first grid, and returns u of the last grid."""
    u, r = levels[0](r)
    for transfer, level in zip(transfers, levels[1:], strict=True):
        u, r = transfer(u, r)
        u, r = level(r, u)
    return u
