"""Trains a network on the soft targets of a trained network, its teacher."""

from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import Tensor
from keras_mgnet.training.data.dataset import Dataset
from keras_mgnet.training.runs.run import open_run


def load_teacher(place: str, data: Dataset) -> keras.Model:
    """Loads the network of a run directory, or a trained network of the package by its name.

    Raises:
        ValueError: if the teacher takes other images than those of `data`, normalised otherwise, or has other classes.
    """
    run = open_run(place)
    found = (run.input_shape, run.class_names, *map(tuple, run.normalization))
    wanted = (tuple(data.input_shape), list(data.class_names), tuple(data.mean), tuple(data.std))
    for what, theirs, ours in zip(("images", "classes", "mean", "deviation"), found, wanted, strict=True):
        if theirs != ours:
            raise ValueError(f"expected a teacher for the {what} {ours}. Received: '{place}' for {theirs}")
    return run.load_model()


def distil(model: keras.Model, teacher: keras.Model, temperature: float, alpha: float) -> None:
    """Makes a compiled model train on soft targets. Evaluations keep the plain loss.

    For the logits z of the model and z' of the teacher, the loss of training is

        (1 - alpha) L + alpha T^2 KL(softmax(z' / T) || softmax(z / T))

    L is the loss that the model is compiled with, and T the temperature. Source: Hinton et al. 2015, sections 2 and 2.1.
    """
    plain = model.compute_loss

    def compute_loss(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        loss = plain(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        theirs, ours = (
            ops.log_softmax(ops.cast(z, "float32") / temperature) for z in (teacher(x, training=False), y_pred)
        )
        divergence = ops.mean(ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1))
        return (1 - alpha) * loss + alpha * temperature**2 * divergence

    model.compute_loss = compute_loss
