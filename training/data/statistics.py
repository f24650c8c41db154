"""The mean and the standard deviation of images, by which they are normalised."""

import numpy as np

CHUNK_BYTES = 2**22


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation per channel of uint8 images (N, H, W, C), for pixels scaled to [0, 1].

    A histogram of the 256 values gives the exact result without a float copy of the images. A constant channel gets a deviation
    of 1.

    Example:
        >>> channel_statistics(np.full((2, 4, 4, 1), 51, np.uint8))
        ((0.2,), (1.0,))
    """
    channels = images.shape[-1]
    chunk = max(1, CHUNK_BYTES // images[0].size)
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images), chunk):
        for c in range(channels):
            counts[c] += np.bincount(images[start : start + chunk, ..., c].ravel(), minlength=256)
    pixels, levels = counts[0].sum(), np.arange(256)
    mean = counts @ levels / pixels
    std = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(axis=1) / pixels)
    return tuple((mean / 255).tolist()), tuple(np.where(std > 0, std / 255, 1.0).tolist())
