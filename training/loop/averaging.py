"""Averages the outputs of a classifier over shifted and mirrored copies of each image."""

import keras
from keras import ops

SHIFTS = {(0, 0): 0.5, (-1, -1): 0.25, (1, 1): 0.25}  # in pixels -> weight


def averaged(model: keras.Model, flip: bool) -> keras.Model:
    """Returns a compiled model whose outputs are the mean outputs of a classifier over several views of an image.

    The views are the image with weight 1/2, and the image shifted by one pixel to the upper left and to the lower right with
    weight 1/4 each. The pixels that a shift brings in from outside are a reflection of those inside. With `flip`, each view is
    replaced by the mean of the view and its mirror image.

    Source: KellerJordan/cifar10-airbench.

    Args:
        model: a compiled classifier (N, H, W, C) -> (N, classes).
        flip: whether a mirrored image keeps its label.

    Example:
        >>> from keras_mgnet import MgNet
        >>> averaged(MgNet((1,), 4, input_shape=(8, 8, 3)), flip=True).output_shape
        (None, 10)
    """
    (image,) = model.inputs
    framed = ops.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    height, width = ops.shape(image)[1:3]
    outputs = 0.0
    for (down, right), weight in SHIFTS.items():
        view = framed[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        output = (model(view) + model(ops.flip(view, axis=2))) / 2 if flip else model(view)
        outputs = outputs + weight * output
    mean = keras.Model(image, outputs, name=f"{model.name}_averaged")
    mean.compile(loss=model.loss, metrics=type(model).frame.measures())
    return mean
