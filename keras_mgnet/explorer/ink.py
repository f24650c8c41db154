"""Measures the drawings in a data set, so that the page can give a new drawing their size, pen and place."""

import numpy as np

PAPER, INK = 64, 128  # paper: pixels below 64; ink: pixels of 128 and above
MOST_INK = 0.5  # largest fraction of ink pixels in drawings
BLANK = 0.9  # smallest fraction of paper in the corner pixels of drawings
LOOKED_AT = 1000  # number of images to measure


def ink_of(images: np.ndarray) -> dict[str, float] | None:
    """Returns the means of four measures of drawings, as fractions of the side of the image.

    - "size": the longer side of the bounding box of the ink.
    - "pen": the thickness of the strokes.
    - "x", "y": the centre of mass, from the left and from above.

    A stroke of length L and thickness t has the mass L t. Its outline is 2 L long, so the sum of the differences between
    neighbouring pixels is 8 L / pi on average over all directions. The thickness is t = 8 mass / (pi differences).

    Returns None unless the images (N, H, W, C), uint8, are drawings: grey, with bright ink on dark paper, at most half of the
    pixels ink, and at least 90 % of the corner pixels paper.

    Example:
        >>> image = np.zeros((1, 16, 16, 1), "uint8")
        >>> image[0, 2:10, 7:9] = 255
        >>> ink_of(image)
        {'size': 0.5, 'pen': 0.127, 'x': 0.5, 'y': 0.375}
    """
    images = images[:LOOKED_AT]
    if images.shape[-1] != 1:
        return None
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    images = images[..., 0]
    images = images[(images >= INK).any((1, 2))]
    ink = images >= INK
    if not len(ink) or ink.mean() > MOST_INK or (corners < PAPER).mean() < BLANK:
        return None
    sides = [_extent(ink.any(axis)) / ink.shape[3 - axis] for axis in (1, 2)]
    weight = images / images.sum((1, 2), keepdims=True)
    x, y = (
        weight.sum(axis) @ ((np.arange(length) + 0.5) / length)
        for axis, length in ((1, ink.shape[2]), (2, ink.shape[1]))
    )
    measures = {"size": np.maximum(*sides), "pen": _thickness(images / 255) / min(ink.shape[1:]), "x": x, "y": y}
    return {name: round(float(values.mean()), 3) for name, values in measures.items()}


def _extent(marked: np.ndarray) -> np.ndarray:
    """Returns for each row the number of entries from the first True to the last True, both included."""
    size = marked.shape[1]
    return size - marked[:, ::-1].argmax(1) - marked.argmax(1)


def _thickness(images: np.ndarray) -> np.ndarray:
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    differences = sum(np.abs(np.diff(framed, axis=axis)).sum((1, 2)) for axis in (1, 2))
    return 8 * images.sum((1, 2)) / (np.pi * differences)
