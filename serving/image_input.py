"""The one input of a server's model that takes images, as its client sees it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Image = bytes | np.ndarray  # an encoded file, or pixels in uint8 (H, W, C)


@dataclass(frozen=True)
class ImageInput:
    """One way to ask a model.

    Attributes:
        name: of the input.
        dtype: "bytes" for encoded images, else "uint8" or "float32".
        shape: (H, W, C) of an image, None where any; () of bytes.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def image_input(name: str, dtype: str | None, shape: Iterable[int]) -> ImageInput | None:
    """Returns the input for a tensor (N, H, W, C), or (N,) of bytes; None for any other.

    Args:
        name: of the tensor.
        dtype: of its elements.
        shape: its lengths, one below 1 for any.

    Example:
        >>> image_input("image", "uint8", [-1, 28, 28, 1])
        ImageInput(name='image', dtype='uint8', shape=(28, 28, 1))
    """
    lengths = tuple(length if length > 0 else None for length in shape)[1:]
    fits = dtype == "bytes" or (dtype in ("uint8", "float32") and len(lengths) == 3)
    return ImageInput(name, dtype, lengths) if fits else None
