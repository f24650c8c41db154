"""The traced graphs hold no convolution that the mathematics does not need."""

import re
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from keras_mgnet import MgNet, PreActResNet, VCycleMgNet

IMAGES = np.ones((1, 32, 32, 3), "float32")
KERNELS = {  # what a forward pass computes: nothing for u = 0, no residual that nobody reads
    "MgNet[2,2,2,2]": (lambda: MgNet((2, 2, 2, 2), 4), {"A": 7, "B": 8, "Pi": 3, "R": 3, "stem": 1}),
    "feature form": (lambda: MgNet((2, 2, 2, 2), 4, form="feature"), {"A": 10, "B": 8, "Pi": 3, "R": 3, "stem": 1}),
    "MgNet[1]": (lambda: MgNet((1,), 4), {"B": 1, "stem": 1}),
    "V-cycle[1,1]": (lambda: VCycleMgNet(nu=(1, 1), channels=4), {"A": 2, "B": 3, "R": 1, "stem": 1}),
    "PreActResNet18": (lambda: PreActResNet(18, base_width=4), {"A": 8, "B": 8, "R": 3, "stem": 1}),
}


def read_operations(function):
    """The operations that reach an output of a traced function."""
    graph = function.get_concrete_function().graph
    outputs = [tensor.op.name for tensor in tf.nest.flatten(graph.structured_outputs) if tensor is not None]
    return tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), outputs).node


@pytest.mark.parametrize("name", KERNELS)
def test_convolutions_of_a_forward_pass(name):
    build, expected = KERNELS[name]
    model = build()
    nodes = read_operations(tf.function(lambda: model(IMAGES, training=False)))
    paths = [node.name for node in nodes if node.op == "Conv2D"]
    kernels = Counter("stem" if "stem" in path else re.findall(r"/(A|B|Pi|R)(?=[_\d/])", path)[-1] for path in paths)
    assert kernels == expected


def test_products_of_a_training_step():
    """Each convolution has a gradient by its kernel and one by its input, but for the stem's, whose input is the image."""
    model = MgNet((2, 2, 2, 2), 4)

    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(IMAGES, training=True))
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    counts = Counter(node.op for node in read_operations(tf.function(gradient)))
    assert [counts[f"Conv2D{kind}"] for kind in ("", "BackpropFilter", "BackpropInput")] == [22, 22, 21]
