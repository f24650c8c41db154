"""Reversible levels: any state is recomputed from the next, so training need not keep them."""

import keras
from keras import ops

from keras_mgnet.layers import autodiff, steps
from keras_mgnet.serialization import serializable


@serializable
class ReversibleLevel(keras.layers.Layer):
    """A two-step recurrence on one grid whose every step can be undone: (x^{m-1}, x^m) -> (x^m, x^{m+1}).

    x^{m+1} = x^{m-1} + f^m(x^m), or x^{m+1} = 2 x^m - x^{m-1} + f^m(x^m) with `second_order`. On a pair of states (x_1, x_2)
    the first is RevNet's y_1 = x_1 + F(x_2), y_2 = x_2 + G(y_1) with f = F, G, F, G, ... (Gomez et al. 2017), the Hamiltonian
    network and Verlet's method; on two successive states it is the explicit midpoint rule. The second is the leapfrog method.

    Call it with (x^{-1}, x^0), each (N, H, W, c); it returns the last pair. With `memory_free` a training step keeps that pair
    alone and recomputes the others from it, last first, at the price of one more evaluation of each f (on TensorFlow and JAX;
    other backends keep the states). Recomputed norms take the statistics of the batch again and leave the moving ones as
    they are. States have at least float32, also where f computes in less: nothing is recovered from a sum in bfloat16.

    Args:
        branches: the f, one layer per iteration, called as f(x, i=i) for i < f.uses; each preserves shape, is deterministic
            and shares no weight with another.
        second_order: which of the recurrences.
        memory_free: see above.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> level = ReversibleLevel([basic(4, uses=2) for _ in range(3)])
        >>> x1, x2 = ops.ones((1, 8, 8, 4)), ops.zeros((1, 8, 8, 4))
        >>> bool(ops.max(ops.abs(level.inverse(*level(x1, x2))[1])) < 1e-5)
        True
    """

    def __init__(self, branches, *, second_order=False, memory_free=True, name=None, dtype=None):
        super().__init__(autocast=False, name=name, dtype=dtype)
        self.branches = list(branches)
        self.second_order, self.memory_free = second_order, memory_free
        self.state_dtype = keras.backend.result_type(self.compute_dtype, "float32")

    @property
    def nu(self) -> int:
        """Number of iterations."""
        return len(self.branches)

    def build(self, previous_shape, x_shape):
        for f in self.branches:
            f.build(x_shape)

    def compute_output_spec(self, previous, x, training=None):
        return tuple(keras.KerasTensor(x.shape, dtype=self.state_dtype) for _ in range(2))

    def compute_output_shape(self, previous_shape, x_shape):
        return tuple(x_shape), tuple(x_shape)

    def call(self, previous, x, training=None):
        previous, x = (ops.cast(state, self.state_dtype) for state in (previous, x))
        if training and self.memory_free and autodiff.is_available():
            return self._recomputed(previous, x)
        for f in self.branches:
            for i in range(f.uses):
                previous, x = x, self._next(previous, x, self._evaluate(f, i, x, training))
        return previous, x

    def inverse(self, previous, x, training=False):
        """Returns the (x^{-1}, x^0) that the level maps to (previous, x); moving statistics stay as they are.

        Args:
            previous, x: what the level returned, each (N, H, W, c).
            training: whether it did so in training, with the statistics of the batch.
        """
        with keras.StatelessScope([(v, v.value) for v in self.variables]):
            for f in reversed(self.branches):
                for i in reversed(range(f.uses)):
                    previous, x = self._previous(previous, x, self._evaluate(f, i, previous, training)), previous
        return previous, x

    def _evaluate(self, f, i, x, training):
        return ops.cast(f(x, i=i, training=training), self.state_dtype)

    def _next(self, previous, x, f):
        return steps.leapfrog(previous, x, f) if self.second_order else steps.coupling(previous, f)

    def _previous(self, x, following, f):
        return steps.leapfrog(following, x, f) if self.second_order else steps.coupling(following, -f)

    def _recomputed(self, previous, x):
        """Training without stored states. The values of the variables are arguments, as what has a gradient must be."""

        @ops.custom_gradient
        def run(previous, x, values):
            previous, x, values = keras.tree.map_structure(ops.stop_gradient, (previous, x, values))
            *state, moved = self._forward(previous, x, values)

            def gradient(*upstream):
                d_previous, d_x, *_ = upstream if len(upstream) > 1 else upstream[0]
                return self._backward(*state, values, d_previous, d_x)

            return (*state, moved), gradient

        previous, x, moved = run(previous, x, [autodiff.values(f) for f in self.branches])
        for k, updates in moved.items():
            for j, value in updates.items():
                self.branches[int(k)].variables[int(j)].assign(value)
        return previous, x
