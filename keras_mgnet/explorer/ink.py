"""Measures the size of the ink in the images of a data set, so that a new drawing can be scaled to match."""

import numpy as np

PAPER, INK = 64, 128  # paper is darker than 64, ink 128 or brighter
MOST_INK = 0.5  # largest share of ink among the pixels of drawings
BLANK = 0.9  # least share of paper among the corners of drawings
LOOKED_AT = 1000  # images


def ink_box(images: np.ndarray) -> float | None:
    """Returns the mean length of the longer side of the ink's bounding box, as a share of the image's side.

    Returns None unless the images, (N, H, W, C) uint8, are drawings: grey, bright ink on dark paper, little ink, and hardly
    any in the corners.

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
    """Returns for each row the length from the first True to the last, both included."""
    size = marked.shape[1]
    return size - marked[:, ::-1].argmax(1) - marked.argmax(1)
