"""Reversible levels: any state is recomputed from the next, so training need not keep them."""

from functools import partial

import keras
from keras import ops

from keras_mgnet.layers import autodiff, steps
from keras_mgnet.serialization import serializable


@serializable
class ReversibleLevel(keras.layers.Layer):
    """A two-step recurrence on one grid whose every step can be undone: (x^{m-1}, x^m) -> (x^m, x^{m-1} + f^m(x^m)).

    On a pair (x_1, x_2) it is RevNet's y_1 = x_1 + F(x_2), y_2 = x_2 + G(y_1) with f = F, G, F, G, ... (Gomez et al. 2017), the
    Hamiltonian network and Verlet's method; on velocity and position the leapfrog method; on two successive states the
    explicit midpoint rule. Call it with (x^{-1}, x^0), each (N, H, W, c); it returns the last pair.

    With `memory_free` a training step keeps the last pair alone and recomputes the others from it, at the price of one more
    evaluation of each f (on TensorFlow and JAX; other backends keep the states). Recomputed norms take the statistics of the
    batch again and leave the moving ones as they are. States have at least float32, also where f computes in less: nothing
    is recovered from a sum in bfloat16. There the states come back as exactly as f repeats itself.

    Args:
        branches: the f, one layer per iteration, called as f(x, i=i) for i < f.uses; each preserves shape, is deterministic
            and shares no weight with another.
        memory_free: see above.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> level = ReversibleLevel([basic(4, uses=2) for _ in range(3)])
        >>> x1, x2 = ops.ones((1, 8, 8, 4)), ops.zeros((1, 8, 8, 4))
        >>> bool(ops.max(ops.abs(level.inverse(*level(x1, x2))[1])) < 1e-5)
        True
    """

    def __init__(self, branches, *, memory_free=True, name=None, dtype=None):
        super().__init__(autocast=False, name=name, dtype=dtype)
        self.branches, self.memory_free = list(branches), memory_free
        self.state_dtype = keras.backend.result_type(self.compute_dtype, "float32")

    @property
    def nu(self) -> int:
        """Number of iterations."""
        return len(self.branches)

    def build(self, previous_shape, x_shape):
        for f in self.branches:
            f.build(x_shape)

    def compute_output_shape(self, previous_shape, x_shape):
        return tuple(x_shape), tuple(x_shape)

    def compute_output_spec(self, previous, x, training=None):
        return tuple(keras.KerasTensor(x.shape, dtype=self.state_dtype) for _ in range(2))

    def call(self, previous, x, training=None):
        previous, x = (ops.cast(state, self.state_dtype) for state in (previous, x))
        if training and self.memory_free and autodiff.is_available():
            return self._recomputed(previous, x)
        return self._iterate(previous, x, training)

    def inverse(self, previous, x, training=False):
        """Returns the (x^{-1}, x^0) that the level maps to (previous, x); moving statistics stay as they are.

        Args:
            previous, x: what the level returned, each (N, H, W, c).
            training: whether it did so in training, with the statistics of the batch.
        """
        with keras.StatelessScope(zip(self.variables, self._values(), strict=True)):
            for f, i in reversed(self._steps()):
                previous, x = steps.coupling(x, -self._evaluate(f, i, previous, training)), previous
        return previous, x

    def _steps(self):
        return [(f, i) for f in self.branches for i in range(f.uses)]

    def _iterate(self, previous, x, training):
        for f, i in self._steps():
            previous, x = x, steps.coupling(previous, self._evaluate(f, i, x, training))
        return previous, x

    def _evaluate(self, f, i, x, training):
        return ops.cast(f(x, i=i, training=training), self.state_dtype)

    def _values(self):
        return [autodiff.read(variable) for variable in self.variables]

    def _recomputed(self, previous, x):
        """The training step without stored states. What has a gradient must be an argument, so variables come as values."""

        @ops.custom_gradient
        def run(previous, x, values):
            previous, x, values = keras.tree.map_structure(ops.stop_gradient, (previous, x, values))
            iterate = partial(self._iterate, previous, x, training=True)
            last, moved = autodiff.by_values(self.variables, values, iterate)

            def gradient(*upstream):
                d_previous, d_x, *_ = upstream if len(upstream) > 1 else upstream[0]
                return self._pull_back(last, (d_previous, d_x), values)

            return (*last, moved), gradient

        previous, x, moved = run(previous, x, self._values())
        autodiff.assign(self.variables, moved)
        return previous, x

    def _pull_back(self, last, cotangents, values):
        """Maps the cotangents of the last pair to those of the first and of the values, recomputing from the last pair."""
        (previous, x), (d_previous, d_x) = last, cotangents
        values, d_values = dict(zip(map(id, self.variables), values, strict=True)), {}
        for f, i in reversed(self._steps()):
            keys = [id(variable) for variable in f.variables]
            given = autodiff.after([d_x], [values[key] for key in keys])
            increment, pull = autodiff.vjp(partial(self._evaluate_by, f, i), previous, *given)
            previous, x = steps.coupling(x, -increment), previous
            d_increment, *d_given = pull(d_x)
            d_previous, d_x = d_x, d_previous + d_increment
            for key, d_value in zip(keys, d_given, strict=True):
                d_values[key] = d_values[key] + d_value if key in d_values else d_value
        return d_previous, d_x, [d_values[id(variable)] for variable in self.variables]

    def _evaluate_by(self, f, i, x, *values):
        """f^i(x) in training, by given values of its variables."""
        with keras.StatelessScope(zip(f.variables, values, strict=True)):
            return self._evaluate(f, i, x, training=True)


@serializable
class CouplingTransfer(keras.layers.Layer):
    """RevNet's transition unit: y_1 = R_1 x_1 + F(x_2), y_2 = R_2 x_2 + G(y_1), to another grid or other channels.

    Args:
        branch: F, which has the stride, as its use 0, and G as its use 1.
        R1, R2: the shortcuts.

    Example:
        >>> from keras_mgnet.layers import ZeroPadding, basic
        >>> unit = CouplingTransfer(basic(4, uses=2, strides=2), ZeroPadding(4, 2), ZeroPadding(4, 2))
        >>> y1, y2 = unit(ops.ones((1, 8, 8, 2)), ops.ones((1, 8, 8, 2)))
        >>> tuple(y2.shape)
        (1, 4, 4, 4)
    """

    def __init__(self, branch, R1, R2, *, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.branch, self.R1, self.R2 = branch, R1, R2

    def build(self, x1_shape, x2_shape):
        self.branch.build(x2_shape)
        self.R1.build(x1_shape)
        self.R2.build(x2_shape)

    def compute_output_shape(self, x1_shape, x2_shape):
        return (self.branch.compute_output_shape(x2_shape),) * 2

    def call(self, x1, x2):
        y1 = steps.coupling(self.R1(x1), self.branch(x2, i=0))
        return y1, steps.coupling(self.R2(x2), self.branch(y1, i=1))


@serializable
class Halves(keras.layers.Layer):
    """x -> (x_1, x_2): the two halves of the channels, (N, H, W, 2c) -> (N, H, W, c) twice.

    Example:
        >>> [tuple(half.shape) for half in Halves()(ops.ones((1, 8, 8, 4)))]
        [(1, 8, 8, 2), (1, 8, 8, 2)]
    """

    def __init__(self, *, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)

    def compute_output_shape(self, input_shape):
        return ((*input_shape[:-1], input_shape[-1] // 2),) * 2

    def call(self, x):
        return tuple(ops.split(x, 2, axis=-1))


@serializable
class Rest(keras.layers.Layer):
    """x -> (0, x): a position without velocity.

    Example:
        >>> [float(part[0, 0, 0, 0]) for part in Rest()(ops.ones((1, 8, 8, 4)))]
        [0.0, 1.0]
    """

    def __init__(self, *, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape), tuple(input_shape)

    def call(self, x):
        return ops.zeros_like(x), x
