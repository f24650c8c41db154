"""The tensors that a served function takes and returns, and the checks that keep everything else out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_mgnet.errors import unknown
from keras_mgnet.serving.errors import RequestError

STRING = "string"
KINDS = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}  # kind of a dtype -> kinds of received numbers that it takes


@dataclass(frozen=True)
class Tensor:
    """One named input or output.

    Attributes:
        name: as clients call it.
        dtype: name of the NumPy type, or "string" for bytes.
        shape: None stands for any length; the first axis is the batch.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def array(self, value: object) -> np.ndarray:
        """Returns `value`, numbers in an array or in nested lists, as an array of this tensor.

        Raises:
            RequestError: for ragged lists, numbers of another kind, outside the type's range, infinite or NaN, another
                shape or an empty batch.

        Example:
            >>> Tensor("image", "float32", (None, 2)).array([[1, 2]])
            array([[1., 2.]], dtype=float32)
        """
        dtype = np.dtype(self.dtype)
        try:
            received = np.asarray(value)
        except ValueError as error:  # or deeper than arrays can be
            raise RequestError(
                f"expected '{self.name}' as a rectangular list of {dtype} numbers. Received: ragged lists"
            ) from error
        if received.size and received.dtype.kind not in KINDS[dtype.kind]:
            raise RequestError(f"expected '{self.name}' to hold {dtype} numbers. Received: {_kind(received)}")
        self.check_shape(received.shape)
        array = received.astype(dtype) if dtype.kind != "f" else _narrowed(received, dtype)
        if dtype.kind == "f":
            if not np.isfinite(array).all():
                raise RequestError(f"expected '{self.name}' to hold finite {dtype} numbers. Received: NaN or infinity")
        elif received.dtype != dtype and (array != received).any():
            raise RequestError(
                f"expected '{self.name}' to hold {dtype} numbers. Received: {received.min()} to {received.max()}"
            )
        return array

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raises RequestError where an array of this shape is not this tensor's."""
        fits = len(shape) == len(self.shape) and all(
            size in (None, got) for size, got in zip(self.shape, shape, strict=True)
        )
        if not fits or 0 in shape:
            expected = ", ".join(["N", "any"][axis > 0] if n is None else str(n) for axis, n in enumerate(self.shape))
            raise RequestError(f"expected '{self.name}' of the shape ({expected}), N >= 1. Received: {shape}")


@dataclass(frozen=True)
class Signature:
    """A served function: its inputs and outputs by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @property
    def batched(self) -> bool:
        """Whether requests may be run together: the first axis of every tensor is free."""
        return all(t.shape and t.shape[0] is None for t in (*self.inputs.values(), *self.outputs.values()))

    def only_input(self) -> Tensor:
        """Returns the input that need not be named; raises RequestError where there are several."""
        if len(self.inputs) > 1:
            raise RequestError(f"expected an object with the inputs {', '.join(self.inputs)}. Received: values alone")
        return next(iter(self.inputs.values()))

    def check_names(self, names, where: str) -> None:
        """Raises RequestError unless `names` are those of the inputs; `where` says in which part of the request."""
        for name in names:
            if name not in self.inputs:
                raise RequestError(f"{where}: {unknown('input', name, self.inputs)}")
        for name in self.inputs:
            if name not in names:
                raise RequestError(f"{where}: expected the input '{name}'. Received: {', '.join(names) or 'none'}")


def _narrowed(received: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite then, and refused
        return np.ascontiguousarray(received, dtype)


def _kind(array: np.ndarray) -> str:
    names = {"b": "true or false", "f": "fractions", "U": "text", "S": "text", "O": "null or objects"}
    return names.get(array.dtype.kind, str(array.dtype))
