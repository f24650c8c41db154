"""Measures the size of the drawings in a data set, so that the page can scale a new drawing to the same size."""

import numpy as np

PAPER, INK = 64, 128  # paper: pixels below 64; ink: pixels of 128 and above
MOST_INK = 0.5  # largest fraction of ink pixels in drawings
BLANK = 0.9  # smallest fraction of paper in the corner pixels of drawings
LOOKED_AT = 1000  # number of images to measure


def ink_box(images: np.ndarray) -> float | None:
    """Returns the longer side of the bounding box of the ink, as a fraction of the side of the image, averaged over images.

    Returns None unless the images (N, H, W, C), uint8, are drawings: grey, with bright ink on dark paper, at most half of the
    pixels ink, and at least 90 % of the corner pixels paper.

    Example:
        >>> image = np.zeros((1, 8, 8, 1), "uint8")
        >>> image[0, 2:6, 3] = 255
        >>> ink_box(image)
        0.5
    """
    images = images[:LOOKED_AT]
    if images.shape[-1] != 1:
        return None
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    ink = images[..., 0] >= INK
    ink = ink[ink.any((1, 2))]
    if not len(ink) or ink.mean() > MOST_INK or (corners < PAPER).mean() < BLANK:
        return None
    sides = [_extent(ink.any(axis)) / ink.shape[3 - axis] for axis in (1, 2)]
    return round(float(np.maximum(*sides).mean()), 3)


def _extent(marked: np.ndarray) -> np.ndarray:
    """Returns for each row the number of entries from the first True to the last True, both included."""
    size = marked.shape[1]
    return size - marked[:, ::-1].argmax(1) - marked.argmax(1)
