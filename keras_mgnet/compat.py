"""Every private name of Keras, TensorFlow and KerasTuner that this package uses, one function for each need.

Each docstring gives the version that the name was tried with, and the public feature that would replace it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `doctor` asks for oneDNN without Keras, and KerasTuner is an extra
    import keras
    import keras_tuner
    import tensorflow as tf


def uses_onednn() -> bool:
    """Returns whether TensorFlow computes with oneDNN on the CPU. This is decided when TensorFlow is imported.

    TensorFlow 2.21. There is no public function; tensorflow/tensorflow#17176 asks for one.
    """
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


def differentiates_groups(dtype: str) -> bool:
    """Returns whether TensorFlow has the gradient of a grouped convolution: with cuDNN on a GPU, with oneDNN on a CPU.

    TensorFlow 2.21. Without oneDNN a CPU says "Gradients for grouped convolutions are not supported on CPU".
    """
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU")) or (dtype in ("float32", "bfloat16") and uses_onednn())


def flatten_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Returns a layer or model and all layers inside it, at any depth, each once.

    Keras 3.15.1. `Model.layers` goes one level deep, and Keras 3 dropped `submodules` (tensorflow/tensorflow#97403).
    """
    return layer._flatten_layers()


def direct_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers that are attributes of a layer or model, or in lists of them, but not what is inside those.

    Keras 3.15.1. Of a layer that is no model there is no public list.
    """
    return layer._flatten_layers(include_self=False, recursive=False)


def graph(layer: Any) -> keras.Model | None:
    """Returns a functional or sequential model as a functional model, and None for any other layer.

    Keras 3.15.1. `keras.Model(inputs, outputs)` makes functional models, but their class has no public name. A subclass with a
    `call` of its own computes something else than its graph.
    """
    import keras
    from keras.src.models.functional import Functional

    if isinstance(layer, keras.Sequential) and layer.built:
        layer = keras.Model(layer.inputs, layer.outputs)
    return layer if isinstance(layer, Functional) and type(layer).call is Functional.call else None


def run_through_graph(model: keras.Model, inputs: Any, copy: Callable[[Any], Any], call: Callable[..., Any]) -> Any:
    """Returns the outputs of a functional model, computed by call(copy(layer), *arguments) for each layer in order.

    Keras 3.15.1. `keras.models.clone_model` takes the same two functions, but cuts the result off from given inputs.
    """
    return model._run_through_graph(inputs, operation_fn=copy, call_fn=call)


def parameters(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the variables of a layer itself that training changes, unless they are frozen.

    Keras 3.15.1. The public `trainable_variables` leaves out those that are frozen.
    """
    return layer._trainable_variables


def is_named_for_remat(layer: keras.Layer) -> bool:
    """Returns whether `keras.RematScope("list_of_layers", ...)` named the layer when it was built.

    Keras 3.15.1. keras-team/keras#20743 added the scope, but no public way to ask a layer for its mode.
    """
    mode = layer._remat_mode
    return mode is not None and mode.mode == "list_of_layers" and layer.name in mode.layer_names


def mark_higher_is_better(metric: keras.Metric) -> None:
    """Makes mode="auto" mean "max" in a callback that monitors the metric.

    Keras 3.15.1. A metric has no public direction; keras-team/keras#18798 is about what "auto" then does.
    """
    metric._direction = "up"


def trained_variables(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Returns the variables that an optimiser was built for, or none before it is built.

    Keras 3.15.1. The public `Optimizer.variables` are the optimiser's own.
    """
    return optimizer._trainable_variables


def variable_index(optimizer: keras.Optimizer, variable: Any) -> int:
    """Returns the position of a variable, as passed to `update_step`, among those that the optimiser was built for.

    Keras 3.15.1. The docstring of `Optimizer` uses the name. `update_step` gets the variable of the backend, which has no public
    key (keras-team/keras#21924).
    """
    return optimizer._get_variable_index(variable)


def build_by(model: keras.Model, first_batch: Callable[[Any], Any]) -> None:
    """Makes `fit` and `evaluate` build metrics and optimiser from first_batch(iterator), which returns (images, labels, weights).

    Keras 3.15.1. Its own way averages a batch over the replicas, which fails with several workers (keras-team/keras#20585).
    """

    def build(iterator: Any) -> None:
        if not (model.optimizer.built and all(metric.variables for metric in model.metrics)):
            with model.distribute_strategy.scope():
                model._symbolic_build(data_batch=first_batch(iterator))

    model._maybe_symbolic_build = build


def set_steps(batches: tf.distribute.DistributedDataset, steps: int) -> None:
    """Sets the number of steps of a distributed data set, by which Keras counts.

    TensorFlow 2.21. The public `assert_cardinality` counts elements of a worker, and each of its replicas takes one per step.
    """
    batches._cardinality = steps


def save_trials_by(oracle: keras_tuner.Oracle, save: Callable[[keras_tuner.engine.trial.Trial], None]) -> None:
    """Makes an oracle save each trial by save(trial).

    KerasTuner 1.4.8. Its own way overwrites the file in place, so a kill leaves half a file. `Oracle.save` is public but saves no
    trials.
    """
    oracle._save_trial = save
