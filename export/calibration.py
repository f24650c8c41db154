"""The images on which the ranges of activations are measured, for artifacts that store them in eight bits."""

import numpy as np

from keras_mgnet.export.servable import Servable

MOST = 256  # images; more hardly move a range


def calibration_images(
    servable: Servable, quantize: str | None, calibration: np.ndarray | None, samples: np.ndarray | None
) -> np.ndarray | None:
    """Returns what `quantize` needs: None, or images (N, H, W, C), N <= 256, evenly drawn from calibration or else samples.

    Raises:
        ValueError: where "int8" has no images, or they do not have the model's shape.

    Example:
        >>> from keras_mgnet import MgNet
        >>> servable = Servable(MgNet((1,), 4, input_shape=(8, 8, 1)))
        >>> calibration_images(servable, "int8", None, np.zeros((1000, 8, 8, 1))).shape
        (250, 8, 8, 1)
    """
    if quantize != "int8":
        return None
    given = samples if calibration is None else calibration
    if given is None:
        raise ValueError(
            "expected samples for quantize='int8', real images as the artifact takes them: the ranges of activations are "
            "measured on them. Received: samples=None"
        )
    images = servable.images(given)
    return images[:: -(-len(images) // MOST)]
