"""Fixed stencils under XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mgnet.layers.operators.stencil import Stencil, StencilField


def products(apply, x):
    """Returns the number of products in the program that XLA makes of a function."""
    program = tf.function(apply, jit_compile=True).experimental_get_compiler_ir(x)(stage="optimized_hlo")
    return program.count("multiply(")


@pytest.mark.parametrize("make", [lambda: Stencil(np.arange(2, 27).reshape(5, 5)), lambda: StencilField(5)])
def test_a_chain_of_two_costs_twice_as_much_as_one(make):
    first, second = make(), make()
    x = tf.ones((1, 12, 12, 1))
    chain = keras.Sequential([first, second])
    chain.build(x.shape)
    assert products(chain, x) == 2 * products(first, x) > 0
