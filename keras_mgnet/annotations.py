"""Names of types that Keras itself leaves open."""

from collections.abc import Callable
from typing import Any

Tensor = Any  # of the backend, or symbolic
Shape = tuple[int | None, ...]
Activation = str | Callable | None  # a name or function of Keras
DType = Any  # a name such as "mixed_bfloat16", or a Keras policy
