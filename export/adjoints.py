"""Stores a kernel once in a TFLite file that has both a convolution K and its adjoint K^T."""

from collections.abc import Iterator

import numpy as np

from keras_mgnet.extras import EXPORT, extra

SWAP = (3, 1, 2, 0)  # exchanges in and out of the axes (out, H, W, in), which both kinds of convolution have


def store_adjoints_once(model) -> int:
    """Makes each transposed convolution K^T read the kernel of K, if K is in the model too.

    TFLite stores each kernel as (out, H, W, in). The kernel of K^T is the kernel of K with the axes out and in exchanged, so
    TFLite stores the same numbers twice. After this function, the model stores the kernel of K, and transposes this kernel
    while it runs. The argument, an object of LiteRT's `ModelT`, is changed in place. Kernels in eight bits do not change,
    because K and K^T then have different scales. Returns the number of kernels that are no longer stored.
    """
    schema = extra("ai_edge_litert.schema_py_generated", EXPORT)
    graph = model.subgraphs[0]
    kernels = {_identity(K.transpose(SWAP)): tensor for tensor, K in _kernels(schema, model, "CONV_2D")}
    adjoints = {
        tensor: kernels[_identity(K)]
        for tensor, K in _kernels(schema, model, "TRANSPOSE_CONV")
        if kernels.get(_identity(K), tensor)
        != tensor  # the converter has already joined a kernel that equals its adjoint
    }
    if adjoints:
        code, axes = _add_transpose(schema, model), _add_axes(schema, model)
        graph.operators[:0] = [_transpose(schema, code, K, axes, adjoint) for adjoint, K in adjoints.items()]
    stored = [graph.tensors[adjoint].buffer for adjoint in adjoints]
    for adjoint in adjoints:
        graph.tensors[adjoint].buffer = 0  # marks a computed tensor
    for unread in set(stored) - {tensor.buffer for tensor in graph.tensors}:
        model.buffers[unread].data = None
    return len(adjoints)


def _kernels(schema, model, operation: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the float32 kernels of an operation, as (index of the tensor, values)."""
    graph, wanted = model.subgraphs[0], getattr(schema.BuiltinOperator, operation)
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].builtinCode == wanted:
            index = int(operator.inputs[1])
            tensor = graph.tensors[index]
            data = model.buffers[tensor.buffer].data
            if data is not None and tensor.type == schema.TensorType.FLOAT32:
                yield index, np.asarray(data, "uint8").view("float32").reshape(tensor.shape)


def _identity(K: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return K.shape, K.tobytes()


def _add_transpose(schema, model) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TRANSPOSE
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _add_axes(schema, model) -> int:
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.array(SWAP, "<i4").view("uint8")
    tensor.name, tensor.type, tensor.shape = b"swap", schema.TensorType.INT32, np.array([len(SWAP)], "int32")
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _transpose(schema, code: int, kernel: int, axes: int, adjoint: int):
    operator = schema.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = np.array([kernel, axes], "int32"), np.array([adjoint], "int32")
    operator.builtinOptionsType = schema.BuiltinOptions.TransposeOptions
    operator.builtinOptions = schema.TransposeOptionsT()
    return operator
