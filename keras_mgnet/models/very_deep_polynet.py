"""The Very Deep PolyNet for ImageNet: Inception blocks as the maps of PolyNet's modules (Zhang, Li, Loy, Lin 2017)."""

from collections.abc import Iterator, Sequence
from itertools import islice
from numbers import Real
from typing import Any, Unpack

import keras
import numpy as np

from keras_mgnet.annotations import Tensor
from keras_mgnet.layers import Euler, Inception, InceptionStem, Level, Poly, Stem
from keras_mgnet.layers.fields.inception import POOL
from keras_mgnet.layers.fields.poly import module_kernels
from keras_mgnet.layers.transfers.stem import STEMS
from keras_mgnet.models.checks import positive_integers
from keras_mgnet.models.datasets import IMAGENET
from keras_mgnet.models.family import Family, Row, errors
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.serialization import serializable

# The paths of `Inception`: (filters, k) is zero-padded, (filters, k, s) has the stride s and no padding.
STEM = (
    (((32, 3, 2), (32, 3, 1), (64, 3)),),
    (POOL, ((96, 3, 2),)),
    (((64, 1), (96, 3, 1)), ((64, 1), (64, (7, 1)), (64, (1, 7)), (96, 3, 1))),
    (POOL, ((192, 3, 2),)),
)
STEM_CHANNELS = 384
BLOCKS = {  # grid -> F
    1: (((32, 1), (48, 3), (64, 3)), ((32, 1), (32, 3)), ((32, 1),)),
    2: (((128, 1), (160, (1, 7)), (192, (7, 1))), ((192, 1),)),
    3: (((192, 1), (224, (1, 3)), (256, (3, 1))), ((192, 1),)),
}
REDUCTIONS = {  # grid -> the paths that lead to it
    2: (((256, 1), (256, 3), (384, 3, 2)), ((384, 3, 2),), POOL),
    3: (((256, 1), (256, 3), (256, 3, 2)), ((256, 1), (256, 3, 2)), ((256, 1), (384, 3, 2)), POOL),
}
CYCLES = (("2way",), ("poly3", "2way"), ("poly3", "2way"))  # per grid the kinds of module, in turn
LAST_SCALE = 0.7
DROPOUT = 0.2
LEAST, LEAST_IMAGENET = 7, 75  # image sizes that leave one pixel on the last grid, without a reduction by the stem


ROW = Row(
    *("polynet_very_deep_imagenet", {"input_shape": (331, 331, 3)}, 95_366_600),
    errors("CUHK-MMLAB/polynet", imagenet=18.71),
    dataset=IMAGENET,
)


@serializable
class VeryDeepPolyNet(Network):
    """Very Deep PolyNet: modules of Inception blocks, which map x to s(x + c P(x)).

    s is the activation. P is the sum F + G of two Inception blocks, or the polynomial F + F s F + F s F s F of one block. In a
    polynomial, the powers of F share their kernels, except for the last 1x1 convolution of F, and have separate norms. The factor
    c falls linearly from 1 in the first module to 0.7 in the last. Source: CUHK-MMLAB/polynet, as ported by
    Cadene/pretrained-models.pytorch.

    Args:
        modules: number of modules, an integer for all three grids or one integer per grid. Modules of the first grid have
            P = F + G. On the other grids the polynomial and F + G alternate.
        width: factor that multiplies all numbers of channels.

    With stem="imagenet" the stem is that of Inception-ResNet-v2. The published network is for images of 331x331 pixels.

    Example:
        >>> model = VeryDeepPolyNet((1, 2, 1), width=1 / 32, stem="imagenet", input_shape=(75, 75, 3))
        >>> model.get_layer("level3").output.shape
        (None, 1, 1, 64)
    """

    family = Family(
        recipe="lu2018_imagenet",
        small={"modules": (1, 1, 1), "width": 1 / 64},
        picture=one_state(added("F", 0.45), added("F σ F", 0.8), added("F σ F σ F", -0.55)),
        rows=(ROW,),
    )

    def __init__(
        self, modules: int | Sequence[int] = (10, 20, 10), *, width: float = 1.0, **arguments: Unpack[FrameArguments]
    ) -> None:
        modules = positive_integers("modules", modules, len(BLOCKS))
        if isinstance(width, bool) or not isinstance(width, Real) or width <= 0:
            raise ValueError(f"expected width to be a number > 0. Received: width={width!r}")

        with Frame(**arguments) as frame:
            options = frame.common
            activated = {"activation": frame.activation, "dtype": options["dtype"]}
            x = begin(frame, width)
            for level, (kinds, scales) in enumerate(schedule(modules), start=1):
                if level > 1:
                    x = Inception(scaled(REDUCTIONS[level], width), name=f"transfer{level}", **options)(x)
                table, paths = module_kernels(kinds), scaled(BLOCKS[level], width)
                F = Inception(paths, x.shape[-1], uses=len(table), sharing=table, name="F", **options)
                f = Poly(F, kinds, scales=scales, name="f", **activated)
                x = Level(Euler(**activated), f, name=f"level{level}", dtype=options["dtype"])(x)
            if frame.include_top:  # drops whole channels, as a dropout of the pooled features would
                x = keras.layers.SpatialDropout2D(DROPOUT, "channels_last", name="dropout", dtype=options["dtype"])(x)
        super().__init__(frame, x, name="very_deep_polynet")


def schedule(modules: tuple[int, ...]) -> Iterator[tuple[list[str], list[float]]]:
    """Yields, per grid, the modules' kinds and their factors c in s(x + c P(x)).

    Example:
        >>> list(schedule((1, 2, 1)))
        [(['2way'], [1.0]), (['poly3', '2way'], [0.9, 0.8]), (['poly3'], [0.7])]
    """
    scales = iter(np.linspace(1, LAST_SCALE, sum(modules)).round(6).tolist())
    for cycle, count in zip(CYCLES, modules, strict=True):
        yield [cycle[m % len(cycle)] for m in range(count)], list(islice(scales, count))


def begin(frame: Frame, width: float) -> Tensor:
    """Returns the image after the stem. "imagenet" is the stem of Inception-ResNet-v2. Other stems are those of `Stem`."""
    image, options = frame.image(levels=1), frame.common
    least = LEAST_IMAGENET if frame.stem == "imagenet" else LEAST * STEMS[frame.stem].reduction
    if any(size is not None and size < least for size in image.shape[1:3]):
        raise ValueError(
            f"expected an image of at least {least}x{least} pixels. Received: input_shape={tuple(image.shape[1:])}"
        )
    if frame.stem != "imagenet":
        return Stem(scaled_channels(STEM_CHANNELS, width), frame.stem, name="stem", **options)(image)
    return InceptionStem([scaled(paths, width) for paths in STEM], name="stem", **options)(image)


def scaled(paths: Any, width: float) -> Any:
    """Returns the paths of an `Inception` block with all numbers of channels multiplied by `width`.

    Example:
        >>> scaled((POOL, ((64, 1), (96, 3, 1))), 0.5)
        ('pool', ((32, 1), (48, 3, 1)))
    """
    return tuple(
        path if path == POOL else tuple((scaled_channels(filters, width), *rest) for filters, *rest in path)
        for path in paths
    )


def scaled_channels(channels: int, width: float) -> int:
    """Returns channels * width, rounded to an integer >= 1."""
    return max(1, round(width * channels))
