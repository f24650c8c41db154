"""The levels of the residual networks: forward Euler and the linear two-step method over a branch."""

from functools import partial

import keras

from keras_mgnet.layers import steps
from keras_mgnet.layers.remat import Rematerialized
from keras_mgnet.layers.stochastic import StochasticDepth
from keras_mgnet.serialization import serializable


@serializable
class ResidualLevel(Rematerialized, keras.layers.Layer):
    """Forward Euler on one grid: x^{i+1} = sigma(R_i x^i + f^i(x^i)), R_i = I but for the first block's.

    (N, H, W, c) -> (N, H/s, W/s, channels). With a preactivation branch sigma is the identity: He2019 (2.1), (2.2); with a
    postactivation branch it is (2.3), (2.4).

    Args:
        branch: f, called as branch(x, i=i); it has `uses` = number of blocks.
        R: the shortcut of the first block where it changes grid or channels.
        R_activated: whether R acts on sigma(norm(x)), the first thing the branch computes, in place of x.
        activation: sigma behind the addition, or None.
        survival: per block the probability that f^i survives a training step, or None (see `StochasticDepth`).
        inverted: as `StochasticDepth`.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> tuple(ResidualLevel(basic(4, uses=3))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self,
        branch,
        *,
        R=None,
        R_activated=False,
        activation=None,
        survival=None,
        inverted=False,
        name=None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.branch, self.R, self.R_activated = branch, R, R_activated
        self.sigma = keras.activations.get(activation)
        gate = {"inverted": inverted, "name": "gate", "dtype": self.dtype_policy}
        self.gate = None if survival is None else StochasticDepth(survival, **gate)

    @property
    def nu(self) -> int:
        """Number of iterations."""
        return self.branch.uses

    def build(self, input_shape):
        self.branch.build(input_shape)
        if self.R is not None:
            self.R.build(input_shape)

    def compute_output_shape(self, input_shape):
        return self.branch.compute_output_shape(input_shape)

    def call(self, x, training=None):
        for i in range(self.nu):
            x = self.again(partial(self._step, i, training), x, training=training)
        return x

    def _step(self, i, training, x):
        return self.sigma(steps.euler(*self.parts(i, x, training)))

    def parts(self, i, x, training):
        """Returns (R_i x, eta_i f^i(x))."""
        R = self.R if i == 0 else None
        if R is not None and self.R_activated:
            activated = self.branch.activate(x, i)
            x, f = R(activated), self.branch.convolve(activated, i)
        else:
            x, f = x if R is None else R(x), self.branch(x, i=i)
        return x, f if self.gate is None else self.gate(f, i=i, training=training)


@serializable
class LinearMultistepLevel(ResidualLevel):
    """The linear two-step method of Lu2018 (1) on one grid: x^{i+1} = (1 - k_i) x^i + k_i x^{i-1} + f^i(x^i).

    Call it with x and, where the first block has a k, with the state before x; it returns (x, the state before x). At a block
    that changes shape R x^i stands for x^i, also as the state before the next one. A state before the first is zero.

    Args:
        branch, R, R_activated, survival, inverted: as `ResidualLevel`.
        k_first: whether the first block has a k; the released code of LM-ResNet has none there.
        R_previous: with k_first, the shortcut of the state before x.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> x, previous = LinearMultistepLevel(basic(4, uses=3))(keras.ops.ones((1, 8, 8, 4)))
        >>> tuple(previous.shape)
        (1, 8, 8, 4)
    """

    def __init__(
        self,
        branch,
        *,
        R=None,
        R_activated=False,
        k_first=False,
        R_previous=None,
        survival=None,
        inverted=False,
        name=None,
        dtype=None,
    ):
        gate = {"survival": survival, "inverted": inverted}
        super().__init__(branch, R=R, R_activated=R_activated, **gate, name=name, dtype=dtype)
        self.R_previous, self.first = R_previous, 0 if k_first else 1

    def build(self, x_shape, previous_shape=None):
        super().build(x_shape)
        if self.R_previous is not None and previous_shape is not None:
            self.R_previous.build(previous_shape)
        self.k = [self._add_k(i) for i in range(self.first, self.nu)]

    def _add_k(self, i):
        near_zero = keras.initializers.RandomUniform(-0.1, 0.0)  # of its own: an initialiser repeats its values
        return self.add_weight(shape=(), initializer=near_zero, name=f"k{i}")

    def compute_output_shape(self, x_shape, previous_shape=None):
        shape = super().compute_output_shape(x_shape)
        return shape, shape

    def call(self, x, previous=None, training=None):
        previous = 0.0 if previous is None else previous
        if self.R_previous is not None:
            previous = self.R_previous(previous)
        for i in range(self.nu):
            x, previous = self.again(partial(self._step, i, training), x, previous, training=training)
        return x, previous

    def _step(self, i, training, x, previous):
        x, f = self.parts(i, x, training)
        if i < self.first:
            return steps.euler(x, f), x
        return steps.linear_multistep(x, previous, f, self.k[i - self.first]), x
