"""Finds published models by name: lists them, looks them up, creates them."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, cast

import keras

from keras_mgnet import models
from keras_mgnet.errors import check_known
from keras_mgnet.models.family import Published, Row
from keras_mgnet.trained import trained_on

# Arguments that adapt a network to other images or another use. With any other argument, the network loses its name.
INTERFACE = {
    *("input_shape", "input_tensor", "stem", "include_top", "pooling", "classes", "classifier_activation"),
    *("weights", "recipe", "name", "dtype"),
}


@dataclass(frozen=True)
class ModelInfo:
    """One network of the zoo. Its source prints its size, an accuracy, or only its layout.

    Attributes:
        name: name of the network in `list_models`.
        family: name of the constructor in `keras_mgnet`.
        kwargs: arguments of the constructor.
        params: exact number of trainable parameters, every shared tensor counted once.
        source: where it is published.
        recipe: key of `recipes.RECIPES`.
        published: the results that sources print for the network. Those of `source` come first.
    """

    name: str
    family: str
    kwargs: dict[str, Any]
    params: int
    source: str
    recipe: str
    published: tuple[Published, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.kwargs["input_shape"]

    @property
    def classes(self) -> int | None:
        """Number of classes; None for a network that maps images to images."""
        return self.kwargs.get("classes")

    @property
    def kind(self) -> str:
        """What the network is for: "classifier", "denoiser" or "network of functions".

        Example:
            >>> model_info("mgno_darcy_rough").kind
            'network of functions'
        """
        return families()[self.family].frame.kind

    @property
    def own(self) -> dict[str, Published]:
        """The results in `published` that come from the first source, keyed by the name of the data set."""
        return {printed.dataset.name: printed for printed in self.published if printed.table == self.published[0].table}

    @property
    def reported(self) -> dict[str, Any]:
        """Results that the first source prints: "params", and per data set the top-1 and top-5 accuracy in % or the PSNR in dB.

        "params_exact" is the exact number of parameters with the source's number of classes, if this differs from `classes`.
        "params_note" says why the printed size cannot be reproduced.

        Example:
            >>> model_info("resnet50").reported
            {'imagenet': 75.3, 'imagenet_top5': 92.2}
        """
        first = self.published[0]
        size = {"params": first.size, "params_exact": first.exact, "params_note": first.note}
        figures = {name: printed.figure for name, printed in self.own.items()}
        top5 = {f"{name}_top5": printed.top5 for name, printed in self.own.items()}
        return {key: value for key, value in (size | figures | top5).items() if value is not None}

    @property
    def size_matches(self) -> bool | None:
        """Whether the printed size is the exact size, rounded or truncated to the digits printed. None if no size is printed.

        Example:
            >>> model_info("lm_resnet20").size_matches, model_info("lm_resnet164").size_matches
            (True, False)
        """
        return self.published[0].size_matches(self.params)


def families() -> dict[str, type[models.Network]]:
    """Returns the constructors by name: those of the package, then users' own subclasses of `Network` with a `family`."""
    found, waiting = list(models.FAMILIES), [models.Network]
    while waiting:
        waiting += (subclasses := waiting.pop(0).__subclasses__())
        found += [cls for cls in subclasses if "family" in vars(cls) and cls not in found]
    return {family.__name__: family for family in found}


def all_models() -> dict[str, ModelInfo]:
    """Returns all networks of the zoo by name, family by family."""
    return {name: info for family in families().values() for name, info in _rows(cast(Any, family)).items()}


@cache
def _rows(family: Any) -> dict[str, ModelInfo]:
    return {row.name: _info(family, row) for row in family.family.rows}


def _info(family: type[models.Network], row: Row) -> ModelInfo:
    published = row.published or (Published(row.source, row.dataset),)
    kwargs, recipe = {**row.dataset.arguments, **row.kwargs}, row.recipe or family.family.recipe
    return ModelInfo(row.name, family.__name__, kwargs, row.params, row.source or published[0].table, recipe, published)


def list_models(pattern: str = "*") -> list[str]:
    """Returns the names that match a shell pattern, sorted.

    Example:
        >>> list_models("resnet18_shared_a")
        ['resnet18_shared_a']
    """
    if not isinstance(pattern, str):
        raise ValueError(f"expected a shell pattern, such as 'resnet18*'. Received: pattern={pattern!r}")
    return sorted(name for name in all_models() if fnmatchcase(name, pattern))


def model_info(name: str) -> ModelInfo:
    """Returns the network of the zoo with this name. If there is none, raises ValueError, which suggests the nearest match.

    Example:
        >>> model_info("mgnet_2222_c256_shared_b").reported["cifar10"]
        96.0
    """
    known = all_models()
    check_known("model", name, sorted(known))
    return known[name]


def create_model(name: str, **overrides: Any) -> keras.Model:
    """Builds a network of the zoo by name, compiled with its recipe.

    Args:
        name: a name in `list_models`.
        overrides: arguments of the constructor that replace those of the network. `weights` may also be the name of a data set,
            such as "cifar10", if the package has weights of this network for it.

    Raises:
        ValueError: if a name or an argument is unknown. The message suggests the nearest match.

    Example:
        >>> create_model("mgnet_2222_c64_shared_b", classes=100, channels=4).output_shape
        (None, 100)
    """
    row = model_info(name)
    if isinstance(weights := overrides.get("weights"), str):
        overrides["weights"] = trained_on(name, weights) or weights
    own_name = {} if set(overrides) - INTERFACE else {"name": name}
    return families()[row.family](**{**own_name, "recipe": row.recipe, **row.kwargs, **overrides})
