"""RandAugment, CutMix and Cutout. Their random numbers depend on a key, not on a generator's state."""

import keras
from keras import layers, ops

OPERATIONS = (  # Keras' layers and their strengths, about the middle of RandAugment's scale
    (layers.RandomRotation, {"factor": 15 / 360}),
    (layers.RandomTranslation, {"height_factor": 0.15, "width_factor": 0.15}),
    (layers.RandomShear, {"x_factor": 0.15, "y_factor": 0.15}),
    (layers.RandomBrightness, {"factor": 0.3}),
    (layers.RandomContrast, {"factor": 0.5}),
    (layers.RandomColorDegeneration, {"factor": 0.9}),
    (layers.RandomSharpness, {"factor": 0.9}),
    (layers.RandomPosterization, {"factor": (4, 8)}),
    (layers.Solarization, {"threshold_factor": 1.0}),
    (layers.AutoContrast, {}),
)
COLOUR = (layers.RandomColorDegeneration,)


class Seeds(keras.random.SeedGenerator):
    """Gives the seeds of one batch. A seed depends only on the key of the batch and on the number of seeds drawn before.

    With Keras' own SeedGenerator, a batch would depend on all batches before it. The key is a pair of integers, the form of seed
    that the random functions of the backend take.
    """

    def __init__(self, key):  # without super().__init__, which creates a variable for the state
        self.key, self.drawn = key, 0

    def next(self, ordered=True):
        """Returns the next seed."""
        self.drawn += 1
        return self.key + ops.convert_to_tensor([0, self.drawn], self.key.dtype)


class RandAugment:
    """Applies randomly chosen operations to each image, one after the other (Cubuk et al. 2020).

    Makes `operations` rounds. A round splits the batch at random into one group for each kind of operation. Each operation is
    applied to its own group only. The sizes of the groups differ by at most one image. Grey images get no operation on colours.

    `keras.layers.RandAugment` draws one set of operations for a whole batch, computes all of them for every image, and rotates,
    shears and shifts in one direction only. This class has no equalisation, because that of Keras computes one histogram of the
    whole batch.
    """

    def __init__(self, operations: int, channels: int):
        chosen = [(kind, options) for kind, options in OPERATIONS if channels == 3 or kind not in COLOUR]
        form = {"data_format": "channels_last", "dtype": "float32"}
        self.layers = [kind(**options, **form) for kind, options in chosen]
        self.operations = operations

    def __call__(self, images, seeds: Seeds):
        """Returns augmented images (B, H, W, C) float32. The values of input and output are 0..255."""
        images = ops.cast(images, "float32")
        for _ in range(self.operations):
            images = self._round(images, seeds)
        return ops.clip(images, 0.0, 255.0)

    def _round(self, images, seeds: Seeds):
        count, parts = ops.shape(images)[0], len(self.layers)
        order = keras.random.shuffle(ops.arange(count), seed=seeds)
        dealt, results = ops.take(images, order, axis=0), []
        for number, layer in enumerate(self.layers):
            part = dealt[number * count // parts : (number + 1) * count // parts]
            transformation = layer.get_random_transformation(part, training=True, seed=seeds)
            results.append(layer.transform_images(part, transformation))
        return ops.take(ops.concatenate(results), ops.argsort(order), axis=0)


class CutMix:
    """Pastes a box from another image of the batch into each image, and mixes the labels by area (Yun et al. 2019).

    The area is that of the pasted pixels. `keras.layers.CutMix` uses the area of the box before rounding to whole pixels.
    """

    def __init__(self):
        self.layer = layers.CutMix(factor=(1.0, 1.0), data_format="channels_last", dtype="float32")

    def __call__(self, images, labels, seeds: Seeds):
        """Returns mixed images (B, H, W, C) and labels (B, classes)."""
        mix = self.layer.get_random_transformation(images, training=True, seed=seeds)
        pasted = ops.mean(ops.cast(mix["batch_masks"][..., 0], "float32"), axis=(1, 2))
        mix["mix_weight"] = 1.0 - pasted
        return self.layer.transform_images(images, mix), self.layer.transform_labels(labels, mix)


def cut_out(images, side: int, seeds: Seeds):
    """Returns normalised images (B, H, W, C) with a square of zeros each, at a random place inside the image.

    Zero is the mean colour of the data. Source: DeVries & Taylor 2017, whose squares may also reach over the border.

    Args:
        side: of the square, in pixels.
    """
    count, height, width = ops.shape(images)[:3]
    inside = 1.0
    for axis, length in ((1, height), (2, width)):
        first = keras.random.randint((count, 1, 1, 1), 0, max(length - side, 0) + 1, seed=seeds)
        place = ops.reshape(ops.arange(length), [-1 if number == axis else 1 for number in range(4)])
        inside = inside * ops.cast((place >= first) & (place < first + side), images.dtype)
    return images * (1.0 - inside)
