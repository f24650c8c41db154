"""Levels that compute their states again for the gradient, one iteration at a time, where `keras.RematScope` names them."""

from collections.abc import Callable
from functools import partial

import keras
from keras import ops

from keras_mgnet import compat
from keras_mgnet.layers import autodiff


class Rematerialized:
    """A level, to be mixed in before `keras.layers.Layer`, that may be built inside `keras.RematScope("list_of_layers", ...)`.

    Named there, it keeps in training only what enters its iterations. When the gradient is asked for, they are evaluated a
    second time, from the last to the first, each once the gradients by its outputs are known, so the states inside of one
    iteration exist at a time. The second evaluation draws the same random numbers and leaves moving statistics as they are.

    Example:
        >>> from keras_mgnet.layers import GridLevel
        >>> with keras.RematScope("list_of_layers", layer_names=["level1"]):
        ...     level = GridLevel(4, 4, nu=2, name="level1")
        >>> u, r = level(ops.ones((1, 8, 8, 4)), training=True)
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Returns what Keras calls in place of `call`: `call` itself, which evaluates its iterations by `again`."""
        return (
            layer_call if compat.is_named_for_remat(self) else super().rematerialized_call(layer_call, *args, **kwargs)
        )

    def again(self, f: Callable, *states, training: bool | None):
        """Returns f(*states); in training, where the level is named, without keeping what f computes on the way.

        Args:
            f: one iteration, which computes tensors from its states and from variables alone.
            states: tensors, or 0.0 for a state that is zero.
            training: the mode of the level.
        """
        if not (training and compat.is_named_for_remat(self) and autodiff.is_available()):
            return f(*states)
        y, variables, moved = autodiff.noted(partial(f, *states))
        tensors = [state for state in states if ops.is_tensor(state)]
        values = _Entered(partial(_read, variables), self.variable_dtype)(training=True)  # in full precision
        evaluate = partial(self._evaluate, f, states, variables)
        outputs = [ops.stop_gradient(output) for output in keras.tree.flatten(y)]
        autodiff.assign(variables, moved)
        return keras.tree.pack_sequence_as(y, _differentiated(evaluate, outputs, tensors, values))

    def _evaluate(self, f, states, variables, *primals):
        """The outputs of f by given tensors among the states and given values of the variables."""
        primals = iter(primals)
        states = [next(primals) if ops.is_tensor(state) else state for state in states]
        iteration = _Entered(partial(f, *states), self.dtype_policy)
        y, _ = autodiff.by_values(variables, primals, partial(iteration, training=True))
        return tuple(keras.tree.flatten(y))


class _Entered(keras.layers.Layer):
    """Evaluates f as `call` would: what f calls finds the mode and the precision that this is called with."""

    def __init__(self, f, dtype):
        super().__init__(dtype=dtype, name="again")
        self.f = f

    def call(self, training=None):
        return self.f()


def _read(variables):
    return [autodiff.read(variable) for variable in variables]


def _differentiated(evaluate, outputs, tensors, values):
    """The outputs as they are, with the gradient of evaluate(*tensors, *values), which is not called before it is needed."""

    @ops.custom_gradient
    def run(outputs, tensors, values):
        def gradient(*upstream):
            upstream = tuple(keras.tree.flatten(upstream))
            _, pull = autodiff.vjp(evaluate, *tensors, *autodiff.after(upstream, values))
            found = pull(upstream)
            return [None] * len(outputs), found[: len(tensors)], found[len(tensors) :]

        return outputs, gradient

    return run(outputs, tensors, values)
