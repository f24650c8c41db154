"""Convolutional networks as numerical methods: MgNet and the ResNet family on Keras 3."""

from keras_mgnet.describe import count_params, describe, features
from keras_mgnet.interop import load_torch_weights
from keras_mgnet.models import (
    DenseNet,
    FractalNet,
    HighwayNet,
    LMResNeXt,
    LMResNet,
    MgNet,
    MultiResNet,
    PolyNet,
    PreActResNet,
    RecurrentResNet,
    ResNeXt,
    ResNet,
    ShakeShake,
    VeryDeepPolyNet,
    k_values,
)
from keras_mgnet.registry import ModelInfo, create_model, list_models, model_info
from keras_mgnet.version import __version__

__all__ = [
    "DenseNet",
    "FractalNet",
    "HighwayNet",
    "LMResNeXt",
    "LMResNet",
    "MgNet",
    "ModelInfo",
    "MultiResNet",
    "PolyNet",
    "PreActResNet",
    "RecurrentResNet",
    "ResNeXt",
    "ResNet",
    "ShakeShake",
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
