"""State dicts as PyTorch would give them."""

import keras
import numpy as np

from keras_mgnet.interop import ENTRIES, _kind, _layout


def torch_state(model):
    """The state dict that PyTorch would give for the weights of a model."""
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
