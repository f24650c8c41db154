"""Facts about the data sets of the papers, such as shapes, classes and channel statistics."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set. Networks, training and tables use these facts without loading the images.

    Attributes:
        name: key in `DATASETS`.
        title: name in the papers, such as "CIFAR-10".
        input_shape: (height, width, channels). A height or width of None stands for any size.
        classes: number of classes; None for a data set of images without classes.
        stem: stem of the networks for this data set, a key of `keras_mgnet.layers.transfers.stem.STEMS`; None for no stem.
        tfds: name in TensorFlow Datasets (TFDS); None for a data set that is not in TFDS.
        train: number of training images; None if unknown.
        mean, std: mean and standard deviation of each channel, for pixels scaled to [0, 1]; None to compute both from the
            training images.
        flips: whether an image that is mirrored left to right keeps its label.
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
    # of the papers was reached with the values below.
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
# Pairs of functions: the input functions of MgNO's networks
DARCY_SMOOTH = DatasetInfo("darcy", "Darcy, smooth", (211, 211, 1))
DARCY_ROUGH = DatasetInfo("darcy_rough", "Darcy, rough", (256, 256, 1))
PIPE = DatasetInfo("pipe", "Pipe", (128, 128, 2))
NAVIER_STOKES = DatasetInfo("navier_stokes", "Navier-Stokes", (64, 64, 1))
HELMHOLTZ = DatasetInfo("helmholtz", "Helmholtz", (101, 101, 1))
FUNCTIONS = (DARCY_SMOOTH, DARCY_ROUGH, PIPE, NAVIER_STOKES, HELMHOLTZ)

DATASETS = {info.name: info for info in (MNIST, CIFAR10, CIFAR100, SVHN, IMAGENET, BSD68, *FUNCTIONS)}


def of_tfds(name: str) -> DatasetInfo | None:
    """Returns the facts about the data set with this TFDS name, or None for an unknown name. The name may include a version.

    Example:
        >>> of_tfds("cifar10:3.0.2").title
        'CIFAR-10'
    """
    return next((info for info in DATASETS.values() if info.tfds == name.partition(":")[0]), None)
