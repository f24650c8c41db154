"""The layers: levels that iterate a scheme under a sharing rule, and the transfers that join them."""

from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.level import GridLevel, ResidualLevel
from keras_mgnet.layers.norm import Norm, separable_norms
from keras_mgnet.layers.transfer import FullWeighting, GridTransfer, Restriction, Stem

__all__ = [
    "Conv",
    "FullWeighting",
    "GridLevel",
    "GridTransfer",
    "Norm",
    "ResidualLevel",
    "Restriction",
    "Stem",
    "separable_norms",
]
