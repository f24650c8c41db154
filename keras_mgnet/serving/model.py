"""The model that a server offers. The server offers one version of the model, and runs it in threads next to the event loop."""

import asyncio
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import Histogram

from keras_mgnet.errors import unknown
from keras_mgnet.images import look
from keras_mgnet.serving.engines import DEFAULT, open_engine, versions
from keras_mgnet.serving.tensors import STRING, RequestError, Signature

RUNTIME_THREADS = 2  # requests answered at a time; the runtime has threads of its own
MAX_WAITING = 256  # requests
MAX_PIXELS = 2**24  # of all images of a request together
SECONDS = Histogram("keras_mgnet_request_seconds", "Request times by protocol and HTTP status.", ["protocol", "status"])


class Model:
    """Opens and warms up the highest version in a folder, or an .onnx file. Raises ValueError if there is no version."""

    def __init__(self, base: Path, name: str):
        self.name, self.ready = name, True
        self.number, path = max(versions(base).items())
        self.engine = open_engine(path)
        self._executor, self._waiting = ThreadPoolExecutor(RUNTIME_THREADS), 0
        gc.collect()
        gc.freeze()  # a runtime has a million objects; collecting garbage among them would halt all requests

    def check(self, name: str | None = None, version: str | None = None) -> None:
        """Raises RequestError if a client asks for another model or another version."""
        for kind, asked, known in (("model", name, self.name), ("version", version, str(self.number))):
            if asked not in (known, None):
                raise RequestError(str(unknown(kind, asked[:60], [known])), status=404)

    def signature(self, name: str) -> Signature:
        """Returns a signature by name; "" means `serving_default`. Raises RequestError for an unknown name."""
        known = self.engine.signatures
        if (name or DEFAULT) not in known:
            raise RequestError(f"'signature_name': {unknown('signature', name[:60], known)}")
        return known[name or DEFAULT]

    def run(self, name: str, array: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature. Raises RequestError if the input is too large or the runtime refuses it."""
        tensor, pixels = self.signature(name).input, 0
        for index, picture in enumerate(array if tensor.dtype == STRING else ()):
            try:
                pixels += look(picture, ("JPEG", "PNG"), MAX_PIXELS - pixels)
            except ValueError as error:
                raise RequestError(f"'{tensor.name}[{index}]': {error}") from error
        return self.engine.run(name or DEFAULT, array)

    async def answer(self, protocol: str, work: Callable, *arguments) -> Any:
        """Runs the work of one request in a thread and measures its time. Raises RequestError if too many requests wait."""
        start, status = time.perf_counter(), 500
        self._waiting += 1
        try:
            if self._waiting > MAX_WAITING:
                raise RequestError(f"expected at most {MAX_WAITING} requests at a time. Received: more", status=503)
            result = await asyncio.get_running_loop().run_in_executor(self._executor, work, self, *arguments)
            status = 200
            return result
        except RequestError as error:
            status = error.status
            raise
        finally:
            self._waiting -= 1
            SECONDS.labels(protocol, status).observe(time.perf_counter() - start)
