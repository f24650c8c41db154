"""DenseNet, plain and with bottlenecks and compression (Huang, Liu, van der Maaten, Weinberger 2017)."""

from collections.abc import Iterator, Sequence
from typing import Unpack

from keras_mgnet.errors import unknown
from keras_mgnet.layers import Dense, DenseStates, DenseTransition, Level
from keras_mgnet.models.checks import positive_integer, positive_integers, within
from keras_mgnet.models.datasets import IMAGENET
from keras_mgnet.models.family import Family, Row, Space, errors
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, Link, Picture
from keras_mgnet.serialization import serializable

README = "DenseNet README"
CIFAR = (  # depth, growth, whether with bottlenecks, exact parameters, printed size, errors on CIFAR-10 and CIFAR-100
    (40, 12, False, 1_019_722, "1.0M", 5.24, 24.42),
    (100, 12, False, 6_979_642, "7.0M", 4.10, 20.20),
    (100, 24, False, 27_249_082, "27.2M", 3.74, 19.25),
    (100, 12, True, 769_162, "0.8M", 4.51, 22.27),
    (250, 24, True, 15_324_406, "15.3M", 3.62, 17.60),
    (190, 40, True, 25_624_430, "25.6M", 3.46, 17.18),
)
LU2018 = {(100, 24): 19.25, (190, 40): 17.18}  # compared with in Lu2018 Table 2: depth, growth -> error on CIFAR-100
LARGE = (  # layers, growth, blocks, exact parameters, error on ImageNet
    (121, 32, (6, 12, 24, 16), 7_978_856, 25.0),
    (169, 32, (6, 12, 32, 32), 14_149_480, 23.6),
    (201, 32, (6, 12, 48, 32), 20_013_928, 22.5),
    (161, 48, (6, 12, 36, 24), 28_681_000, 22.2),
)


def _rows() -> Iterator[Row]:
    for depth, growth, bottleneck, params, size, ten, hundred in CIFAR:
        name = f"densenet_{'bc_' if bottleneck else ''}{depth}_{growth}"
        kwargs = {"depth": depth, "growth": growth, **({"bottleneck": True} if bottleneck else {})}
        published = errors(README, size, cifar10=ten, cifar100=hundred)
        if (depth, growth) in LU2018:
            published += errors("Lu2018 Table 2", size, cifar100=LU2018[depth, growth])
        yield Row(name, kwargs, params, published)
    for layers, growth, blocks, params, error in LARGE:
        large = {"growth": growth, "blocks": blocks, "bottleneck": True}
        published = errors(README, imagenet=error)
        yield Row(f"densenet{layers}", large, params, published, dataset=IMAGENET, recipe="densenet_imagenet")


PICTURE = Picture(
    ("x",),
    (Edge(("x", 0), ("x", 1), "f"), Edge(("x", -1), ("x", 1), "", 0.6), Edge(("x", -2), ("x", 1), "", 1.0)),
    (Link((0, "x"), (1, "x"), "R"),),
    segments=((1, 3), (2, 1)),
)


@serializable
class DenseNet(Network):
    """DenseNet: every iteration computes a new state from all earlier states, x_{n+1} = f_n([x_0, ..., x_n]).

    [ ] is the concatenation of the channels. f_n(x) is K s(x), or A s(B s(x)) with bottlenecks. K and A are 3x3 convolutions, B
    is a 1x1 convolution, and s is a norm followed by the activation. As a method DenseNet is a multistep scheme over all states.

    Source: liuzhuang13/DenseNet densenet.lua. The stem has 16 channels, or 2 * growth channels with bottlenecks. These numbers
    give the published sizes. Only the "imagenet" stem has a norm and an activation.

    Args:
        depth: number of layers. 3n + 4 (6n + 4 with bottlenecks) gives n iterations on each of three grids.
        growth: number of channels of each new state.
        bottleneck: whether f_n has the 1x1 convolution B, to 4 * growth channels. The paper's DenseNet-BC has bottlenecks and a
            reduction below 1.
        blocks: number of iterations on each grid; None for those that `depth` gives. (6, 12, 24, 16) is DenseNet-121.
        reduction: fraction of the channels that a transition to the next grid keeps, from 0 to 1. At least one channel stays.
            None for 0.5 with bottlenecks and 1 without.
        dropout: dropout rate after each convolution except the stem. The source uses 0.2 for images without augmentation.

    Example:
        >>> DenseNet(10, 4, bottleneck=True, input_shape=(8, 8, 1)).name
        'densenet_bc_10_4'
    """

    family = Family(
        recipe="densenet",
        small={"blocks": (1,), "growth": 2},
        picture=PICTURE,
        space=Space("growth", "blocks", (2, 12)),
        rows=tuple(_rows()),
    )

    def __init__(
        self,
        depth: int = 40,
        growth: int = 12,
        *,
        bottleneck: bool = False,
        blocks: Sequence[int] | None = None,
        reduction: float | None = None,
        dropout: float = 0.0,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        if not isinstance(bottleneck, bool):
            raise unknown("bottleneck", bottleneck, ["True", "False"])
        nu = _iterations(depth, bottleneck) if blocks is None else positive_integers("blocks", blocks)
        growth = positive_integer("growth", growth)
        theta = within("reduction", (0.5 if bottleneck else 1.0) if reduction is None else reduction, 0, 1)
        dropout = within("dropout", dropout, 0, 1)

        with Frame(**arguments) as frame:
            imagenet, options = frame.stem == "imagenet", {"dropout": dropout, **frame.common}
            x = frame.begin(2 * growth if bottleneck else 16, len(nu), normalize=imagenet)
            for level, n in enumerate(nu, start=1):
                if level > 1:
                    x = DenseTransition(max(int(theta * x.shape[-1]), 1), name=f"transfer{level}", **options)(x)
                field = DenseStates(growth, n, bottleneck=bottleneck, name="f", **options)
                x = Level(Dense(dtype=options["dtype"]), field, name=f"level{level}", dtype=options["dtype"])(x)
            x = frame.end(x)
        label = depth if blocks is None else "x".join(map(str, nu))
        name = f"densenet_{'bc_' if bottleneck else ''}{label}_{growth}"
        super().__init__(frame, x, name=name, recipe="densenet_imagenet" if imagenet else None)


def _iterations(depth: int, bottleneck: bool) -> tuple[int, ...]:
    per_grid = 6 if bottleneck else 3
    if positive_integer("depth", depth) <= 4 or (depth - 4) % per_grid:
        raise ValueError(f"expected depth to be {per_grid}n + 4. Received: depth={depth!r}")
    return ((depth - 4) // per_grid,) * 3
