"""Levels that compute their states again for the gradient, where `keras.RematScope` names them."""

from contextvars import ContextVar
from functools import partial

import keras
from keras import ops

from keras_mgnet.layers import autodiff

_again: ContextVar[bool] = ContextVar("again", default=False)


class Rematerialized:
    """A layer, to be mixed in before `keras.layers.Layer`, that may be built inside `keras.RematScope("list_of_layers", ...)`.

    Named there, it keeps in training only its inputs, and is evaluated a second time when its gradient is asked for. Unlike
    what Keras does to other layers, the second evaluation draws the same random numbers and leaves moving statistics as they
    are, also on TensorFlow. Its `call` takes `training`.

    Example:
        >>> from keras_mgnet.layers import GridLevel
        >>> with keras.RematScope("list_of_layers", layer_names=["level1"]):
        ...     level = GridLevel(4, 4, nu=2, name="level1")
        >>> u, r = level(ops.ones((1, 8, 8, 4)), training=True)
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Returns what Keras calls in place of `call`."""
        mode = self._remat_mode
        if mode is None or mode.mode != "list_of_layers" or self.name not in mode.layer_names:
            return super().rematerialized_call(layer_call, *args, **kwargs)
        first = kwargs.get("training") and not _again.get() and autodiff.is_available()
        return self._recomputed if first else layer_call

    def _recomputed(self, *args, **kwargs):
        """The level without stored states. What has a gradient must be an argument, so variables come as values."""
        leaves = keras.tree.flatten((args, kwargs))
        places = [place for place, leaf in enumerate(leaves) if ops.is_tensor(leaf)]

        def evaluate(tensors, values):
            given = dict(zip(places, tensors, strict=True))
            filled = [given.get(place, leaf) for place, leaf in enumerate(leaves)]
            args_, kwargs_ = keras.tree.pack_sequence_as((args, kwargs), filled)
            call = partial(self._evaluated_again, *args_, **kwargs_)
            outputs, moved = autodiff.by_values(self.variables, values, call)
            return tuple(keras.tree.flatten(outputs)), moved

        @ops.custom_gradient
        def run(tensors, values):
            tensors, values = keras.tree.map_structure(ops.stop_gradient, (tensors, values))
            outputs, moved = evaluate(tensors, values)

            def gradient(*upstream):
                d_outputs = tuple((upstream if len(upstream) > 1 else upstream[0])[: len(outputs)])
                primals = autodiff.after(d_outputs[0], [*tensors, *values])
                _, pull = autodiff.vjp(partial(_outputs_of, evaluate, len(tensors)), *primals)
                d_primals = list(pull(d_outputs))
                return d_primals[: len(tensors)], d_primals[len(tensors) :]

            return (*outputs, moved), gradient

        *outputs, moved = run([leaves[place] for place in places], [autodiff.read(v) for v in self.variables])
        autodiff.assign(self.variables, moved)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _evaluated_again(self, *args, **kwargs):
        token = _again.set(True)
        try:
            return self(*args, **kwargs)
        finally:
            _again.reset(token)


def _outputs_of(evaluate, count, *primals):
    return evaluate(primals[:count], primals[count:])[0]
