"""The base of all families: a graph of stem, levels and transfers under the head of its frame, that comes compiled."""

import functools
import inspect
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import keras

from keras_mgnet import former
from keras_mgnet.hdf5 import plain_arrays
from keras_mgnet.layers.level import Level
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.models.examples import check_examples
from keras_mgnet.models.frame import Frame
from keras_mgnet.recipes import recipe
from keras_mgnet.serialization import serializable


class Graph(NamedTuple):
    """What a family makes of its arguments."""

    features: keras.KerasTensor  # u or r of the last level, (N, H, W, c)
    name: str  # of the model, where the user gives none
    recipe: str  # key of `recipes.RECIPES`, what the model is compiled with


class Network(keras.Model):
    """Stem, levels and transfers under the head of a frame. It comes compiled with its recipe, so `fit` works as it is.

    A family is a subclass under the decorator `family` with a class method `graph(frame, ...) -> Graph`. Its constructor takes
    the arguments of `graph` and then those of its frame. With `Frame` the result returns logits (N, classes) for images
    (N, H, W, C), with `ImageFrame` images for images.

    Attributes:
        frame: what it has besides its graph, `Frame` or another class with the same methods.
        recipe: how its paper trains it (`keras_mgnet.recipes.Recipe`): of its row with `create_model`; otherwise, and when it is
            loaded from a file, of its family.
    """

    frame = Frame

    def __init__(self, graph: Graph, frame: Frame):
        inputs = keras.utils.get_source_inputs(graph.features)
        inputs = inputs[0] if len(inputs) == 1 else inputs
        super().__init__(inputs=inputs, outputs=frame.head(graph.features), name=frame.name or graph.name)
        self.dtype_policy = frame.common["dtype"]  # by which Keras decides whether to scale the loss
        self.recipe = recipe(graph.recipe)
        if frame.include_top:
            compile_by(self, frame.loss())
        if frame.weights is not None:
            check_weights(self, frame.weights)
            self.load_weights(frame.weights)

    @property
    def method(self) -> Method:
        """Its numerical scheme: that of its last level."""
        return next(layer.method for layer in reversed(self.layers) if hasattr(layer, "method"))

    def load_weights(self, filepath: str | Path, skip_mismatch: bool = False, objects_to_skip=None) -> None:
        """Loads a .weights.h5 file, as Keras does, or one of an earlier version."""
        with former.readable(filepath) as file:
            super().load_weights(file, skip_mismatch=skip_mismatch, objects_to_skip=objects_to_skip)

    @functools.wraps(keras.Model.fit)
    def fit(self, x=None, y=None, *args, **kwargs):
        check_examples(self, x, y)
        return super().fit(x, y, *args, **kwargs)


def family(cls: type[Network]) -> type[Network]:
    """Gives a network class its constructor, made of its `graph` and its `frame`, and registers it with Keras.

    Example:
        >>> @family
        ... class Plain(Network):
        ...     @classmethod
        ...     def graph(cls, frame, channels=4):
        ...         return Graph(frame.begin(channels, levels=1), "plain", "xuteam")
        >>> Plain(8, classes=3).output_shape
        (None, 3)
    """
    own = list(inspect.signature(cls.graph).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(f.name, keyword, default=f.default, annotation=f.type) for f in fields(cls.frame)]
    self_ = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([self_, *own, *shared])

    @functools.wraps(Network.__init__)
    def init(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        frame = cls.frame(**{p.name: bound.arguments[p.name] for p in shared})
        with keras.RematScope("list_of_layers" if frame.remat else None, layer_names=frame.remat):
            graph = type(self).graph(frame, **{p.name: bound.arguments[p.name] for p in own})
        Network.__init__(self, graph, frame)
        check_remat(self, frame.remat)

    init.__signature__ = signature
    cls.__init__ = init
    return serializable(cls)


def compile_by(model: keras.Model, loss: keras.losses.Loss) -> None:
    """Compiles a model with the optimiser of its recipe at the starting rate."""
    model.compile(model.recipe.optimizer(), loss, metrics=type(model).frame.measures())
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        # Keras could not load one that was saved before its first step.
        model.optimizer.build(model.trainable_variables)


def check_remat(model: keras.Model, names: Sequence[str]) -> None:
    """Raises unless all names are those of levels that can be evaluated again."""
    able = [layer.name for layer in model.layers if isinstance(layer, Level)]
    if strange := [name for name in names if name not in able]:
        raise ValueError(
            f"expected remat to name levels of {', '.join(able) or 'none'}. Received: {', '.join(strange)}"
        )


def check_weights(model: keras.Model, path: str | Path) -> None:
    """Raises unless a .weights.h5 file holds plain arrays of just this model's shapes; Keras would ignore a surplus."""
    found = [shape for name, shape in plain_arrays(path) if not name.startswith("optimizer/")]
    if sorted(found) != sorted(tuple(variable.shape) for variable in model.weights):
        raise ValueError(
            f"expected the weights of {model.name}, {len(model.weights)} variables of its shapes. "
            f"Received: {len(found)} in '{path}'"
        )
