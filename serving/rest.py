"""TensorFlow Serving's REST bodies: requests to arrays, arrays to responses, signatures to metadata."""

import binascii
import re
from dataclasses import dataclass

import numpy as np
import orjson

from keras_mgnet.errors import unknown
from keras_mgnet.serving.engine import Arrays
from keras_mgnet.serving.errors import RequestError
from keras_mgnet.serving.signature import STRING, Signature, Tensor

ROWS, COLUMNS, SIGNATURE = "instances", "inputs", "signature_name"
BASE64 = "b64"
DTYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF", "bool": "DT_BOOL"}  # others: DT_<NAME>


@dataclass(frozen=True)
class PredictRequest:
    """A request's body: the signature it names, its values, and whether they come row by row."""

    signature_name: str
    values: object
    by_rows: bool


def parse(body: bytes) -> PredictRequest:
    """Reads the JSON of a predict request.

    Raises:
        RequestError: where it is no object with either `instances` or `inputs`.

    Example:
        >>> parse(b'{"instances": [1, 2]}')
        PredictRequest(signature_name='', values=[1, 2], by_rows=True)
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        number = re.search(rb"\b(NaN|Infinity)\b", body)
        hint = f" ('{ROWS}' and '{COLUMNS}' hold finite numbers only)" if number else ""
        raise RequestError(f"expected the body to be JSON. Received: {error}{hint}") from error
    if not isinstance(content, dict):
        raise RequestError(f"expected the body to be a JSON object. Received: {_json_type(content)}")
    for key in content:
        if key not in (ROWS, COLUMNS, SIGNATURE):
            raise RequestError(f"body: {unknown('key', key, (ROWS, COLUMNS, SIGNATURE))}")
    if (ROWS in content) == (COLUMNS in content):
        raise RequestError(f"expected the body to hold either '{ROWS}' or '{COLUMNS}'. Received: {sorted(content)}")
    name = content.get(SIGNATURE, "")
    if not isinstance(name, str):
        raise RequestError(f"expected '{SIGNATURE}' to be text. Received: {_json_type(name)}")
    return PredictRequest(name, content.get(ROWS, content.get(COLUMNS)), ROWS in content)


def decode(request: PredictRequest, signature: Signature) -> Arrays:
    """Returns the inputs of `signature` that a request holds.

    Raises:
        RequestError: where they are not what the signature takes.

    Example:
        >>> x = Tensor("x", "float32", (None,))
        >>> decode(parse(b'{"instances": [{"x": 1}, {"x": 2}]}'), Signature({"x": x}, {}))
        {'x': array([1., 2.], dtype=float32)}
    """
    columns = _from_rows(request.values, signature) if request.by_rows else _from_columns(request.values, signature)
    return {name: _array(signature.inputs[name], value) for name, value in columns.items()}


def encode(outputs: Arrays, by_rows: bool) -> bytes:
    """Returns the JSON of a response: `predictions`, a list of rows, or `outputs`, the arrays; one output goes unnamed.

    Example:
        >>> encode({"y": np.array([1, 2]), "z": np.array([3, 4])}, by_rows=True)
        b'{"predictions":[{"y":1,"z":3},{"y":2,"z":4}]}'
    """
    values = {name: _jsonable(name, array) for name, array in outputs.items()}
    if len(values) == 1:
        (content,) = values.values()
    elif by_rows:
        content = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    else:
        content = values
    return orjson.dumps({"predictions" if by_rows else "outputs": content}, option=orjson.OPT_SERIALIZE_NUMPY)


def metadata(name: str, version: int, signatures: dict[str, Signature], class_names: list[str] | None) -> dict:
    """Returns TensorFlow Serving's metadata of a version, and beside them `class_names`, where they are known."""
    definitions = {
        key: {
            "inputs": {tensor.name: _tensor_info(tensor) for tensor in signature.inputs.values()},
            "outputs": {tensor.name: _tensor_info(tensor) for tensor in signature.outputs.values()},
            "method_name": "tensorflow/serving/predict",
        }
        for key, signature in signatures.items()
    }
    named = {} if class_names is None else {"class_names": class_names}
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": definitions}} | named,
    }


def _from_rows(rows: object, signature: Signature) -> dict[str, object]:
    if not isinstance(rows, list) or not rows:
        raise RequestError(f"expected '{ROWS}' to be a list of at least one row. Received: {_json_type(rows)}")
    if not _names_inputs(rows[0]):
        return {signature.only_input().name: rows}
    for index, row in enumerate(rows):
        if not _names_inputs(row):
            raise RequestError(
                f"expected '{ROWS}[{index}]' to be an object as in the first row. Received: {_json_type(row)}"
            )
        signature.check_names(row, f"'{ROWS}[{index}]'")
    return {name: [row[name] for row in rows] for name in signature.inputs}


def _from_columns(values: object, signature: Signature) -> dict[str, object]:
    if not _names_inputs(values):
        return {signature.only_input().name: values}
    signature.check_names(values, f"'{COLUMNS}'")
    return values


def _names_inputs(value: object) -> bool:
    return isinstance(value, dict) and value.keys() != {BASE64}


def _array(tensor: Tensor, value: object) -> np.ndarray:
    if tensor.dtype != STRING:
        return tensor.array(value)
    values = value if isinstance(value, list) else [value]
    tensor.check_shape(np.shape(value) if not isinstance(value, list) else (len(value),))
    array = np.empty(len(values), object)
    array[:] = [_bytes(f"'{tensor.name}[{index}]'", item) for index, item in enumerate(values)]
    return array


def _bytes(where: str, value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not (isinstance(value, dict) and isinstance(value.get(BASE64), str) and len(value) == 1):
        raise RequestError(f'expected {where} to be {{"{BASE64}": "..."}}. Received: {_json_type(value)}')
    try:
        return binascii.a2b_base64(value[BASE64], strict_mode=True)
    except ValueError as error:
        raise RequestError(f"expected {where} to hold base64 in '{BASE64}'. Received: {error}") from error


def _jsonable(name: str, array: np.ndarray):
    if array.dtype != object:  # numbers of one kind have two types in NumPy, of which orjson knows one alone
        return array.tolist() if array.ndim == 1 and array.dtype.kind != "f" else np.ascontiguousarray(array)
    if name.endswith("_bytes"):
        return [{BASE64: binascii.b2a_base64(item, newline=False).decode()} for item in array]
    return [item.decode() if isinstance(item, bytes) else item for item in array]


def _tensor_info(tensor: Tensor) -> dict:
    dims = [{"size": str(-1 if size is None else size), "name": ""} for size in tensor.shape]
    return {
        "dtype": DTYPES.get(tensor.dtype, f"DT_{tensor.dtype.upper()}"),
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": tensor.name,
    }


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    if isinstance(value, dict):
        return f"an object with the keys {list(value)[:5]}" if value else "an empty object"
    return "an empty list" if value == [] else names.get(type(value), "a number")
