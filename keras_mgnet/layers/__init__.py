"""The layers: levels that iterate a scheme over a branch under a sharing rule, and the transfers that join them."""

from keras_mgnet.layers.branch import Branch, basic, bottleneck
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.level import GridLevel
from keras_mgnet.layers.norm import Norm, separable_norms
from keras_mgnet.layers.residual import LinearMultistepLevel, ResidualLevel
from keras_mgnet.layers.shortcut import ZeroPadding
from keras_mgnet.layers.stochastic import StochasticDepth
from keras_mgnet.layers.transfer import FullWeighting, GridTransfer, Restriction, Stem

__all__ = [
    "Branch",
    "Conv",
    "FullWeighting",
    "GridLevel",
    "GridTransfer",
    "LinearMultistepLevel",
    "Norm",
    "ResidualLevel",
    "Restriction",
    "Stem",
    "StochasticDepth",
    "ZeroPadding",
    "basic",
    "bottleneck",
    "separable_norms",
]
