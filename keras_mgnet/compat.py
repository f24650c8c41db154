"""Every private name of Keras, TensorFlow and KerasTuner that this package uses, one function for each purpose.

Tried with Keras 3.13.0 and 3.15.1, TensorFlow 2.20 and 2.21, KerasTuner 1.4.8. Each docstring says why no public name will do.
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

    There is no public function; tensorflow/tensorflow#17176 asks for one.
    """
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


def flatten_layers(layer: keras.Layer, *, direct: bool = False) -> list[keras.Layer]:
    """Returns a layer or model and all layers inside it, each once. With `direct`, only those that its attributes hold.

    `Model.layers` goes one level deep, and Keras 3 dropped `submodules` (tensorflow/tensorflow#97403).
    """
    return layer._flatten_layers(include_self=not direct, recursive=not direct)


def graph(layer: Any) -> keras.Model | None:
    """Returns a functional or sequential model as a functional model, and None for any other layer.

    `keras.Model(inputs, outputs)` makes functional models, but their class has no public name.
    For a subclass with its own `call`, returns None, because this `call` need not run the graph.
    """
    import keras
    from keras.src.models.functional import Functional

    if isinstance(layer, keras.Sequential) and layer.built:
        layer = keras.Model(layer.inputs, layer.outputs)
    return layer if isinstance(layer, Functional) and type(layer).call is Functional.call else None


def run_through_graph(model: keras.Model, inputs: Any, copy: Callable[[Any], Any], call: Callable[..., Any]) -> Any:
    """Returns the outputs of a functional model, computed by call(copy(layer), *arguments) for each layer in order.

    `keras.models.clone_model` takes the same two functions, but disconnects the result from `inputs`.
    """
    return model._run_through_graph(inputs, operation_fn=copy, call_fn=call)


def parameters(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the trainable variables of a layer, also frozen ones, but none of the layers inside it.

    The public `trainable_variables` leaves out frozen variables.
    """
    return layer._trainable_variables


def is_named_for_remat(layer: keras.Layer) -> bool:
    """Returns whether `keras.RematScope("list_of_layers", ...)` named the layer when it was built.

    keras-team/keras#20743 added the scope, but no public way to ask a layer for its mode.
    """
    mode = layer._remat_mode
    return mode is not None and mode.mode == "list_of_layers" and layer.name in mode.layer_names


def mark_direction(metric: keras.Metric, direction: str) -> None:
    """Makes mode="auto" mean "max" in a callback that monitors the metric if `direction` is "up", and "min" if it is "down".

    Keras has no public attribute for whether a higher value of a metric is better (keras-team/keras#18798).
    """
    metric._direction = direction


def trained_variables(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Returns the variables that an optimiser was built for. The list is empty before the optimiser is built.

    The public `Optimizer.variables` holds the optimiser's state and not the model's variables.
    """
    return optimizer._trainable_variables


def variable_index(optimizer: keras.Optimizer, variable: Any) -> int:
    """Returns the index of a variable in the list of variables that the optimiser was built for.

    The docstring of `Optimizer` uses the private name. `update_step` gets a variable of the backend, which has no
    public key (keras-team/keras#21924).
    """
    return optimizer._get_variable_index(variable)


def compiled_with(model: keras.Model, argument: str) -> list[Any]:
    """Returns the losses or metrics in an argument of the last `compile`, as they were given: objects, functions or names.

    `Model.loss` and `Model.metrics` keep those of an earlier `compile` if the last one names none.
    """
    import keras

    return [part for part in keras.tree.flatten(model._compile_config.config[argument]) if part is not None]


def is_loading() -> bool:
    """Returns whether Keras is rebuilding a model from a file. Keras then compiles the model itself, unless compile=False.

    Keras does not tell `from_config` whether to compile.
    """
    from keras.src.backend.common.global_state import get_global_attribute

    return get_global_attribute("shared_objects/id_to_obj_map") is not None


def build_by(model: keras.Model, first_batch: Callable[[Any], Any]) -> None:
    """Makes `fit` and `evaluate` build the metrics and the optimiser with first_batch(iterator): (images, labels, weights).

    By default Keras builds them with the mean of a batch over the replicas. That fails with several workers
    (keras-team/keras#20585).
    """

    def build(iterator: Any) -> None:
        if not (model.optimizer.built and all(metric.variables for metric in model.metrics)):
            with model.distribute_strategy.scope():
                model._symbolic_build(data_batch=first_batch(iterator))

    model._maybe_symbolic_build = build


def set_steps(batches: tf.distribute.DistributedDataset, steps: int) -> None:
    """Sets the number of steps that Keras reads from a distributed data set.

    The public `assert_cardinality` sets the number of elements of a worker, not of steps: in each step, every
    replica of the worker takes one element.
    """
    batches._cardinality = steps


def save_trials_by(oracle: keras_tuner.Oracle, save: Callable[[keras_tuner.engine.trial.Trial], None]) -> None:
    """Makes an oracle save each trial by save(trial).

    KerasTuner itself overwrites the file in place, so a kill can leave half a file. The public `Oracle.save` saves no
    trials.
    """
    oracle._save_trial = save
