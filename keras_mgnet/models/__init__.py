"""The families: one file each."""

from keras_mgnet.models.frame import Frame
from keras_mgnet.models.lm_resnet import LMResNet, LMResNeXt, k_values
from keras_mgnet.models.mgnet import MgNet
from keras_mgnet.models.network import Graph, Network, family
from keras_mgnet.models.resnet import PreActResNet, ResNet
from keras_mgnet.models.resnext import ResNeXt

FAMILIES = (MgNet, ResNet, PreActResNet, LMResNet, ResNeXt, LMResNeXt)

__all__ = ["FAMILIES", "Frame", "Graph", "LMResNeXt", "LMResNet", "MgNet", "Network", "PreActResNet", "ResNeXt", "ResNet", "family", "k_values"]
