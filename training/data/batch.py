"""Makes a batch from raw images and labels, in the same way on every backend."""

from dataclasses import dataclass

from keras import ops

from keras_mgnet.augmentations import AUGMENTATIONS, Augmentation
from keras_mgnet.training.data.mixing import CutMix, RandAugment, Seeds, cut_out
from keras_mgnet.training.data.views import augmented, normalize


@dataclass(unsafe_hash=True)  # equal forms share one traced and compiled function
class BatchForm:
    """Augments and normalises the images of a batch, and encodes its labels.

    Example:
        >>> form = BatchForm((0.0,), (1.0,), classes=2)
        >>> ops.convert_to_numpy(form.test([[[[255]]]], [1])[1]).tolist()
        [[0.0, 1.0]]
    """

    mean: tuple[float, ...]  # per channel, for pixels scaled to [0, 1]
    std: tuple[float, ...]  # per channel, on the same scale
    augmentation: Augmentation = AUGMENTATIONS["none"]  # of training images
    classes: int | None = None  # length of one-hot labels; None for integer labels
    label_smoothing: float = 0.0  # share of a training label that is spread evenly over all classes

    def __post_init__(self):
        augmentation = self.augmentation
        if self.classes is None and (self.label_smoothing or augmentation.cut_mix):
            raise ValueError(
                "expected classes, the number of classes, with label smoothing or CutMix. Received: classes=None"
            )
        # Made here: Keras' layers create variables, which a traced function must not do.
        self.rand_augment = RandAugment(augmentation.operations, len(self.mean)) if augmentation.operations else None
        self.cut_mix = CutMix() if augmentation.cut_mix else None

    def train(self, images, labels, view, key):
        """Returns augmented, normalised images (B, H, W, C) float32 and labels, (B,) int32 or (B, classes) float32.

        Args:
            images: (B, H, W, C) uint8.
            labels: (B,) int32.
            view: (B,), the view of each image, see `views.augmented`.
            key: two integers that decide all other random draws.
        """
        seeds = Seeds(key)
        images = augmented(images, view, self.augmentation)
        if self.rand_augment:
            images = self.rand_augment(images, seeds)
        images, labels = normalize(images, self.mean, self.std), self._labels(labels, self.label_smoothing)
        if side := self.augmentation.cut_out:
            images = cut_out(images, side, seeds)
        return self.cut_mix(images, labels, seeds) if self.cut_mix else (images, labels)

    def test(self, images, labels):
        """Returns the images normalised but not augmented, and labels without smoothing."""
        return normalize(images, self.mean, self.std), self._labels(labels, 0.0)

    def _labels(self, labels, smoothing: float):
        if self.classes is None:
            return ops.cast(labels, "int32")
        return ops.one_hot(labels, self.classes, dtype="float32") * (1.0 - smoothing) + smoothing / self.classes
