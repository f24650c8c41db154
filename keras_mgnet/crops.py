"""Which part of an image a network sees. A crop is a box of the image, later resized to the input of the network.

A crop takes the (width, height) of the image and of the input. It returns the box (left, upper, right, lower) in pixels, with
fractions, so that cropping and resizing are one step.
"""

from collections.abc import Sequence

import numpy as np

Size = tuple[int, int]  # (width, height)
Box = tuple[float, float, float, float]  # (left, upper, right, lower)

CENTRE = 256 / 224  # shorter side of the resized image over the side of its centre, as in the evaluations of ImageNet
SHORTER = (256 / 224, 480 / 224)  # range of the shorter side, over the side of the crop
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # ranges of the area, as a share of the image, and of width over height
TRIES = 10


def centre(image: Size, size: Size) -> Box:
    """Resizes an image so that its shorter side is 256 for an input of 224 pixels, and takes the centre.

    Example:
        >>> centre((512, 256), (224, 224))
        (144.0, 16.0, 368.0, 240.0)
    """
    return _placed(image, _window(image, size, CENTRE), (0.5, 0.5))


def scale(image: Size, size: Size, rng: np.random.Generator) -> Box:
    """Resizes an image so that its shorter side is between 256 and 480, and takes a random crop of 224 pixels a side.

    For another input the range grows in proportion. Source: Simonyan & Zisserman 2014.
    """
    return _placed(image, _window(image, size, rng.uniform(*SHORTER)), rng.random(2))


def scale_aspect(image: Size, size: Size, rng: np.random.Generator) -> Box:
    """Takes a random crop of 8% to 100% of the area, with a width of 3/4 to 4/3 of its height. Source: Szegedy et al. 2015.

    If ten draws do not fit into the image, takes the largest centred crop with such a ratio.
    """
    for _ in range(TRIES):
        area, ratio = rng.uniform(*AREA) * image[0] * image[1], np.exp(rng.uniform(*np.log(RATIO)))
        window = np.sqrt([area * ratio, area / ratio])
        if (window <= image).all():
            return _placed(image, window, rng.random(2))
    width, height = image
    return _placed(image, (min(width, height * RATIO[1]), min(height, width / RATIO[0])), (0.5, 0.5))


def _window(image: Size, size: Size, zoom: float) -> np.ndarray:
    """Returns the part of an image, as (width, height), that fills `size` after the image was scaled `zoom` times larger than
    the input needs."""
    return np.array(size) * min(image[0] / size[0], image[1] / size[1]) / zoom


def _placed(image: Size, window: Sequence[float] | np.ndarray, place: Sequence[float] | np.ndarray) -> Box:
    """Returns the box of a window. `place` says where: 0 for the left or upper edge of the image, 1 for the right or lower."""
    start = np.subtract(image, window) * place
    left, upper, right, lower = np.concatenate([start, start + window]).clip(0, [*image, *image]).tolist()
    return left, upper, right, lower
