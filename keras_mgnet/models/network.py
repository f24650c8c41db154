"""The base class of all families: a compiled Keras model of stem, levels, transfers and output layers."""

import functools
import inspect
import re
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import h5py
import keras

from keras_mgnet import compat, former, recipes
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.layers.level import Level
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.models.examples import check_examples
from keras_mgnet.models.family import Family
from keras_mgnet.models.frame import BaseFrame, Frame, is_file
from keras_mgnet.models.weights import complete, load_file, load_trained

# Kernels that no output reads belong to published sizes (`description.unread_kernels`): that they have no gradient is no fault.
UNREAD = r"Gradients do not exist for variables \[('\S*(system/A\d*|transfer1/(Pi/Pi|R/R))/kernel'(, )?)+\]"
warnings.filterwarnings("ignore", UNREAD)


class Network(keras.Model):
    """Base class of the families: a Keras model of stem, levels, transfers and output layers.

    The constructor compiles the network with its recipe, so you can call `fit` at once. A network with include_top=False is not
    compiled, and neither is a network that Keras loads with compile=False. With `Frame` a network maps images (N, H, W, C) to
    logits (N, classes). With `ImageFrame` a network maps images to images, and with `FunctionFrame` functions to functions.

    To define a family, subclass `Network` and decorate the subclass with `keras_mgnet.serialization.serializable`. The
    constructor takes the arguments of the family, and then `**arguments: Unpack[FrameArguments]`. `help` and
    `inspect.signature` list the arguments of the frame one by one.

    Args:
        frame: a frame, which gives the input, the output layers and the loss.
        features: output of the last level, (N, H, W, c).
        name: name of the model. A name in the frame takes precedence.
        recipe: key of the recipe to compile with; None for the recipe of the family. A recipe in the frame takes precedence.
        image: the input image; None to search for it from `features`. Pass it if the graph forks and joins on many grids: Keras'
            search follows every path, and their number doubles with each fork.

    Attributes:
        frame: class of the frame, a subclass of `BaseFrame`.
        family: data about the family (`keras_mgnet.models.family.Family`).
        recipe: how the network is trained (`keras_mgnet.recipes.Recipe`).

    Example:
        >>> from typing import Unpack
        >>> from keras_mgnet.models.frame import FrameArguments
        >>> from keras_mgnet.serialization import serializable
        >>> @serializable
        ... class Plain(Network):
        ...     def __init__(self, channels: int = 4, **arguments: Unpack[FrameArguments]):
        ...         with Frame(**arguments) as frame:
        ...             x = frame.begin(channels, levels=1)
        ...         super().__init__(frame, x, name="plain")
        >>> Plain(8, classes=3).output_shape
        (None, 3)
    """

    frame: ClassVar[type[BaseFrame]] = Frame
    family: ClassVar[Family] = Family(recipe="xuteam")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            list_arguments(cls.__init__, cls)

    def __init__(
        self,
        frame: BaseFrame,
        features: keras.KerasTensor,
        *,
        name: str,
        recipe: str | None = None,
        image: keras.KerasTensor | None = None,
    ) -> None:
        inputs = keras.utils.get_source_inputs(features if image is None else image)
        inputs = inputs[0] if len(inputs) == 1 else inputs
        super().__init__(inputs=inputs, outputs=frame.head(features), name=frame.name or name)
        self.dtype_policy = frame.common["dtype"]  # Keras decides by it whether to scale the loss
        self.recipe = recipes.recipe(frame.recipe or recipe or self.family.recipe)
        check_remat(self, frame.remat)
        if frame.include_top and not compat.is_loading():
            compile_by_recipe(self, frame.loss())
        if frame.weights is not None:
            if is_file(frame.weights):
                load_file(self, frame.weights, other_classes=True)
            else:
                load_trained(self, str(frame.weights))

    @property
    def method(self) -> Method:
        """The numerical method of the last level: name, formula, order and equation."""
        return next(layer.method for layer in reversed(self.layers) if hasattr(layer, "method"))

    @functools.wraps(keras.Model.save)
    def save(self, filepath: Any, overwrite: bool = True, **options: Any) -> None:
        with complete(self, filepath, ".keras", overwrite) as file:
            super().save(file, overwrite=overwrite, **options)

    @functools.wraps(keras.Model.save_weights)
    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None) -> None:
        with complete(self, filepath, ".weights.h5" if max_shard_size is None else None, overwrite) as file:
            super().save_weights(file, overwrite=overwrite, max_shard_size=max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **options: Any) -> None:
        """Loads weights as `keras.Model.load_weights` does, with the same options.

        Also reads files that earlier versions of this package saved. The arrays of a .weights.h5 file must be plain
        (`keras_mgnet.hdf5.plain_arrays`).
        """
        if str(filepath).endswith(".weights.h5") and Path(filepath).is_file():
            plain_arrays(filepath)
        with former.readable(filepath) as file:
            super().load_weights(file, skip_mismatch=skip_mismatch, **options)

    def load_own_variables(self, store: Any) -> None:
        if isinstance(file := getattr(store, "h5_file", None), h5py.File):
            former.refuse(file)
        super().load_own_variables(store)

    @functools.wraps(keras.Model.fit)
    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        check_examples(self, x, y)
        check_norms(self)
        return super().fit(x, y, *args, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns loss, metrics and the present optimiser. Keras itself leaves out the optimiser when it writes an .h5 file."""
        config = super().get_compile_config()
        return config | {"optimizer": keras.saving.serialize_keras_object(self.optimizer)} if config else config

    def make_train_function(self, force: bool = False) -> Any:
        """Builds the optimiser before the training step is traced.

        A step that creates the variables of the optimiser is traced twice by TensorFlow.
        """
        if not self.optimizer.built:
            with self.distribute_strategy.scope() if keras.backend.backend() == "tensorflow" else nullcontext():
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)


def list_arguments(constructor: Any, cls: type[Network]) -> None:
    """Replaces `**arguments` by the arguments of the frame, in the signature and the docstring of a constructor."""
    signature = inspect.signature(constructor)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    if len(own) < len(signature.parameters):
        keyword = inspect.Parameter.KEYWORD_ONLY
        shared = [inspect.Parameter(f.name, keyword, default=f.default, annotation=f.type) for f in fields(cls.frame)]
        constructor.__signature__ = signature.replace(parameters=[*own, *shared])
        entries = filter(None, (meanings(cls), meanings(cls.frame)))
        constructor.__doc__ = constructor.__doc__ or "\n".join(["Builds the compiled network.", "", "Args:", *entries])


def meanings(cls: type) -> str:
    """Returns the lines below "Args:" or "Attributes:" in the docstring of a class.

    Example:
        >>> meanings(Frame).splitlines()[3]
        '    input_shape: (height, width, channels).'
    """
    text = inspect.cleandoc(cls.__doc__ or "")
    section = re.search(r"^(?:Args|Attributes):\n((?: .*(?:\n|$))+)", text, flags=re.MULTILINE)
    return section[1].rstrip("\n") if section else ""


def compile_by_recipe(model: Network, loss: keras.losses.Loss) -> None:
    """Compiles a model with a loss, the optimiser of its recipe and the metrics of its frame."""
    model.compile(model.recipe.optimizer(), loss, metrics=model.frame.measures())
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # Keras cannot load such an optimiser if it was saved before its first step.
        model.optimizer.build(model.trainable_variables)


def check_remat(model: keras.Model, names: Sequence[str]) -> None:
    """Raises ValueError unless every name is the name of a level that can be recomputed."""
    able = [layer.name for layer in model.layers if isinstance(layer, Level)]
    if strange := [name for name in names if name not in able]:
        raise ValueError(
            f"expected remat to name only levels of the model: {', '.join(able) or 'none'}. Received: {', '.join(strange)}"
        )


def check_norms(model: keras.Model) -> None:
    """Warns if Keras trains the model on several replicas, where each norm sees only its replica's part of a batch."""
    several = keras.backend.backend() == "tensorflow" and model.distribute_strategy.num_replicas_in_sync > 1
    if not several or hasattr(model, "average_statistics"):  # `Strategy.install` sets this attribute
        return
    norms = [layer for layer in compat.flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    if not all(norm.synchronized for norm in norms):
        warnings.warn(
            "each norm sees its replica's share of a batch, and a file keeps the statistics of the first replica: call "
            "keras_mgnet.layers.operators.norm.synchronize_norms(model) first, or see docs/distributed.md",
            stacklevel=3,
        )
