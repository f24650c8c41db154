"""Classifies image files by a server that speaks TensorFlow Serving's REST protocol; loads neither TensorFlow nor Keras."""

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from keras_mgnet.errors import unknown
from keras_mgnet.extras import SERVE, extra
from keras_mgnet.images import decode
from keras_mgnet.top_classes import top_classes

URL = re.compile(r"(https?://[^/?#]+.*?)/?(?:/v1/models/([^/:?#]+)(/versions/\d+)?(?::predict|/metadata)?/?)?")
DTYPES = ("DT_STRING", "DT_UINT8", "DT_FLOAT")  # the one of fewest bytes first
SENT_AS_THEY_ARE = (b"\xff\xd8\xff", b"\x89PNG\r\n")  # how JPEG and PNG begin
AT_ONCE = 8  # requests
MAX_ANSWER_BYTES = 64 * 2**20


class RemoteModel:
    """A model behind http[s]://HOST:PORT[/v1/models/NAME[/versions/N]].

    Args:
        url: of the server or the model.
        name: of the model; None for the URL's, or the only one that the server lists.
        timeout: seconds for each whole answer.
        retries: how often a refused connection is tried again.

    Attributes: `signatures`, {name: (its input, as TensorFlow Serving describes it)}, and `class_names` or None.

    Raises:
        ValueError, OSError: where the server refuses or has no such model; where it does not answer in time, or at all.
    """

    def __init__(self, url: str, name: str | None = None, timeout: float = 30.0, retries: int = 0):
        self._timeout, self._retries, self._http = timeout, retries, extra("httpx", SERVE)
        parts = URL.fullmatch(url)
        if parts is None:
            raise ValueError(f"expected a server http[s]://HOST:PORT[/v1/models/NAME]. Received: {url!r}")
        root, named, version = parts.groups(default="")
        self._url = f"{root}/v1/models/{name or named or self._only_model(root)}{version}"
        (told,) = self._ask("GET", f"{self._url}/metadata")
        try:
            found = told["metadata"]["signature_def"]["signature_def"].items()
            inputs = {key: next(iter(row["inputs"].items())) for key, row in found if "probabilities" in row["outputs"]}
            self.signatures = {key: row for key, row in inputs.items() if row[1]["dtype"] in DTYPES}
            self.class_names: list[str] | None = told["metadata"].get("class_names")
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise ValueError(f"expected signatures from {self._url}/metadata. Received: {str(told)[:200]}") from error
        if not self.signatures:
            raise ValueError(f"expected a model from images to probabilities at {self._url}. Received: {[*inputs]}")

    def probabilities(self, images: Sequence[Any], signature: str | None = None) -> np.ndarray:
        """Returns (N, classes) for paths, or for pixels (H, W, C) as the signature takes them, by default the smallest."""
        signature = signature or min(self.signatures, key=lambda name: DTYPES.index(self.signatures[name][1]["dtype"]))
        if signature not in self.signatures:
            raise unknown("signature", signature, self.signatures)
        name, tensor = self.signatures[signature]

        def body(image):
            return {"signature_name": signature, "instances": [{name: _value(image, tensor)}]}

        answers = self._ask("POST", f"{self._url}:predict", body, images)
        try:
            rows = np.array([answer["predictions"][0]["probabilities"] for answer in answers], float)
            return rows.reshape(len(rows), -1)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"expected probabilities from {self._url}. Received: {str(answers[0])[:200]}") from error

    def _only_model(self, root: str) -> str:
        names = []
        with suppress(ValueError):  # TensorFlow Serving does not list its models
            names = self._ask("GET", f"{root}/v1/models")[0].get("models", [])
        if len(names) != 1:
            received = f"{root}, which lists {', '.join(names) or 'none'}"
            raise ValueError(f"expected --name NAME, or a URL that ends in /v1/models/NAME. Received: {received}")
        return names[0]

    def _ask(self, method: str, url: str, body=lambda image: None, images=(None,)) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(AT_ONCE) as beside:  # a notebook has an event loop of its own
            return list(beside.map(lambda image: asyncio.run(self._answer(method, url, body(image))), images))

    async def _answer(self, method: str, url: str, content: Any) -> dict[str, Any]:
        body, plain = bytearray(), {"Accept-Encoding": "identity"}
        transport = self._http.AsyncHTTPTransport(retries=self._retries)
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.AsyncClient(transport=transport, headers=plain, timeout=None) as client,
                client.stream(method, url, json=content) as answer,
            ):
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        raise ValueError(f"expected at most {MAX_ANSWER_BYTES} bytes from {url}. Received: more")
        except TimeoutError as error:
            raise OSError(f"expected an answer from {url} within {self._timeout:g} s. Received: none") from error
        except (self._http.TransportError, self._http.InvalidURL) as error:
            raise OSError(f"expected a server at {url}. Received: {error}") from error
        told = None
        with suppress(ValueError, RecursionError):
            told = json.loads(body)
        if answer.is_success and isinstance(told, dict):
            return told
        said = told.get("error") if isinstance(told, dict) else answer.reason_phrase
        received = f"{answer.status_code} {' '.join(str(said).split())[:400]}"
        raise (ValueError if answer.status_code < 500 else OSError)(f"expected JSON from {url}. Received: {received}")


def classify(
    model: RemoteModel,
    images: Sequence[Path],
    top: int = 3,
    *,
    signature: str | None = None,
    class_names: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Returns [{"image": path, "classes": {name: probability, ...}}, ...], the `top` classes of each image file.

    JPEG and PNG are sent as they are if the model decodes them, else pixels of the model's size. Classes without names of
    yours or the server's are numbers. Raises as `RemoteModel`, and ValueError for a file that is no image.
    """
    rows = model.probabilities(images, signature)
    names = class_names or model.class_names or [str(c) for c in range(rows.shape[-1])]
    if len(names) != rows.shape[-1]:
        raise ValueError(f"expected {rows.shape[-1]} class names, one per class. Received: {len(names)}")
    pairs = zip(images, rows, strict=True)
    return [{"image": str(path), "classes": top_classes(row, names, top)} for path, row in pairs]


def _value(image: Any, tensor: dict[str, Any]) -> Any:
    if not isinstance(image, str | Path):
        return np.asarray(image).tolist()
    if tensor["dtype"] != "DT_STRING":
        _, height, width, channels = (int(axis["size"]) for axis in tensor["tensor_shape"]["dim"])
        return decode(Path(image), (width, height) if min(width, height) > 0 else None, channels).tolist()
    content = Path(image).read_bytes()
    if not content.startswith(SENT_AS_THEY_ARE):
        with BytesIO() as file:
            Picture.fromarray(np.squeeze(decode(Path(image)))).save(file, "PNG")
            content = file.getvalue()
    return {"b64": base64.b64encode(content).decode()}
