"""The parts that all networks from images to images share: arguments, input image and loss. `Frame` has those of classifiers."""

from dataclasses import dataclass

import keras

from keras_mgnet.metrics import PSNR
from keras_mgnet.models.frame import BaseArguments, BaseFrame


class ImageFrameArguments(BaseArguments, total=False):
    """The arguments of `ImageFrame` as a type, for the constructors of the families."""


@dataclass(frozen=True)
class ImageFrame(BaseFrame):
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

    kind = "denoiser"
    criterion = keras.losses.MeanSquaredError
    measured = (PSNR,)

    def __post_init__(self) -> None:
        shape = self.input_shape
        if not isinstance(shape, (tuple, list)) or len(shape) != 3 or shape[2] != 1:
            raise ValueError(f"expected input_shape=(height, width, 1). Received: input_shape={shape}")
        super().__post_init__()
