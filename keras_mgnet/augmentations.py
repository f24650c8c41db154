"""The random changes of training images that recipes name, as data."""

from collections.abc import Callable
from dataclasses import dataclass

from keras_mgnet import crops


@dataclass(frozen=True)
class Augmentation:
    """A random change of the training images: crop, flip, RandAugment, CutMix and Cutout.

    Attributes:
        pad: width of a frame around the image, in pixels. A random crop then has the size of the image.
        flip: whether to mirror half of the images left to right.
        reflect: whether the frame continues the image as in a mirror. If not, the frame is zero.
        alternate: whether each epoch mirrors exactly the images that the epoch before did not mirror. If not, each epoch draws
            them anew.
        operations: number of RandAugment operations on each image (see `keras_mgnet.training.data.mixing`).
        cut_mix: whether to paste a box from another image. The labels are mixed in proportion to the area of the box.
        cut_out: side in pixels of a square that takes the mean colour of the data; 0 for no square.
        crop: a random crop of `keras_mgnet.crops`, made when an image is decoded; None for the whole image. The test images are
            cropped at their centre.

    Example:
        >>> Augmentation(pad=4, flip=True).views
        162
    """

    pad: int
    flip: bool
    operations: int = 0
    cut_mix: bool = False
    reflect: bool = False
    alternate: bool = False
    cut_out: int = 0
    crop: Callable[..., crops.Box] | None = None

    @property
    def views(self) -> int:
        """Number of different crops and flips of one image."""
        return (2 * self.pad + 1) ** 2 * (1 + self.flip)

    @property
    def mixes(self) -> bool:
        """Whether random numbers or pixels of an image come from its whole batch."""
        return bool(self.operations or self.cut_mix or self.cut_out)


AUGMENTATIONS = {
    "none": Augmentation(0, False),
    "shift": Augmentation(2, False),
    "crop_flip": Augmentation(4, True),
    "shift_flip": Augmentation(2, True, reflect=True, alternate=True),
    "shift_flip_cut": Augmentation(4, True, reflect=True, alternate=True, cut_out=8),
    "scale_flip": Augmentation(0, True, crop=crops.scale),
    "scale_aspect_flip": Augmentation(0, True, crop=crops.scale_aspect),
    "rand_augment": Augmentation(4, True, operations=2),
    "cut_mix": Augmentation(4, True, cut_mix=True),
    "rand_augment_cut_mix": Augmentation(4, True, operations=2, cut_mix=True),
}
