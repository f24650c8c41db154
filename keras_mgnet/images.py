"""Reads encoded images for a network: checks them, decodes a few formats, and normalises the pixels."""

import math
import re
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_mgnet.extras import CLI, extra

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # what Pillow decodes itself; PostScript is a program
MAX_PIXELS = 2**26
MAX_SCANS = 32  # of a progressive JPEG; each costs as much as the whole image, and encoders write about ten
SMALLEST_DEVIATION = 1e-6  # on the scale where white is 1
MAX_SEGMENTS = 4096  # of a JPEG
MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # of a segment; other markers occur inside a scan
Crop = Callable[[tuple[int, int]], tuple[float, float, float, float]]  # (width, height) -> (left, upper, right, lower)
START_OF_SCAN, END = b"\xda", b"\xd9"
ORIENTATION, FIRST_TURNED = 0x0112, 5  # a tag of EXIF; from this value on, width and height are exchanged


class Encoded(Protocol):
    """An encoded image, such as a `Path`. Its text names it in errors."""

    def read_bytes(self) -> bytes:
        """Returns the content."""


def look(content: bytes, formats: tuple[str, ...] = FORMATS, most: int = MAX_PIXELS) -> int:
    """Returns the number of pixels of an encoded image without decoding it.

    Raises:
        ValueError: if the content is not an image in `formats`, has more pixels than `most`, or is a JPEG with more than
            `MAX_SCANS` scans or `MAX_SEGMENTS` segments.

    Example:
        >>> look(b"P5 3 2 255 " + bytes(6))  # a grey PPM
        6
    """
    Image = extra("PIL.Image", CLI)
    try:
        with Image.open(BytesIO(content), formats=formats) as image:
            pixels, jpeg = math.prod(image.size), image.format in ("JPEG", "MPO")
    except Image.DecompressionBombError as error:
        raise ValueError(f"expected at most {most} pixels. Received: more") from error
    except (OSError, SyntaxError, ValueError) as error:
        received = f"{len(content)} bytes that begin with {content[:8]!r}"
        raise ValueError(f"expected an image, {' or '.join(formats)}. Received: {received}") from error
    if pixels > most:
        raise ValueError(f"expected at most {most} pixels. Received: {pixels}")
    if jpeg:
        _check_segments(content)
    return pixels


def _check_segments(jpeg: bytes) -> None:
    place = scans = 0
    for _ in range(MAX_SEGMENTS):
        marker = MARKER.search(jpeg, place)
        if marker is None or marker[1] == END:
            return
        scans += marker[1] == START_OF_SCAN
        if scans > MAX_SCANS:
            raise ValueError(f"expected at most {MAX_SCANS} scans of a JPEG. Received: more")
        place = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2])
    raise ValueError(f"expected at most {MAX_SEGMENTS} segments of a JPEG. Received: more")


def decode(
    source: Encoded | bytes, size: tuple[int, int] | None = None, channels: int | None = None, crop: Crop | None = None
) -> np.ndarray:
    """Returns the pixels of an image as uint8 (H, W, C). Transparent pixels are composited on white.

    Args:
        source: a file, or its content.
        size: (width, height) to resize to, with antialiasing; None keeps the size.
        channels: 1 (grey) or 3 (colour); None for 1 if the image is grey, and 3 if not.
        crop: with a size, a function of (width, height) that returns the box (left, upper, right, lower) of the image that is
            resized. A JPEG is then decoded at a half, a quarter or an eighth of its size if the box still has `size` pixels.

    Raises:
        ValueError: if the source is not a readable image. The message names the file.
    """
    return _named(source, lambda content: _decode(content, size, channels, crop))


def shape(source: Encoded) -> tuple[int, int, int]:
    """Returns the shape (H, W, C) that `decode` gives an image, without decoding it. Raises the errors of `decode`."""

    def read(content: bytes) -> tuple[int, int, int]:
        look(content)
        with extra("PIL.Image", CLI).open(BytesIO(content), formats=FORMATS) as image:
            width, height = _upright(image, image.size)
            return height, width, 1 if _is_grey(image) else 3

    return _named(source, read)


def _named(source: Encoded | bytes, read: Callable[[bytes], Any]) -> Any:
    if isinstance(source, Path) and source.exists() and not source.is_file():  # a pipe would never end
        raise ValueError(f"expected a file. Received: '{source}'")
    try:
        return read(source if isinstance(source, bytes) else source.read_bytes())
    except Exception as error:  # Pillow passes on every error of a decoder, even SyntaxError
        received = error if isinstance(source, bytes) else f"'{source}' ({error})"
        raise ValueError(f"expected a readable image. Received: {received}") from error


def _decode(content: bytes, size: tuple[int, int] | None, channels: int | None, crop: Crop | None) -> np.ndarray:
    Image, ImageOps = extra("PIL.Image", CLI), extra("PIL.ImageOps", CLI)
    look(content)
    with Image.open(BytesIO(content), formats=FORMATS) as file:
        box = _reduce(file, size, crop) if size and crop else None
        grey = _is_grey(file) if channels is None else channels == 1
        image = ImageOps.exif_transpose(file)
        if image.mode[0] in "IF":
            image = Image.fromarray(high_byte(np.asarray(image)))
        if image.has_transparency_data:
            image = _on_white(image.convert("RGBA"))
        image = image.convert("L" if grey else "RGB")
    if size is not None:
        image = image.resize(size, Image.Resampling.BILINEAR, box)
    return np.atleast_3d(np.asarray(image))


def _reduce(file: Any, size: tuple[int, int], crop: Crop) -> tuple[float, ...]:
    """Chooses the box of an image, and asks the decoder of a JPEG for fewer pixels. Returns the box in the pixels to come."""
    full = _upright(file, file.size)
    left, upper, right, lower = crop(full)
    shares = (right - left) / full[0], (lower - upper) / full[1]
    enough = [math.ceil(pixels / share) for pixels, share in zip(size, shares, strict=True)]
    width = file.size[0]
    drafted = file.draft(None, _upright(file, enough))  # (mode, box of the reduced image), or None
    reduction = width / drafted[1][2] if drafted else 1.0
    return tuple(edge / reduction for edge in (left, upper, right, lower))


def _upright(image: Any, size: Any) -> Any:
    """Returns (width, height) as they are after the image is turned upright, or before, given those after."""
    return tuple(size[::-1] if image.getexif().get(ORIENTATION, 1) >= FIRST_TURNED else size)


def _is_grey(image: Any) -> bool:
    return image.mode in ("1", "L", "LA", "La") or image.mode[0] in "IF"


def _on_white(image: Any) -> Any:
    """Returns an image without transparency, as it looks on a white page. Transparent pixels may hide any colour."""
    page = extra("PIL.Image", CLI).new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def high_byte(grey: np.ndarray) -> np.ndarray:
    """Converts 16-bit grey values to 8-bit ones. Pillow's own conversion turns everything above 255 white.

    Raises:
        ValueError: if the values are not integers of 16 bits.

    Example:
        >>> high_byte(np.array([0, 255, 256, 65535])).tolist()
        [0, 0, 1, 255]
    """
    if grey.dtype.kind == "f" or grey.min() < 0 or grey.max() >= 2**16:
        raise ValueError(f"expected 8-bit or 16-bit pixels. Received: {grey.dtype} {grey.min()}..{grey.max()}")
    if 0 < grey.max() < 2**12:
        warnings.warn(
            f"16-bit pixels of at most {grey.max()} become 0..{grey.max() >> 8} of 0..255: scale them to 0..65535 first",
            stacklevel=6,
        )
    return (grey >> 8).astype(np.uint8)


def is_scale(mean: Any, std: Any) -> bool:
    """Returns whether the means are finite, and the standard deviations finite and large enough to divide by."""
    return bool(np.isfinite(mean).all() and np.isfinite(std).all() and (np.asarray(std) > SMALLEST_DEVIATION).all())


def normalize(images: Any, mean: Any, std: Any) -> Any:
    """Returns (images / 255 - mean) / std.

    Args:
        images: (N, H, W, C) of a float type, 0..255, in any array library.
        mean, std: mean and standard deviation per channel, for pixels scaled to [0, 1]. They broadcast to the last axis.

    Example:
        >>> normalize(255.0, mean=0.5, std=0.25)
        2.0
    """
    return (images / 255.0 - mean) / std
