"""The parts that all networks share, and those that all classifiers share: arguments, input image, stem and classifier."""

import copy
import math
import os
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict

import h5py
import keras
import numpy as np

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known, existing_file, is_known, unknown
from keras_mgnet.layers.operators.norm import NORMS, norm_layer
from keras_mgnet.layers.transfers.stem import STEMS, Stem
from keras_mgnet.metrics import Accuracy
from keras_mgnet.models.checks import is_integer
from keras_mgnet.recipes import RECIPES
from keras_mgnet.trained import trained_names

CLASSIFIER = "classifier"  # name of the last layer
MOST_GRIDS = 16  # images of 2^15 pixels a side
POOLINGS = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


class BaseArguments(TypedDict, total=False):
    """The arguments of `BaseFrame` as a type."""

    input_shape: tuple[int | None, int | None, int]
    input_tensor: Any
    weights: str | Path | None
    recipe: str | None
    name: str | None
    dtype: Any


class FrameArguments(BaseArguments, total=False):
    """The arguments of `Frame` as a type, for the constructors of the families."""

    stem: str
    include_top: bool
    pooling: str | None
    classes: int
    classifier_activation: str | None
    activation: str | Callable[..., Any]
    norm: str | None
    init: str
    remat: Sequence[str]


class Recomputing:
    """A context for the construction of levels. The levels in `remat` are made in a `keras.RematScope`."""

    remat: Sequence[str] = ()

    def __enter__(self) -> Self:
        self._rematerialized.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._rematerialized.__exit__(*error)

    @cached_property
    def _rematerialized(self) -> keras.RematScope:
        return keras.RematScope("list_of_layers" if self.remat else None, layer_names=self.remat)


@dataclass(frozen=True)
class BaseFrame(Recomputing):
    """The arguments that all networks share, with the input, the loss and the metrics. Each kind of network has a subclass.

    Attributes:
        kind: what the networks are, in words.
        criterion, measured: the classes of the loss and of the metrics.
    """

    input_shape: tuple[int | None, int | None, int] = (None, None, 1)
    input_tensor: Any = None
    weights: str | Path | None = None
    recipe: str | None = None
    name: str | None = None
    dtype: Any = None
    include_top = True
    kind: ClassVar[str]
    criterion: ClassVar[type[keras.losses.Loss]]
    measured: ClassVar[tuple[type[keras.metrics.Metric], ...]]

    def __post_init__(self) -> None:
        check_level_names(self.remat)
        check_input_tensor(self.input_tensor)
        check_weights(self.weights)
        check_recipe(self.recipe)

    @property
    def common(self) -> dict[str, Any]:
        """The arguments of every layer."""
        return {"dtype": keras.dtype_policies.get(self.dtype)}

    def image(self, levels: int = 1) -> Tensor:
        """Returns the symbolic input (N, H, W, C) of a network with this number of levels."""
        if self.input_tensor is not None:
            return input_tensor(self.input_tensor)
        return keras.Input(tuple(self.input_shape), dtype=self.common["dtype"].compute_dtype, name="image")

    def head(self, features: Tensor) -> Tensor:
        """Returns the output of the model for the last features (N, H, W, c). By default the output is the features."""
        return features

    def loss(self) -> keras.losses.Loss:
        """Returns the loss of the model."""
        return self.criterion()

    @classmethod
    def measures(cls) -> list[keras.metrics.Metric]:
        """Returns the metrics of the model."""
        return [metric() for metric in cls.measured]


@dataclass(frozen=True)
class Frame(BaseFrame):
    """The arguments that all classifiers share. The constructors of classifiers take these arguments by keyword.

    A family creates its levels inside `with Frame(...)`. This context opens a `keras.RematScope` for the levels in `remat`.

    Attributes:
        stem: "cifar" or "mnist" (both 3x3), "imagenet" (7x7 with stride 2 and max pooling), "strided" (3x3 with stride 2), or
            "whitening" (2x2 filters that whiten the image, 3x3, max pooling), see `keras_mgnet.layers.Stem`.
            `keras_mgnet.whiten` computes the whitening filters from images; `keras-mgnet train` calls it.
        input_shape: (height, width, channels).
        input_tensor, include_top, pooling, classes, classifier_activation: as in keras.applications.
        activation: the activation sigma, a Keras activation.
        norm: "batch" for batch normalisation, or None for a network without norms. The activations stay in both cases.
        weights: None, the path of a .weights.h5 file, or a trained network of `keras_mgnet.trained.trained_names()`. Weights for
            another number of classes load without their classifier, with a warning.
        init: kernel initialiser, "he_fan_out", "torch_default", "xavier" or "identity"
            (`keras_mgnet.layers.operators.conv.initializer`).
        remat: names of levels, such as "level1". In training these levels need less memory and more time, because the backward
            pass recomputes their iterations (`keras_mgnet.layers.Level`).
        recipe: the recipe with which the model is compiled, a key of `keras_mgnet.recipes.RECIPES`; None for the recipe of the
            family.
        name, dtype: name and dtype of the model. The dtype can be a policy such as "mixed_bfloat16".

    Example:
        >>> Frame(classes=0)
        Traceback (most recent call last):
            ...
        ValueError: expected classes to be an integer >= 2; ... Received: classes=0
    """

    input_shape: tuple[int | None, int | None, int] = (32, 32, 3)
    stem: str = "cifar"
    include_top: bool = True
    pooling: str | None = None
    classes: int = 10
    classifier_activation: str | None = None
    activation: str | Callable[..., Any] = "relu"
    norm: str | None = "batch"
    init: str = "he_fan_out"
    remat: Sequence[str] = ()
    kind = "classifier"
    measured = (Accuracy,)

    def __post_init__(self) -> None:
        check_known("stem", self.stem, STEMS)
        if not isinstance(self.include_top, (bool, np.bool_)):
            raise ValueError(f"expected include_top to be True or False. Received: include_top={self.include_top!r}")
        if self.include_top and not (is_integer(self.classes) and self.classes >= 2):
            raise ValueError(
                "expected classes to be an integer >= 2; for a single output use include_top=False and add a Dense(1) layer. "
                f"Received: classes={self.classes!r}"
            )
        if self.pooling is not None and not is_known(self.pooling, POOLINGS):
            raise unknown("pooling", self.pooling, [*POOLINGS, "None"])
        if not is_known(self.norm, NORMS):
            raise unknown("norm", self.norm, ["batch", "None"])
        if not is_known(self.classifier_activation, (None, "softmax")):
            raise unknown("classifier_activation", self.classifier_activation, ["softmax", "None"])
        super().__post_init__()

    @property
    def common(self) -> dict[str, Any]:
        """The arguments of every layer: activation, norm, init and dtype."""
        return {**self.plain, "norm": self.norm}

    @property
    def plain(self) -> dict[str, Any]:
        """The arguments of a layer without norms."""
        return {"activation": self.activation, "init": self.init, **super().common}

    def image(self, levels: int = 1) -> Tensor:
        """Returns the symbolic image (N, H, W, C). Raises ValueError if the image is too small for this number of levels."""
        if levels > MOST_GRIDS:
            raise ValueError(f"expected at most {MOST_GRIDS} grids. Received: {levels}")
        if self.input_tensor is None:
            self._check_shape(self.input_shape, levels)
        elif not isinstance(self.input_tensor, dict):
            self._check_shape(self.input_tensor.shape[1:], levels)
        return super().image()

    def begin(self, channels: int, levels: int, normalize: bool = True) -> Tensor:
        """Returns the image after the stem, (N, H/s, W/s, channels). s is the `reduction` of the stem."""
        image = self.image(levels)
        return Stem(channels, self.stem, normalize=normalize, name="stem", **self.common)(image)

    def end(self, x: Tensor) -> Tensor:
        """Applies a norm and the activation to x. A pre-activation network needs both before its classifier."""
        return norm_layer(self.norm, self.activation, name="s", dtype=self.common["dtype"])(x)

    def head(self, features: Tensor) -> Tensor:
        """Returns the output of the model for the last features (N, H, W, c)."""
        if not self.include_top:
            return _pooled(features, self.pooling) if self.pooling else features
        pooled = _pooled(features, "avg")
        return self._classifier(pooled.shape[-1], features.dtype)(pooled)

    def loss(self) -> keras.losses.Loss:
        """Returns the cross-entropy loss, for logits or for the probabilities of a softmax."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=self.classifier_activation is None)

    def _check_shape(self, shape: Any, levels: int) -> None:
        shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        if len(shape) != 3 or not (is_integer(shape[2]) and shape[2] >= 1):
            raise ValueError(f"expected input_shape=(height, width, channels). Received: input_shape={shape}")
        if shape[0] in (1, 3) and shape[1] == shape[2] > 3:
            raise ValueError(
                "expected input_shape=(height, width, channels): transpose images whose channels come first. "
                f"Received: input_shape={shape}"
            )
        least = STEMS[self.stem].reduction * 2 ** (levels - 1)
        for size in shape[:2]:
            if size is not None and not (is_integer(size) and size >= least):
                raise ValueError(
                    f"expected an image of at least {least}x{least} pixels for {levels} grids. "
                    f"Received: input_shape={shape}"
                )

    def _classifier(self, fan_in: int, dtype: str) -> keras.layers.Dense:
        bound = 1 / math.sqrt(fan_in)
        uniform = keras.initializers.RandomUniform(-bound, bound)
        return keras.layers.Dense(
            self.classes,
            activation=self.classifier_activation,
            kernel_initializer=uniform,
            bias_initializer=uniform if self.init == "torch_default" else "zeros",
            dtype="float64" if dtype == "float64" else "float32",
            name=CLASSIFIER,
        )


def input_tensor(given: Any) -> Tensor:
    """Returns `given` if it is a tensor. If `given` is the configuration of a tensor, returns that tensor."""
    if not isinstance(given, dict):
        return given
    graph = keras.saving.deserialize_keras_object(copy.deepcopy(given))  # a copy, because Keras empties the config
    if not isinstance(graph, keras.Model):
        raise ValueError(f"expected the configuration of a model as input_tensor. Received: {reprlib.repr(given)}")
    return graph.output


def check_input_tensor(given: Any) -> None:
    """Raises ValueError unless an input tensor is None, a symbolic tensor or the configuration of one."""
    if not (given is None or isinstance(given, (keras.KerasTensor, dict))):
        raise ValueError(f"expected input_tensor to be None or a keras.Input. Received: input_tensor={given!r}")


def check_level_names(remat: Any) -> None:
    """Raises ValueError unless `remat` is a sequence of names."""
    if not isinstance(remat, (tuple, list)) or not all(isinstance(name, str) for name in remat):
        raise ValueError(f"expected remat to be names of levels, such as ('level1',). Received: remat={remat!r}")


def is_file(weights: str | Path) -> bool:
    """Returns whether weights are the path of a file, and not the name of a trained network."""
    return str(weights).endswith(".weights.h5")


def check_weights(weights: str | Path | None) -> None:
    """Raises ValueError unless weights are None, the path of a .weights.h5 file, or the name of a trained network."""
    if weights is None or weights in trained_names():
        return
    if not (isinstance(weights, (str, os.PathLike)) and is_file(weights)):
        raise ValueError(
            "expected weights to be None, the path of a .weights.h5 file, or a trained network: "
            f"{', '.join(trained_names())}. Received: weights={str(weights)!r}"
        )
    if not h5py.is_hdf5(existing_file(weights)):
        raise ValueError(f"expected a file that save_weights wrote. Received: '{weights}'")


def check_recipe(recipe: str | None) -> None:
    """Raises ValueError unless `recipe` is None or a key of `RECIPES`."""
    if recipe is not None:
        check_known("recipe", recipe, RECIPES)


def _pooled(features: Tensor, kind: str) -> Tensor:
    return POOLINGS[kind](name="pool", data_format="channels_last", dtype=features.dtype)(features)
