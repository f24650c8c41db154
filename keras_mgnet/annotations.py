"""Type aliases for values that Keras does not annotate."""

from collections.abc import Callable
from typing import Any

Tensor = Any  # a tensor of the backend, or a symbolic one
Map = Callable[[Tensor], Tensor]  # a layer, or a function of one tensor
Shape = tuple[Any, ...]  # integers, and None for unknown sizes
Activation = str | Callable[..., Any] | None  # a name or function of Keras
DType = Any  # a name such as "mixed_bfloat16", or a Keras policy
