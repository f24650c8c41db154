"""Weights of a model as a state dict of PyTorch."""

import keras
import numpy as np

from keras_mgnet.interop import ENTRIES, _kind, _layout


def torch_state(model):
    """Returns the weights of a model as the state dict of the same network in PyTorch."""
    state = {}
    for prefix, layer in _layout(model):
        if isinstance(layer, keras.Variable):
            state[prefix] = 1 - layer.numpy()[None]
            continue
        for entry, (attribute, axes) in ENTRIES[_kind(layer)].items():
            state[f"{prefix}.{entry}"] = np.ascontiguousarray(
                getattr(layer, attribute).numpy().transpose(np.argsort(axes))
            )
    return state
