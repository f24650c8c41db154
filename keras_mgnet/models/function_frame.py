"""The parts that all networks from functions to functions share: arguments, input and loss. `Frame` has those of classifiers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_mgnet.models.checks import is_integer
from keras_mgnet.models.frame import BaseArguments, BaseFrame
from keras_mgnet.relative_errors import H1Error, L2Error, RelativeH1


class FunctionFrameArguments(BaseArguments, total=False):
    """The arguments of `FunctionFrame` as a type, for the constructors of the families."""

    activation: str | Callable[..., Any]
    init: str
    remat: Sequence[str]


@dataclass(frozen=True)
class FunctionFrame(BaseFrame):
    """The arguments that all networks from functions to functions share. Constructors take these arguments by keyword.

    A family creates its levels inside `with FunctionFrame(...)`. This context opens a `keras.RematScope` for the levels in
    `remat`.

    Attributes:
        input_shape: (height, width, channels) of the input functions on their grid. A height and width of None stand for any.
        input_tensor: as in keras.applications.
        activation: the activation sigma, a Keras activation.
        weights: None or the path of a .weights.h5 file.
        init: kernel initialiser, as in `Frame`. The authors' code has "torch_default".
        remat: names of levels, such as "level1_1", which recompute their iterations in the backward pass to save memory.
        recipe: the recipe with which the model is compiled, a key of `keras_mgnet.recipes.RECIPES`; None for the recipe of the
            family.
        name, dtype: name and dtype of the model. The dtype can be a policy such as "mixed_bfloat16".

    Example:
        >>> FunctionFrame((64, 64))
        Traceback (most recent call last):
            ...
        ValueError: expected input_shape=(height, width, channels). Received: input_shape=(64, 64)
    """

    activation: str | Callable[..., Any] = "gelu"
    init: str = "torch_default"
    remat: Sequence[str] = ()
    kind = "network of functions"
    criterion = RelativeH1
    measured = (L2Error, H1Error)

    def __post_init__(self) -> None:
        shape = self.input_shape
        is_shape = isinstance(shape, (tuple, list)) and len(shape) == 3 and shape[2] is not None
        if not is_shape or any(n is not None and not (is_integer(n) and n >= 1) for n in shape):
            raise ValueError(f"expected input_shape=(height, width, channels). Received: input_shape={shape}")
        super().__post_init__()

    @property
    def common(self) -> dict[str, Any]:
        """The arguments of every layer with a kernel: init and dtype."""
        return {"init": self.init, **super().common}

    @property
    def last(self) -> dict[str, Any]:
        """The arguments of the layers after the last grid, which compute at least in float32."""
        double = self.common["dtype"].compute_dtype == "float64"
        return {**self.common, "dtype": keras.dtype_policies.get("float64" if double else "float32")}
