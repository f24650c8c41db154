"""A model behind TensorFlow Serving's REST protocol."""

import base64
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mgnet.extras import SERVE, extra
from keras_mgnet.serving.image_input import Image, ImageInput, image_input

URL = re.compile(
    r"(?P<root>https?://[^/?#]+(?:/[^?#]+?)??)/?"
    r"(?:/v1(?:/models(?:/(?P<name>[^/:?#]+)(?P<version>/(?:versions|labels)/[^/:?#]+)?)?)?(?:/metadata|:predict)?/?)?"
)
DTYPES = {"DT_STRING": "bytes", "DT_UINT8": "uint8", "DT_FLOAT": "float32"}
SHOWN = 400  # characters of a server's message


class RestModel:
    """A `RemoteModel` at http[s]://HOST:PORT[/v1/models/NAME[/versions/N|/labels/L]].

    Raises:
        ValueError: where the server refuses the request or has no such model.
        OSError: where it does not answer in time, or not at all.
    """

    def __init__(self, url: str, name: str | None, timeout: float, retries: int):
        parts = URL.fullmatch(url)
        if parts is None:
            raise ValueError(f"expected a URL http://HOST:PORT[/v1/models/NAME]. Received: {url!r}")
        self._http = extra("httpx", SERVE)
        self._timeout = timeout
        self._client = self._http.Client(timeout=timeout, transport=self._http.HTTPTransport(retries=retries))
        try:
            root = parts["root"]
            self._url = f"{root}/v1/models/{name or parts['name'] or self._only_model(root)}{parts['version'] or ''}"
            metadata = self._ask("GET", f"{self._url}/metadata")
            self.signatures: dict[str, ImageInput] = self._signatures(metadata)
            self.class_names: list[str] | None = metadata["metadata"].get("class_names")
        except BaseException:
            self._client.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._client.close()

    def probabilities(self, signature: str, images: Sequence[Image]) -> np.ndarray:
        """Returns (N, classes) in one request."""
        name = self.signatures[signature].name
        request = {"signature_name": signature, "instances": [{name: _as_json(image)} for image in images]}
        reply = self._ask("POST", f"{self._url}:predict", json=request)
        try:
            return np.array([row["probabilities"] for row in reply["predictions"]])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"expected probabilities in each of the predictions. Received: {str(reply)[:SHOWN]}"
            ) from error

    def _only_model(self, root: str) -> str:
        hint = "expected the name of a model, as NAME in --name NAME or at the end of the URL, /v1/models/NAME"
        try:
            models = self._ask("GET", f"{root}/v1/models").get("models", [])
        except ValueError as error:  # TensorFlow Serving does not list its models
            raise ValueError(f"{hint}. Received: {root}") from error
        if len(models) != 1:
            raise ValueError(f"{hint}. Received: {root}, which has {', '.join(models) or 'none'}")
        return models[0]

    def _signatures(self, metadata: dict[str, Any]) -> dict[str, ImageInput]:
        try:
            found = metadata["metadata"]["signature_def"]["signature_def"]
            pairs = {name: _signature(definition) for name, definition in found.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"expected the signatures of a SavedModel from {self._url}/metadata. Received: {str(metadata)[:SHOWN]}"
            ) from error
        signatures = {name: signature for name, signature in pairs.items() if signature}
        if not signatures:
            raise ValueError(f"expected a model from images to probabilities at {self._url}. Received: {[*pairs]}")
        return signatures

    def _ask(self, method: str, url: str, **content) -> dict[str, Any]:
        try:
            response = self._client.request(method, url, **content)
        except self._http.TimeoutException as error:
            raise OSError(f"expected an answer from {url} within {self._timeout:g} s. Received: none") from error
        except (self._http.TransportError, self._http.InvalidURL) as error:
            raise OSError(f"expected a server at {url}. Received: {error}") from error
        try:
            reply = response.json()
        except ValueError:
            reply = None
        if response.is_success and isinstance(reply, dict):
            return reply
        kind = ValueError if response.status_code < 500 else OSError
        raise kind(f"expected JSON from {method} {url}. Received: {response.status_code} {_message(response, reply)}")


def _signature(definition: dict[str, Any]) -> ImageInput | None:
    if "probabilities" not in definition["outputs"] or len(definition["inputs"]) != 1:
        return None
    ((name, tensor),) = definition["inputs"].items()
    shape = [int(axis["size"]) for axis in tensor["tensor_shape"].get("dim", [])]
    return image_input(name, DTYPES.get(tensor["dtype"]), shape)


def _as_json(image: Image) -> Any:
    return {"b64": base64.b64encode(image).decode()} if isinstance(image, bytes) else image.tolist()


def _message(response, reply: Any) -> str:
    """Returns what a server says of an error, on one line."""
    said = reply.get("error") or reply.get("detail") if isinstance(reply, dict) else None
    return " ".join(str(said or response.reason_phrase).split())[:SHOWN]
