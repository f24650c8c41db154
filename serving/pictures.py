"""Encoded images from strangers: looked at before they are decoded."""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_mgnet.serving.errors import RequestError
from keras_mgnet.training.images import decode

FORMATS = ("JPEG", "PNG")
CHANNELS = ((1,), (3,))  # of the models that encoded images can be decoded for
MAX_PIXELS = 2**24  # of all images of a request
MAX_SCANS = 32  # of one progressive JPEG; encoders write about ten
START_OF_SCAN = b"\xff\xda"


def check_pictures(name: str, pictures: Sequence[bytes]) -> None:
    """Looks at the encoded images of an input without decoding them.

    Raises:
        RequestError: where one is no JPEG or PNG or has more than `MAX_SCANS` scans, or all hold more than `MAX_PIXELS`.
    """
    pixels = 0
    for index, picture in enumerate(pictures):
        where, scans = f"'{name}[{index}]'", picture.count(START_OF_SCAN)
        try:
            with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
                pixels += math.prod(image.size)
                scans *= image.format == "JPEG"
        except Image.DecompressionBombError:
            pixels = math.inf
        except (OSError, SyntaxError, ValueError) as error:
            received = f"{len(picture)} bytes that begin with {picture[:8]!r}"
            raise RequestError(f"expected {where} to be a JPEG or PNG image. Received: {received}") from error
        if pixels > MAX_PIXELS:
            raise RequestError(f"expected at most {MAX_PIXELS} pixels in '{name}'. Received: more, up to {where}")
        if scans > MAX_SCANS:
            raise RequestError(f"expected {where} to have at most {MAX_SCANS} scans. Received: {scans}")


def decode_all(name: str, pictures: Sequence[bytes], shape: tuple[int, int, int]) -> np.ndarray:
    """Returns images as float32 (N, H, W, C) in 0..255, resized as for `predict`; raises RequestError where one is damaged.

    Example:
        >>> decode_all("image_bytes", [encoded_png()], (4, 4, 1)).shape
        (1, 4, 4, 1)
    """
    height, width, channels = shape
    images = np.empty((len(pictures), *shape), "float32")
    for index, picture in enumerate(pictures):
        try:
            images[index] = decode(io.BytesIO(picture), (width, height), channels)
        except ValueError as error:
            raise RequestError(f"expected '{name}[{index}]' whole. Received: {error.__cause__}") from error
    return images


def encoded_png() -> bytes:
    """Returns a PNG of one black pixel."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    return stream.getvalue()
