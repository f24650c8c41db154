"""The parts that all networks from images to images share: arguments, input image and loss. `Frame` has those of classifiers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import keras

from keras_mgnet.annotations import Tensor
from keras_mgnet.metrics import PSNR
from keras_mgnet.models.frame import check_input_tensor, check_recipe, check_weights, image_of


class ImageFrameArguments(TypedDict, total=False):
    """The arguments of `ImageFrame` as a type, for the constructors of the families."""

    input_shape: tuple[int | None, int | None, int]
    input_tensor: Any
    weights: str | Path | None
    recipe: str | None
    name: str | None
    dtype: Any


@dataclass(frozen=True)
class ImageFrame:
    """The arguments that all networks from grey images to grey images share. Constructors take these arguments by keyword.

    Attributes:
        input_shape: (height, width, 1). None stands for any height or width.
        input_tensor: as in keras.applications.
        weights: None or the path of a .weights.h5 file.
        recipe: the recipe with which the model is compiled, a key of `keras_mgnet.recipes.RECIPES`; None for the recipe of the
            family.
        name, dtype: name and dtype of the model. The dtype can be a policy such as "mixed_bfloat16".

    Example:
        >>> ImageFrame((None, None, 3))
        Traceback (most recent call last):
            ...
        ValueError: expected input_shape=(height, width, 1). Received: input_shape=(None, None, 3)
    """

    input_shape: tuple[int | None, int | None, int] = (None, None, 1)
    input_tensor: Any = None
    weights: str | Path | None = None
    recipe: str | None = None
    name: str | None = None
    dtype: Any = None
    kind = "denoiser"
    include_top = True  # there is no head to leave out
    remat = ()

    def __post_init__(self) -> None:
        shape = self.input_shape
        if not isinstance(shape, (tuple, list)) or len(shape) != 3 or shape[2] != 1:
            raise ValueError(f"expected input_shape=(height, width, 1). Received: input_shape={shape}")
        check_input_tensor(self.input_tensor)
        check_weights(self.weights)
        check_recipe(self.recipe)

    @property
    def common(self) -> dict[str, Any]:
        """The arguments of every layer, which are the dtype policy."""
        return {"dtype": keras.dtype_policies.get(self.dtype)}

    def image(self) -> Tensor:
        """Returns the symbolic image (N, H, W, 1)."""
        return image_of(self)

    def head(self, image: Tensor) -> Tensor:
        """Returns the image unchanged."""
        return image

    def loss(self) -> keras.losses.Loss:
        """Returns the mean squared error."""
        return keras.losses.MeanSquaredError()

    @staticmethod
    def measures() -> list[keras.metrics.Metric]:
        """Returns the metrics of the model."""
        return [PSNR()]
