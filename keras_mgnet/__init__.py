"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3."""

from keras_mgnet.describe import count_params, describe, features
from keras_mgnet.interop import load_torch_weights
from keras_mgnet.models import (
    DenseNet,
    FBResNet,
    FractalNet,
    HamiltonianNet,
    HighwayNet,
    LMResNet,
    LMResNeXt,
    MgNet,
    MultiResNet,
    PolyMgNet,
    PolyNet,
    PreActResNet,
    RecurrentResNet,
    ResNet,
    ResNeXt,
    RevNet,
    ShakeShake,
    VCycleMgNet,
    VeryDeepPolyNet,
    k_values,
)
from keras_mgnet.registry import ModelInfo, create_model, list_models, model_info
from keras_mgnet.version import __version__

__all__ = [
    "DenseNet",
    "FBResNet",
    "FractalNet",
    "HamiltonianNet",
    "HighwayNet",
    "LMResNeXt",
    "LMResNet",
    "MgNet",
    "ModelInfo",
    "MultiResNet",
    "PolyMgNet",
    "PolyNet",
    "PreActResNet",
    "RecurrentResNet",
    "ResNeXt",
    "ResNet",
    "RevNet",
    "ShakeShake",
    "VCycleMgNet",
    "VeryDeepPolyNet",
    "__version__",
    "count_params",
    "create_model",
    "describe",
    "features",
    "k_values",
    "list_models",
    "load_torch_weights",
    "model_info",
]


def __getattr__(name):
    if name in ("HyperMgNet", "HyperNetwork"):  # they need KerasTuner, an extra
        from keras_mgnet import tuner

        return getattr(tuner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
