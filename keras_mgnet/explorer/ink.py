"""Where in its images a data set of drawings has its ink: a drawing is brought into the same place before it is classified."""

import numpy as np

PAPER, INK = 64, 128  # darker and brighter grey values
MOST_INK = 0.5  # of the pixels of a drawing
BLANK = 0.9  # of the corners of drawings
LOOKED_AT = 1000


def ink_box(images: np.ndarray) -> float | None:
    """Returns the mean of the longer side of the ink's bounding box over the image's, or None where images are no drawings.

    Drawings, (N, H, W, C) uint8, are grey and bright on dark: little ink, hardly any in the corners.

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
    """Returns the distance from the first to behind the last True of each row."""
    size = marked.shape[1]
    return size - marked[:, ::-1].argmax(1) - marked.argmax(1)
