"""Encoded images from strangers: looked at before they are decoded."""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_mgnet.serving.errors import RequestError
from keras_mgnet.training.images import high_byte

FORMATS = ("JPEG", "PNG")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> Pillow's mode
MAX_PIXELS = 2**24  # of all images of a request


def check_pictures(name: str, pictures: Sequence[bytes]) -> int:
    """Returns the pixels that a request's images hold together, without decoding them.

    Args:
        name: of the input, for messages.
        pictures: encoded images.

    Raises:
        RequestError: where one is no JPEG or PNG, or they hold more than `MAX_PIXELS`.

    Example:
        >>> check_pictures("image_bytes", [encoded_png(3, 2)])
        6
    """
    total = 0
    for index, picture in enumerate(pictures):
        try:
            with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
                total += math.prod(image.size)
        except Image.DecompressionBombError:
            total = math.inf
        except (OSError, SyntaxError, ValueError) as error:
            raise RequestError(
                f"expected '{name}[{index}]' to be a JPEG or PNG image. Received: {_shown(picture)}"
            ) from error
        if total > MAX_PIXELS:
            raise RequestError(
                f"expected the images of '{name}' to hold at most {MAX_PIXELS} pixels. "
                f"Received: more, up to '{name}[{index}]'"
            )
    return total


def decode(name: str, pictures: Sequence[bytes], shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes images to float32 (N, H, W, C) in 0..255, resized bilinearly with antialiasing where they have another size.

    Args:
        name: of the input, for messages.
        pictures: N encoded images.
        shape: (H, W, C), C one of 1, 3, 4.

    Raises:
        RequestError: where one is damaged.

    Example:
        >>> decode("image_bytes", [encoded_png(3, 2)], (4, 4, 1)).shape
        (1, 4, 4, 1)
    """
    return np.stack([_decode_one(f"{name}[{index}]", picture, shape) for index, picture in enumerate(pictures)])


def encoded_png(width: int, height: int, mode: str = "L") -> bytes:
    """Returns a black PNG."""
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG")
    return stream.getvalue()


def _decode_one(name: str, picture: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = shape
    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
            if image.mode[0] in "IF":
                image = Image.fromarray(high_byte(np.asarray(image)))
            pixels = np.asarray(image.convert(MODES[channels]), "float32").reshape(image.height, image.width, channels)
    except (OSError, SyntaxError, ValueError) as error:
        raise RequestError(f"expected '{name}' to be a whole JPEG or PNG image. Received: {error}") from error
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = [Image.fromarray(pixels[..., channel]) for channel in range(channels)]
    return np.stack([np.asarray(plane.resize((width, height), Image.BILINEAR)) for plane in planes], axis=-1)


def _shown(picture: bytes) -> str:
    return f"{len(picture)} bytes that begin with {picture[:8]!r}"
