"""Tensors of served functions, and JSON requests. A request is checked before its values become a tensor."""

import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import numpy as np
from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, defstruct
from msgspec.json import Decoder

STRING, BASE64 = "string", "b64"
MAX_ROWS = 128  # images per request
MAX_VALUES = 2**24  # per tensor

Row, Value = TypeVar("Row"), TypeVar("Value")
Some = Meta(min_length=1, max_length=MAX_ROWS)


class RequestError(ValueError):
    """A refused request. The message names the field. With HTTP status 4xx, change the request. With 503, try again later."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


class PredictRequest(Struct, Generic[Row, Value], forbid_unknown_fields=True):
    """The body of a predict request: a list of rows in `instances`, or the whole input tensor in `inputs`."""

    instances: Annotated[list[Row], Some] | UnsetType = UNSET
    inputs: Annotated[list[Value], Some] | dict[str, Annotated[list[Value], Some]] | UnsetType = UNSET
    signature_name: str = ""


NAME = Decoder(defstruct("Named", [("signature_name", str, "")]))  # reads only the signature of a predict request


def read(body: bytes | bytearray, decoder: Decoder) -> Any:
    """Decodes JSON. Raises RequestError if the body is too complex or does not fit the decoder."""
    if body.count(b"{") + body.count(b":") > 8 * MAX_ROWS:  # before any object is created
        raise RequestError(f"expected a body of at most {MAX_ROWS} rows. Received: more JSON objects and keys")
    try:
        return decoder.decode(body)
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"body: {str(error)[:300]}") from error


@dataclass(frozen=True)
class Tensor:
    """One input or output. In `shape`, None means any length; the first axis is the batch. The `dtype` "string" means bytes."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raises RequestError unless the shape fits this tensor."""
        fits = len(shape) == len(self.shape) and all(n in (None, m) for n, m in zip(self.shape, shape, strict=True))
        if not fits or min(shape) < 1 or shape[0] > MAX_ROWS or math.prod(shape) > MAX_VALUES:
            lengths = ", ".join(["N", *("any" if n is None else str(n) for n in self.shape[1:])])
            raise RequestError(f"expected '{self.name}' ({lengths}), N at most {MAX_ROWS}. Received: {str(shape)[:60]}")

    def check_finite(self, array: np.ndarray) -> np.ndarray:
        """Returns the array. Raises RequestError if the array contains NaN or infinity."""
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise RequestError(f"expected '{self.name}' to hold finite {self.dtype} numbers. Received: NaN or infinity")
        return array


@dataclass(frozen=True)
class Signature:
    """A served function with one input."""

    input: Tensor
    outputs: dict[str, Tensor]

    def array(self, body: bytes | bytearray) -> tuple[np.ndarray, bool]:
        """Returns the input in a request, and whether it is in `instances`. Raises RequestError if the input does not fit."""
        asked = read(body, self._decoder)
        if (asked.instances is UNSET) == (asked.inputs is UNSET):
            raise RequestError("expected the body to hold either 'instances' or 'inputs'. Received: both or neither")
        if asked.instances is UNSET:
            values = self._unnamed(asked.inputs)
        else:
            bare = {BASE64} if self.input.dtype == STRING else None
            values = [self._unnamed(row, bare) for row in asked.instances]
        if self.input.dtype == STRING:
            array = np.empty(len(values), object)
            array[:] = [_decoded(f"'{self.input.name}[{index}]'", value) for index, value in enumerate(values)]
            return array, asked.inputs is UNSET
        try:
            with np.errstate(over="ignore"):  # overflow gives infinity, which is refused
                array = np.array(values, self.input.dtype)
        except ValueError as error:
            raise RequestError(f"expected '{self.input.name}' of equal sizes. Received: several sizes") from error
        self.input.check_shape(array.shape)
        return self.input.check_finite(array), asked.inputs is UNSET

    def _unnamed(self, value: Any, bare: set[str] | None = None) -> Any:
        if not isinstance(value, dict) or value.keys() == bare:
            return value
        if value.keys() != {self.input.name}:
            raise RequestError(f"expected only '{self.input.name}'. Received: {', '.join(value)[:60] or 'nothing'}")
        return value[self.input.name]

    @cached_property
    def _decoder(self) -> Decoder:
        if self.input.dtype == STRING:
            return Decoder(PredictRequest[str | dict[str, str | dict[str, str]], str | dict[str, str]])
        dtype = np.dtype(self.input.dtype)
        row = float
        if dtype.kind != "f":
            row = Annotated[int, Meta(ge=int(np.iinfo(dtype).min), le=int(np.iinfo(dtype).max))]
        for length in reversed(self.input.shape[1:]):
            row = Annotated[list[row], Meta(min_length=length or 1, max_length=length or MAX_VALUES)]
        return Decoder(PredictRequest[row | dict[str, row], row])


def _decoded(where: str, value: str | dict[str, str]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        text = value[BASE64].encode("ascii").translate(None, b" \r\n\t")  # MIME breaks base64 into lines
        return binascii.a2b_base64(text, strict_mode=True)
    except (KeyError, ValueError) as error:
        raise RequestError(f'expected {where} to be {{"{BASE64}": BASE64}}. Received: {error}') from error
