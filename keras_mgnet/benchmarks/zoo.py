"""The networks of the export benchmarks, one of every family: a published network if it is small, else a narrower one."""

import functools

import keras
import numpy as np

import keras_mgnet
from keras_mgnet.training.data.dataset import Dataset, load

PUBLISHED = (
    "mgnet_1111_c64_shared_b",
    "poly_mgnet",
    "lm_resnet20",
    "recurrent_resnet2",
    "polynet_poly2",
    "revnet38",
    "hamiltonian74",
    "tnrd5_5x5",
)
RES = {"base_width": 32}
NEXT = {"cardinality": 4, "group_width": 8, "depth": 29}
NARROWER = {  # name -> (family, arguments)
    "MgNet[2,2,2,2]-64-B^l": ("MgNet", {"nu": (2, 2, 2, 2), "channels": 64}),
    "PreActResNet20": ("PreActResNet", {"blocks": (3, 3, 3), "base_width": 16}),
    "VCycleMgNet[2,2,2,2]-64": ("VCycleMgNet", {"nu": (2, 2, 2, 2), "channels": 64}),
    "FBResNet[2,2,2,2]-64": ("FBResNet", {"A": "linear", "B": "both", "nu": (2, 2, 2, 2), "channels": (64,) * 4}),
    "ResNet18-A-B, 32": ("ResNet", RES | {"depth": 18, "share_A": True, "share_B": True}),
    "ResNeXt-29, 4x8d": ("ResNeXt", NEXT),
    "LM-ResNeXt-29, 4x8d": ("LMResNeXt", NEXT),
    "MultiResNet-8, k=3": ("MultiResNet", RES | {"depth": 8, "branches": 3}),
    "Very Deep PolyNet, 1/12": ("VeryDeepPolyNet", {"modules": (1, 2, 1), "width": 1 / 12}),
    "FractalNet, 3 columns": ("FractalNet", {"columns": 3, "channels": (32, 64, 96)}),
    "Shake-Shake-14, 2x32d": ("ShakeShake", {"depth": 14, "width": 32}),
    "Highway, 32": ("HighwayNet", {"nu": (4, 4), "channels": (32, 48)}),
    "DenseNet-40, k=12": ("DenseNet", {"depth": 40, "growth": 12}),
}
NAMES = (*PUBLISHED, *NARROWER)
SAMPLES, CALIBRATION = 32, 20  # numbers of images to compare a file with Keras on, and to calibrate on
PACKAGES = ("keras", "tensorflow", "onnxruntime", "ai-edge-litert", "tf2onnx")  # packages that make or run exports
SETTLING = 20  # batches, after which a moving statistic contains an eighth of its initial value
BATCH = 32


def network(name: str) -> keras.Model:
    """Returns the network of a name in `NAMES`, with random weights, after `settled`."""
    if name in NARROWER:
        family, arguments = NARROWER[name]
        model = getattr(keras_mgnet, family)(**arguments, input_shape=(32, 32, 3), classes=10)
    else:
        model = keras_mgnet.create_model(name)
    return settled(model)


def settled(model: keras.Model) -> keras.Model:
    """Runs images of CIFAR-10 through a classifier, so that the moving statistics of its norms settle. Returns the model."""
    if normalization(model) is not None:
        mean, std = np.float32(normalization(model))
        for batch in np.split((images(model, "train", SETTLING * BATCH) / 255 - mean) / std, SETTLING):
            model(batch, training=True)
    return model


def images(model: keras.Model, split: str, count: int) -> np.ndarray:
    """Returns the first images of CIFAR-10, with values 0..255; grey for a denoiser."""
    chosen = getattr(cifar10(), split).images[:count].astype("float32")
    return chosen if model.input_shape[-1] == 3 else chosen.mean(axis=-1, keepdims=True)


def export_images(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns images for an export: test images to compare on, and training images to calibrate on."""
    return {"samples": images(model, "test", SAMPLES), "calibration": images(model, "train", CALIBRATION)}


def normalization(model: keras.Model) -> tuple | None:
    """Returns (mean, std) per channel for a classifier, or None for a denoiser."""
    return (cifar10().mean, cifar10().std) if model.input_shape[-1] == 3 else None


@functools.cache
def cifar10() -> Dataset:
    """Loads CIFAR-10 once."""
    return load("cifar10")
