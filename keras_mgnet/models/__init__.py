"""The families: one file each."""

from keras_mgnet.models.mgnet import MgNet
from keras_mgnet.models.resnet import PreActResNet, ResNet

__all__ = ["MgNet", "PreActResNet", "ResNet"]
