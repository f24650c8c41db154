"""Classifies image files on a server with TensorFlow Serving's REST protocol. The client loads neither TensorFlow nor Keras."""

import asyncio
import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from keras_mgnet.errors import unknown
from keras_mgnet.extras import SERVE, extra
from keras_mgnet.images import MAX_PIXELS, decode
from keras_mgnet.top_classes import predictions

URL = re.compile(r"https?://[^/?#]+?(?::(-?\d+))?(?:/[^?#]*)?/v1/models/[^/:?#]+(?:/versions/\d+)?")
DTYPES = ("DT_STRING", "DT_UINT8", "DT_FLOAT")  # fewest bytes first
SENT_AS_THEY_ARE = (b"\xff\xd8\xff", b"\x89PNG\r\n")  # first bytes of JPEG and PNG
AT_ONCE = 8  # requests
MAX_ANSWER_BYTES = 64 * 2**20
ODD = (LookupError, TypeError, AttributeError, ArithmeticError, ValueError, RecursionError)  # raised by unexpected JSON


class RemoteModel:
    """A model at http[s]://HOST:PORT/v1/models/NAME[/versions/N].

    Args:
        url: address of the model.
        timeout: seconds to wait for each complete response.
        retries: number of retries after a refused connection.

    Attributes:
        signatures: {name of a signature: (name of the input, TensorFlow's name of its type, lengths of its axes)}, for the
            signatures that take images and return probabilities.
        class_names: the class names, or None if the server has none.

    Raises:
        ValueError: if the server refuses the request or does not have the model (HTTP status below 500).
        OSError: if the server fails (HTTP status 500 and above), cannot be reached, or needs more time than `timeout`.
    """

    def __init__(self, url: str, timeout: float = 30.0, retries: int = 0):
        parts = URL.fullmatch(url)
        if parts is None or int(parts[1] or 0) not in range(2**16):
            raise ValueError(f"expected a model, http[s]://HOST:PORT/v1/models/NAME. Received: {url!r}")
        self._url, self._timeout, self._retries, self._http = url, timeout, retries, extra("httpx", SERVE)
        ((self.signatures, self.class_names),) = self._ask(f"{url}/metadata", "signatures", _described)
        if not self.signatures:
            raise ValueError(f"expected a signature from images to probabilities at {url}. Received: none")

    def probabilities(self, images: Sequence[Any], signature: str | None = None) -> np.ndarray:
        """Returns probabilities (N, classes).

        Args:
            images: paths of image files, or arrays of pixels (H, W, C) in the form that the signature takes.
            signature: name of the signature; None for the signature with the smallest requests.
        """
        signature = signature or min(self.signatures, key=lambda name: DTYPES.index(self.signatures[name][1]))
        if signature not in self.signatures:
            raise unknown("signature", signature, self.signatures)
        name, *kind = self.signatures[signature]

        def body(image):
            return {"signature_name": signature, "instances": [{name: _value(image, *kind)}]}

        def row(told):
            return np.ravel(np.array(told["predictions"][0]["probabilities"], float))

        return np.array(self._ask(f"{self._url}:predict", "probabilities", row, body, images))

    def _ask(self, url: str, expected: str, read: Callable, body=lambda image: None, images=(None,)) -> list:
        with ThreadPoolExecutor(AT_ONCE) as beside:  # an own thread each: a notebook already runs an event loop
            return list(beside.map(lambda image: asyncio.run(self._answer(url, expected, read, body(image))), images))

    async def _answer(self, url: str, expected: str, read: Callable, content: Any) -> Any:
        body, plain = bytearray(), {"Accept-Encoding": "identity"}
        transport = self._http.AsyncHTTPTransport(retries=self._retries)
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.AsyncClient(transport=transport, headers=plain, timeout=None) as client,
                client.stream("POST" if content else "GET", url, json=content) as answer,
            ):
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ValueError(f"expected at most {MAX_ANSWER_BYTES} bytes from {url}. Received: more")
        except TimeoutError as error:
            raise OSError(f"expected an answer from {url} within {self._timeout:g} s. Received: none") from error
        except (self._http.TransportError, self._http.InvalidURL) as error:
            raise OSError(f"expected a server at {url}. Received: {error}") from error
        said = f"{answer.reason_phrase} {body[:200].decode(errors='ignore')}"
        with suppress(*ODD):
            told = json.loads(body)
            if answer.is_success:
                return read(told)
            said = told["error"]
        received = f"{answer.status_code} {' '.join(str(said).split())[:400]}"
        kind = ValueError if answer.status_code < 500 else OSError
        raise kind(f"expected {expected} from {url}. Received: {received}")


def classify(
    model: RemoteModel,
    images: Sequence[Path],
    top: int = 3,
    *,
    signature: str | None = None,
    class_names: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Classifies image files. Returns [{"image": path, "classes": {name: probability, ...}}, ...] with the `top` best classes.

    If the signature takes files, the client sends JPEG and PNG files unchanged, and other images as PNG. If the signature takes
    pixels, the client decodes the files, and resizes the images if the input has a fixed size. Without class names, classes are
    named by their numbers. The function raises the errors of `RemoteModel`, and ValueError for a file that is not an image.
    """
    rows = model.probabilities(images, signature)
    names = class_names or model.class_names or [str(c) for c in range(rows.shape[-1])]
    if len(names) != rows.shape[-1]:
        raise ValueError(f"expected {rows.shape[-1]} class names, one per class. Received: {len(names)}")
    return predictions(images, rows, names, top)


def _described(told: Any) -> tuple[dict[str, tuple[str, str, list[int]]], list[str] | None]:
    """Returns `signatures` and `class_names` of a `RemoteModel`, read from the metadata that the server sent."""
    found, names = {}, told["metadata"].get("class_names")
    for signature, row in told["metadata"]["signature_def"]["signature_def"].items():
        for name, tensor in row["inputs"].items():
            dtype, axes = tensor["dtype"], [int(axis["size"]) for axis in tensor["tensor_shape"].get("dim", [])]
            pixels = len(axes) == 4 and math.prod(axes[1:]) <= MAX_PIXELS
            if "probabilities" in row["outputs"] and dtype in DTYPES and (pixels or dtype == "DT_STRING"):
                found[signature] = name, dtype, axes
    return found, names and [str(name) for name in names]


def _value(image: Any, dtype: str, axes: list[int]) -> Any:
    if not isinstance(image, str | Path):
        return np.asarray(image).tolist()
    if dtype != "DT_STRING":
        _, height, width, channels = axes
        return decode(Path(image), (width, height) if min(width, height) > 0 else None, channels).tolist()
    content = Path(image).read_bytes()
    if not content.startswith(SENT_AS_THEY_ARE):
        Picture.fromarray(np.squeeze(decode(Path(image)))).save(file := BytesIO(), "PNG")
        content = file.getvalue()
    return {"b64": base64.b64encode(content).decode()}
