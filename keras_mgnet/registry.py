"""Models by name: list, look up, create."""

import inspect
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import keras

from keras_mgnet import models
from keras_mgnet.errors import check_known, unknown
from keras_mgnet.models.network import compile_by
from keras_mgnet.recipes import recipe

# Arguments that fit a network to images and use; any other makes it another network than its row, without the row's name.
INTERFACE = {
    *("input_shape", "input_tensor", "stem", "include_top", "pooling", "classes", "classifier_activation"),
    *("weights", "name", "dtype"),
}


@dataclass(frozen=True)
class ModelInfo:
    """One published network.

    Attributes:
        name: the key.
        family: name of the constructor in `keras_mgnet`.
        kwargs: its arguments.
        params: exact trainable parameters, every shared tensor once.
        source: where it is published.
        reported: what the source prints: "params", and per data set the top-1 accuracy in percent or the PSNR in dB.
            "params_exact" is our size for the source's number of classes where it is another, "params_note" why the printed
            size is not reproducible.
        recipe: key of `recipes.RECIPES`.
    """

    name: str
    family: str
    kwargs: dict[str, Any]
    params: int
    source: str
    reported: dict[str, Any]
    recipe: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.kwargs["input_shape"]

    @property
    def size_matches(self) -> bool | None:
        """Whether the printed size is the exact one, rounded or cut to its digits; None where no size is printed.

        Example:
            >>> model_info("lm_resnet20").size_matches, model_info("lm_resnet164").size_matches
            (True, False)
        """
        if "params" not in self.reported:
            return None
        printed = self.reported["params"].removesuffix("M")
        digits = len(printed.partition(".")[2])
        exact = self.reported.get("params_exact", self.params) / 1e6
        cut = math.floor(exact * 10**digits) / 10**digits
        return float(printed) in (round(exact, digits), cut)

    @property
    def classes(self) -> int | None:
        """Number of classes; None of a network that maps images to images."""
        return self.kwargs.get("classes")


@cache
def _rows() -> dict[str, ModelInfo]:
    from keras_mgnet.models.presets import presets

    return {row.name: row for row in presets()}


def list_models(pattern: str = "*") -> list[str]:
    """Returns the names that match a shell pattern, sorted.

    Example:
        >>> list_models("resnet18_shared_a")
        ['resnet18_shared_a']
    """
    return sorted(name for name in _rows() if fnmatchcase(name, pattern))


def model_info(name: str) -> ModelInfo:
    """Returns the row of a name; raises ValueError with the nearest match where there is none.

    Example:
        >>> model_info("mgnet_2222_c256_shared_b").reported["cifar10"]
        96.0
    """
    if name not in _rows():
        raise unknown("model", name, sorted(_rows()))
    return _rows()[name]


def create_model(name: str, **overrides) -> keras.Model:
    """Builds the network of a name, compiled with its recipe.

    Args:
        name: a key of `list_models`.
        overrides: arguments of the family's constructor that take the place of the row's.

    Raises:
        ValueError: for an unknown name or argument, with the nearest match.

    Example:
        >>> create_model("mgnet_2222_c64_shared_b", classes=100, channels=4).output_shape
        (None, 100)
    """
    row = model_info(name)
    family = getattr(models, row.family)
    known = [parameter for parameter in inspect.signature(family).parameters if parameter != "self"]
    for argument in overrides:
        check_known(f"argument of {row.family}", argument, known)
    own_name = {} if set(overrides) - INTERFACE else {"name": name}
    model = family(**{**own_name, **row.kwargs, **overrides})
    model.recipe = recipe(row.recipe)
    if getattr(model, "optimizer", None) is not None:  # a model without classifier is not compiled
        compile_by(model, model.loss)
    return model
