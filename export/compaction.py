"""A saved graph without what loading works out again: each iteration of a level adds nodes, and their names weigh most."""

from copy import deepcopy
from itertools import count
from pathlib import Path

SHAPES = "_output_shapes"


def compact(folder: Path) -> None:
    """Shortens the graph of a SavedModel in place: same signatures, operations and values.

    In the bodies of functions, nodes get short names, equal constants become one, and recorded shapes that TensorFlow infers
    when it loads are dropped; a call of a function keeps its shapes. The fingerprint of what was written before is removed;
    TensorFlow does without.

    Args:
        folder: with `saved_model.pb`, as `tf.saved_model.save` has written it.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        for function in graph.graph_def.library.function:
            _drop_shapes(function)
            _rename(function, _short_names(function))
    path.write_bytes(saved.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _drop_shapes(function) -> None:
    for node in function.node_def:
        if SHAPES in node.attr and not any(value.HasField("func") for value in node.attr.values()):
            del node.attr[SHAPES]


def _short_names(function) -> dict[str, str]:
    """Returns a new name for every node, the same one for equal constants."""
    arguments = {argument.name for argument in function.signature.input_arg}
    unused = (name for name in (f"n{i}" for i in count()) if name not in arguments)
    names, taken = {}, {}
    for node in function.node_def:
        content = _content(node) if node.op == "Const" else node.name
        if content not in taken:
            taken[content] = next(unused)
        names[node.name] = taken[content]
    return names


def _content(node) -> bytes:
    nameless = type(node)()
    nameless.CopyFrom(node)
    nameless.ClearField("name")
    return nameless.SerializeToString(deterministic=True)


def _rename(function, names: dict[str, str]) -> None:
    def renamed(reference: str) -> str:
        """Of "node:output:0", "argument" or "^node"."""
        mark, name = reference[: reference.startswith("^")], reference.removeprefix("^")
        node, *output = name.split(":")
        return mark + ":".join([names.get(node, node), *output])

    nodes = {names[node.name]: deepcopy(node) for node in function.node_def}
    for name, node in nodes.items():
        node.name = name
        node.input[:] = map(renamed, node.input)
    del function.node_def[:]
    function.node_def.extend(nodes.values())
    for output, reference in list(function.ret.items()):
        function.ret[output] = renamed(reference)
    ends = [names[function.control_ret[end]] for end in function.signature.control_output]
    function.control_ret.clear()
    function.control_ret.update({end: end for end in ends})
    function.signature.control_output[:] = ends
