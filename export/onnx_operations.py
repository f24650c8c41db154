"""The operations of Keras' activations that tf2onnx does not know, for its argument `custom_op_handlers`."""

import numpy as np


def _erfc(graph, node, name, arguments) -> None:
    """erfc(x) = 1 - erf(x), in gelu."""
    _subtract(graph, node, _one(graph, name), _apply(graph, "Erf", node))


def _expm1(graph, node, name, arguments) -> None:
    """expm1(x) = exp(x) - 1, in celu."""
    _subtract(graph, node, _apply(graph, "Exp", node), _one(graph, name))


def _one(graph, name: str) -> str:
    return graph.make_const(f"{name}/one", np.float32(1)).output[0]


def _apply(graph, operation: str, node) -> str:
    return graph.make_node(operation, list(node.input), shapes=node.output_shapes, dtypes=node.output_dtypes).output[0]


def _subtract(graph, node, left: str, right: str) -> None:
    shapes, dtypes = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node("Sub", [left, right], outputs=list(node.output), shapes=shapes, dtypes=dtypes)


HANDLERS = {"Erfc": (_erfc, []), "Expm1": (_expm1, [])}
