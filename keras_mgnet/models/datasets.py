"""The facts of the published data sets, each in one place."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set that networks, training and tables use without its images.

    Attributes:
        name: key in `DATASETS`.
        title: name as the papers write it.
        input_shape: (height, width, channels), None for any.
        classes: number of classes; None if images are mapped to images.
        stem: stem of the networks for it, a key of `keras_mgnet.layers.transfers.transfer.STEMS`; None for none.
        tfds: name in TFDS, if it has one.
        train: number of training images, if a table needs it.
        mean, std: mean and standard deviation of each channel, on the scale where 255 is 1; None for those of the training
            images.
        flips: whether an image keeps its label when it is mirrored left to right.
    """

    name: str
    title: str
    input_shape: tuple[int | None, int | None, int]
    classes: int | None = None
    stem: str | None = None
    tfds: str | None = None
    train: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flips: bool = True

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor arguments of a network for this data set.

        Example:
            >>> CIFAR100.arguments
            {'input_shape': (32, 32, 3), 'classes': 100, 'stem': 'cifar'}
        """
        arguments = {"input_shape": self.input_shape, "classes": self.classes, "stem": self.stem}
        return {key: value for key, value in arguments.items() if value is not None}


MNIST = DatasetInfo("mnist", "MNIST", (28, 28, 1), 10, "mnist", "mnist", 60_000, (0.1307,), (0.3081,), flips=False)
CIFAR10 = DatasetInfo(
    *("cifar10", "CIFAR-10", (32, 32, 3), 10, "cifar", "cifar10", 50_000),
    mean=(0.4914, 0.4822, 0.4465),
    # The means of the deviations of single images. Over all pixels the deviations would be 0.247, 0.243, 0.262. Every accuracy
    # of the papers was reached with these.
    std=(0.2023, 0.1994, 0.2010),
)
CIFAR100 = DatasetInfo(
    *("cifar100", "CIFAR-100", (32, 32, 3), 100, "cifar", "cifar100", 50_000),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
SVHN = DatasetInfo("svhn", "SVHN", (32, 32, 3), 10, "cifar", "svhn_cropped", 73_257, flips=False)
IMAGENET = DatasetInfo("imagenet", "ImageNet", (224, 224, 3), 1000, "imagenet", "imagenet2012", 1_281_167)
BSD68 = DatasetInfo("bsd68", "BSD68", (None, None, 1))

DATASETS = {info.name: info for info in (MNIST, CIFAR10, CIFAR100, SVHN, IMAGENET, BSD68)}


def of_tfds(name: str) -> DatasetInfo | None:
    """Returns the facts of the data set with this TFDS name, which may include a version; None if there are none.

    Example:
        >>> of_tfds("cifar10:3.0.2").title
        'CIFAR-10'
    """
    return next((info for info in DATASETS.values() if info.tfds == name.partition(":")[0]), None)
