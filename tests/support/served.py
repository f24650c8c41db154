"""Exports a tiny model as SavedModel and ONNX, and starts servers of these exports in their own processes.

`python tests/support/served.py FOLDER` writes the SavedModel to FOLDER/tiny/1, so that another server can serve it for the tests.
"""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from keras_mgnet import MgNet, export

NAME, SIZE, CLASSES = "tiny", 8, 3
NORMALIZATION = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
AT_ONCE = ("--rest-port=0", "--grpc-port=0", "--drain-seconds=0")
ANNOUNCED = re.compile(r"at (http://(.*):\d+)/v1/models/tiny(?: and by gRPC at (\S+))?")


def tiny(seed: int = 0):
    """Returns a model that depends only on the seed. Its logits differ between the images of `pixels`."""
    model = MgNet((1,), 4, input_shape=(SIZE, SIZE, 3), classes=CLASSES, name=NAME)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = 0.5 * rng.normal(size=weight.shape)
        weight.assign(0.5 + np.abs(value) if "variance" in weight.path else value)
    kernel, bias = model.get_layer("classifier").weights
    kernel.assign(10 * kernel)
    bias.assign(bias - logits(model, pixels(4)).mean(axis=0))
    return model


def logits(model, images) -> np.ndarray:
    """Returns the logits that Keras computes for images 0..255."""
    mean, std = (np.float32(part) for part in NORMALIZATION)
    return np.asarray(model((np.asarray(images, "float32") / 255 - mean) / std, training=False))


def write_savedmodel(base: Path, seed: int = 0) -> Path:
    return export.savedmodel(tiny(seed), base, normalization=NORMALIZATION)


def write_onnx(base: Path, seed: int = 0, version: int = 1) -> Path:
    return export.onnx(tiny(seed), base / str(version) / "model.onnx", normalization=NORMALIZATION).parent


def pixels(n: int, seed: int = 1) -> np.ndarray:
    """Returns noise images (n, SIZE, SIZE, 3), uint8, with four brightnesses in turn."""
    noise = np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3))
    return (noise * (np.arange(n) % 4 + 1)[:, None, None, None] // 4).astype("uint8")


def encoded(image: np.ndarray, format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format)
    return stream.getvalue()


class Served:
    """A server process. Attributes: `process`, REST addresses `url` and `model_url`, gRPC address `grpc` or None."""

    def __init__(self, base: Path, *options: str):
        command = [sys.executable, "-m", "keras_mgnet", "serve", str(base), *AT_ONCE, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        announced = ANNOUNCED.search(self.process.stdout.readline())
        if announced is None:
            raise RuntimeError(f"the server did not start: {command}")
        self.url, self.grpc = announced[1], announced[3]
        self.model_url = f"{self.url}/v1/models/{NAME}"


@contextlib.contextmanager
def served(base: Path, *options: str):
    """Yields a `Served`, and ends its process when the `with` block ends."""
    server = Served(base, *options)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=60)
        server.process.stdout.close()


if __name__ == "__main__":
    print(write_savedmodel(Path(sys.argv[1], NAME)))
