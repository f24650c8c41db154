"""Classifies image files by a server, in requests of bounded size; loads neither TensorFlow nor Keras for it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image as Picture

from keras_mgnet.errors import unknown
from keras_mgnet.serving.image_input import Image, ImageInput
from keras_mgnet.training.images import decode
from keras_mgnet.training.top_classes import top_classes

MAX_REQUEST_BYTES, MAX_REQUEST_IMAGES = 4 * 2**20, 32
BYTES_PER_VALUE = 4  # "255," in JSON, and a float32
PIXELS_PER_BYTE = 4  # 2^24 pixels in a request, which the embedded server decodes at most
ENCODED = (b"\xff\xd8\xff", b"\x89PNG\r\n")  # how JPEG and PNG begin, which every server of ours decodes
PREFERRED = ("bytes", "uint8", "float32")


class RemoteModel(AbstractContextManager, Protocol):
    """A model behind a server.

    Attributes:
        signatures: by name, those that take images and return probabilities.
        class_names: where the server tells them, else None.
    """

    signatures: dict[str, ImageInput]
    class_names: list[str] | None

    def probabilities(self, signature: str, images: Sequence[Image]) -> np.ndarray:
        """Returns (N, classes) in one request."""


def connect(server: str, name: str | None = None, timeout: float = 30.0, retries: int = 0) -> RemoteModel:
    """Returns the model behind a URL.

    Args:
        server: `http[s]://HOST:PORT`, or what of `/v1/models/NAME[/versions/N|/labels/L][:predict]` follows it; or
            `grpc://HOST:PORT[/NAME]`.
        name: of the model; None for the URL's, or the only one that the server has.
        timeout: seconds for each answer.
        retries: how often a refused connection is tried again.

    Raises:
        ValueError: for another URL, or a server without such a model.
        OSError: where no server answers.
        ImportError: where the client's packages are not installed.
    """
    scheme = server.partition("://")[0]
    if scheme in ("http", "https"):
        from keras_mgnet.serving.rest_client import RestModel

        return RestModel(server, name, timeout, retries)
    if scheme == "grpc":
        from keras_mgnet.serving.grpc_client import open_grpc

        return open_grpc(server, name, timeout, retries)
    raise ValueError(f"expected a server http://HOST:PORT, https://... or grpc://HOST:PORT. Received: {server!r}")


def classify(
    model: RemoteModel,
    images: Iterable[Path],
    top: int = 3,
    *,
    signature: str | None = None,
    class_names: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Returns [{"image": path, "classes": {name: probability, ...}}, ...], the `top` classes of each image file.

    Args:
        model: of `connect`.
        images: files; JPEG and PNG are sent as they are where the model decodes, else pixels of the model's size.
        top: number of classes.
        signature: None for the one that needs fewest bytes.
        class_names: None for the server's, or the numbers of the classes where it tells none.

    Raises:
        ValueError: for a file that is no image, a request that the server refuses, or names that do not fit.
        OSError: where the server does not answer.
    """
    signature = _choose(model.signatures, signature)
    names = class_names or model.class_names
    predictions = []
    for paths, batch in _batches(images, model.signatures[signature]):
        for path, row in zip(paths, model.probabilities(signature, batch), strict=True):
            predictions.append({"image": str(path), "classes": top_classes(row, _named(row, names), top)})
    return predictions


def _choose(signatures: dict[str, ImageInput], wanted: str | None) -> str:
    if wanted is None:
        return min(signatures, key=lambda name: PREFERRED.index(signatures[name].dtype))
    if wanted not in signatures:
        raise unknown("signature", wanted, signatures)
    return wanted


def _named(row: np.ndarray, names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return [str(c) for c in range(len(row))]
    if len(names) != len(row):
        raise ValueError(f"expected {len(row)} class names, one per class. Received: {len(names)}")
    return names


def _batches(paths: Iterable[Path], expected: ImageInput) -> Iterator[tuple[list[Path], list[Image]]]:
    """Yields files and what is sent of them: a request each, with arrays of one shape."""
    files, batch, total = [], [], 0
    for path in paths:
        image = _prepare(Path(path), expected)
        size = _size(image)
        full = total + size > MAX_REQUEST_BYTES or len(batch) == MAX_REQUEST_IMAGES
        if batch and (full or np.shape(batch[0]) != np.shape(image)):
            yield files, batch
            files, batch, total = [], [], 0
        files.append(path)
        batch.append(image)
        total += size
    if batch:
        yield files, batch


def _size(image: Image) -> int:
    """Returns the bytes that an image takes in a request, more for one that decodes to very many pixels."""
    if not isinstance(image, bytes):
        return image.size * BYTES_PER_VALUE
    try:
        with Picture.open(BytesIO(image)) as picture:
            pixels = math.prod(picture.size)
    except (OSError, SyntaxError, ValueError, Picture.DecompressionBombError):
        pixels = 0  # the server will say what is wrong
    return max(len(image) * 4 // 3, pixels // PIXELS_PER_BYTE)


def _prepare(path: Path, expected: ImageInput) -> Image:
    if expected.dtype != "bytes":
        height, width, channels = expected.shape
        return decode(path, (width, height) if height and width else None, channels)
    content = path.read_bytes()
    return content if content.startswith(ENCODED) else _png(decode(path))


def _png(pixels: np.ndarray) -> bytes:
    with BytesIO() as file:
        Picture.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
        return file.getvalue()
