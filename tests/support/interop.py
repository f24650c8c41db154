"""Weights of a model as a state dict of PyTorch."""

import numpy as np

from keras_mgnet.interop.names import entries


def torch_state(model):
    """Returns the weights of a model as the state dict of the same network in PyTorch."""
    return {entry.key: np.ascontiguousarray(entry.to_torch(entry.variable.numpy())) for entry in entries(model)}
