"""From the pixels of a file to what a network takes."""

from typing import Any


def normalize(images: Any, mean: Any, std: Any) -> Any:
    """Returns (images / 255 - mean) / std.

    Args:
        images: (N, H, W, C) in a float type, 0..255, of any array library.
        mean, std: per channel on the scale where 255 is 1, broadcast to the last axis.

    Example:
        >>> normalize(255.0, mean=0.5, std=0.25)
        2.0
    """
    return (images / 255.0 - mean) / std
