"""Several branches as one."""

import keras

from keras_mgnet.layers import steps
from keras_mgnet.serialization import serializable


@serializable
class Sum(keras.layers.Layer):
    """f^i(x) = sum_j f_j^i(x): branches of equal shape and uses, in a level as one branch.

    Where a level hands the activated x to the shortcut too, that of the first branch serves all (`activate`, `convolve`).

    Args:
        branches: the f_j, each as `Branch`.

    Example:
        >>> from keras_mgnet.layers import ResidualLevel, basic
        >>> tuple(ResidualLevel(Sum([basic(4, uses=3), basic(4, uses=3)]))(keras.ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    def __init__(self, branches, *, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.branches = list(branches)

    @property
    def uses(self) -> int:
        """How many iterations it serves."""
        return self.branches[0].uses

    def build(self, input_shape):
        for f in self.branches:
            f.build(input_shape)

    def compute_output_shape(self, input_shape):
        return self.branches[0].compute_output_shape(input_shape)

    def call(self, x, i=0):
        return steps.superpose([f(x, i=i) for f in self.branches])

    def activate(self, x, i):
        """Returns what the first convolutions of use i take."""
        return self.branches[0].activate(x, i)

    def convolve(self, x, i):
        """Returns the rest of f^i, from the first convolutions on."""
        return steps.superpose([f.convolve(x, i) for f in self.branches])
