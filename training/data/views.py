"""Crops, mirrors and normalises the images of a batch. Runs in tf.data and on JAX alike."""

from keras import ops

from keras_mgnet import images as pixels
from keras_mgnet.augmentations import Augmentation


def augmented(images, view, augmentation: Augmentation):
    """Returns one view of each image: a crop from the padded image, mirrored or not.

    Args:
        images: (B, H, W, C), of any type.
        view: (B,) integers below `augmentation.views`. An integer encodes the row and column of the crop, both in 0..2 pad, and
            whether the crop is mirrored (0 or 1): view = (row (2 pad + 1) + column) (1 + flip) + mirrored.
        augmentation: the width `pad` of the padding, and whether crops may be mirrored (`flip`).

    Example:
        >>> ops.convert_to_numpy(augmented([[[[1], [2]]]], [1], Augmentation(pad=0, flip=True)))[0, 0, :, 0].tolist()
        [2, 1]
    """
    images, view = ops.convert_to_tensor(images), ops.cast(view, "int32")
    height, width, channels = images.shape[1:]
    pad, mirrored = augmentation.pad, 1 + augmentation.flip
    offset, mirror = view // mirrored, view % mirrored
    top, left = offset // (2 * pad + 1), offset % (2 * pad + 1)
    rows = top[:, None] + ops.arange(height)
    columns = left[:, None] + ops.where(mirror[:, None] > 0, ops.arange(width)[::-1], ops.arange(width))
    frame = [[0, 0], [pad, pad], [pad, pad], [0, 0]]
    framed = ops.pad(images, frame, mode="reflect" if augmentation.reflect else "constant")
    # One gather, by the index of each pixel in the whole batch: take_along_axis is eight times slower in tf.data.
    rows += (height + 2 * pad) * ops.arange(ops.shape(images)[0])[:, None]
    place = (width + 2 * pad) * rows[:, :, None] + columns[:, None, :]
    return ops.take(ops.reshape(framed, (-1, channels)), place, axis=0)


def alternated(view, first, epoch):
    """Returns the crops of the views, mirrored in every second epoch and only then.

    Args:
        view: (B,) integers, as in `augmented`, of an augmentation with flips.
        first: (B,) integers, 1 for the images that are mirrored in the epochs 0, 2, ..., and 0 for the others.
        epoch: number of the epoch.

    Example:
        >>> [alternated(ops.array([4, 5]), ops.array([0, 1]), epoch).numpy().tolist() for epoch in (0, 1)]
        [[4, 5], [5, 4]]
    """
    return view - view % 2 + (first + epoch) % 2


def normalize(images, mean: tuple[float, ...], std: tuple[float, ...]):
    """Normalises uint8 images (see `keras_mgnet.images`) and returns them as float32.

    Example:
        >>> float(normalize([[[[255]]]], mean=(0.5,), std=(0.25,))[0, 0, 0, 0])
        2.0
    """
    images = ops.cast(images, "float32")
    # Broadcast to the whole image first: TensorFlow's kernels are four times slower when they broadcast a last axis of 3.
    shape = ops.shape(images)[1:]
    mean, std = (ops.broadcast_to(ops.convert_to_tensor(constant, "float32"), shape) for constant in (mean, std))
    return pixels.normalize(images, mean, std)
