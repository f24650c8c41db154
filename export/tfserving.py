"""Writes files that TensorFlow Serving reads next to a model: configuration and warm-up requests."""

import json
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np

from keras_mgnet.extras import SERVE

WARM_UP = "assets.extra/tf_serving_warmup_requests"
MOUNT = "/models"  # where TensorFlow Serving's container images expect models

BATCHING = """\
# For --enable_batching --batching_parameters_file=<this file>. All models of a server share it.
max_batch_size { value: 32 }
batch_timeout_micros { value: 1000 }  # how long a request waits for others
max_enqueued_batches { value: 100 }  # if more batches wait, the server answers UNAVAILABLE
"""
MODELS = """\
model_config_list {{
  config {{
    name: {name}
    base_path: {path}
    model_platform: "tensorflow"
  }}
}}
"""
MONITORING = """\
# For --monitoring_config_file=<this file>: metrics for Prometheus, at the REST port.
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""


def config_files(name: str) -> dict[str, str]:
    """Returns the configuration files of a model as {file name: text}. The files belong next to the version folders.

    Example:
        >>> print(config_files("digits")["models.config"])
        model_config_list {
          config {
            name: "digits"
            base_path: "/models/digits"
            model_platform: "tensorflow"
          }
        }
        <BLANKLINE>
    """
    return {
        "batching.config": BATCHING,
        "models.config": MODELS.format(name=json.dumps(name), path=json.dumps(f"{MOUNT}/{name}")),
        "monitoring.config": MONITORING,
    }


def write_warmup(folder: Path, name: str, signatures: dict, image_shape: tuple[int, ...], level: float) -> None:
    """Writes one warm-up request per signature into a version folder. TensorFlow Serving runs these requests first.

    Without the package `tensorflow-serving-api`, warns and writes nothing.

    All pixels of an image have the same value. Such an image takes only a few bytes, and only its shape matters here.

    Args:
        folder: the version folder.
        name: name of the model.
        signatures: {name: tf.function}, each with one input, `image` or `image_bytes`.
        image_shape: (H, W, C).
        level: value of all pixels.
    """
    import tensorflow as tf

    try:
        log_type = import_module("tensorflow_serving.apis.prediction_log_pb2").PredictionLog
    except ImportError as error:
        install = f"install `pip install '{SERVE}'` before the export"
        warnings.warn(
            f"expected tensorflow_serving for the warm-up requests: {install}. Received: {error}", stacklevel=2
        )
        return
    path = folder / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, function in signatures.items():
            (spec,), log = function.input_signature, log_type()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = name, signature
            request.inputs[spec.name].CopyFrom(_input(spec.dtype, image_shape, level))
            writer.write(log.SerializeToString())


def _input(dtype, image_shape: tuple[int, ...], level: float):
    import tensorflow as tf

    pixel = int(np.clip(np.rint(level), 0, 255))
    if dtype == tf.string:
        return tf.make_tensor_proto([tf.io.encode_png(tf.fill(image_shape, tf.constant(pixel, tf.uint8))).numpy()])
    return tf.make_tensor_proto(dtype.as_numpy_dtype(level if dtype.is_floating else pixel), dtype, (1, *image_shape))
