"""The task a network is trained for: classification, denoising or maps of functions. A run takes its batches from here."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.layers import Diffusion
from keras_mgnet.recipes import recipe
from keras_mgnet.registry import model_info
from keras_mgnet.training.data import denoise, functions, pipeline
from keras_mgnet.training.data.dataset import Dataset, Split, load
from keras_mgnet.training.data.denoise import CleanImages
from keras_mgnet.training.data.functions import FunctionPairs
from keras_mgnet.training.data.plan import WHOLE, Plan, Share
from keras_mgnet.training.data.streaming import named_failures
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.objective import label_classes
from keras_mgnet.training.runs.plots import plot_functions

Data = Dataset | CleanImages | FunctionPairs
DRAWN = 3  # pairs in a picture


@dataclass(frozen=True)
class Task:
    """What a run trains a network for. Subclasses give `train_batches`, `test_batches` and `trivial_loss`."""

    config: TrainConfig  # resolved, see `TrainConfig.resolve`
    data: Data
    model: keras.Model  # compiled
    share: Share = WHOLE  # the part of each batch that this worker reads

    examples = "images"

    def judge_batches(self) -> Iterable:
        """Returns, in batches, the examples that choose the best epoch: the test examples."""
        return self.test_batches()

    def begin_epoch(self, epoch: int) -> None:
        """Does nothing: every epoch trains the whole model."""

    def reading(self) -> AbstractContextManager:
        """Returns a context that does nothing: all examples are in memory."""
        return nullcontext()

    def draw(self, directory: Path) -> None:
        """Draws nothing besides the curves."""


@dataclass(frozen=True)
class Classification(Task):
    """Predicts the labels of images."""

    data: Dataset

    @property
    def trivial_loss(self) -> float:
        """The cross-entropy of a model that has learned nothing: log(classes)."""
        return math.log(max(self.data.classes, 2))

    def train_batches(self, epoch: int, step: int) -> Iterable:
        """Returns the training batches of an epoch, from `step` on."""
        return pipeline.train_batches(
            self.data.train,
            self.config.batch_size,
            **self._form,
            seed=self.config.seed,
            augment=self.config.augment,
            label_smoothing=self.config.label_smoothing,
            first_epoch=epoch,
            first_step=step,
            epochs=1,
            share=self.share,
        )

    def test_batches(self) -> Iterable:
        """Returns the test images in batches."""
        return self._batches(self.data.test)

    def judge_batches(self) -> Iterable:
        """Returns, in batches, the images that choose the best epoch: the validation images, or else the test images."""
        return self._batches(self.data.validation or self.data.test)

    def reading(self) -> AbstractContextManager:
        """Returns a context in which an image that cannot be read is an error that names the image."""
        return named_failures([split.images for split in self.data.splits.values()])

    def _batches(self, split: Split) -> Iterable:
        return pipeline.test_batches(split, self.config.batch_size, **self._form, share=self.share)

    @property
    def _form(self):
        classes = label_classes(self.model, self.data.classes)
        return {"mean": self.data.mean, "std": self.data.std, "classes": classes}


@dataclass(frozen=True)
class Denoising(Task):
    """Recovers clean images from noisy ones. With `greedy_epochs`, first trains the stages of the model one after the other."""

    data: CleanImages

    def __post_init__(self):
        least = self.field.least
        sides = {"patch_size": self.data.patch_size, "test image": min(min(image.shape) for image in self.data.test)}
        if small := [f"{name} of {side}" for name, side in sides.items() if side < least]:
            expected = f"patches and test images of at least {least} pixels a side, for these filters"
            raise ValueError(f"expected {expected}. Received: {', '.join(small)}")

    @property
    def field(self) -> Diffusion:
        """The stages of the model."""
        return self.model.get_layer("level1").field

    @property
    def trivial_loss(self) -> float:
        """The mean squared error of a model that returns the noisy image: sigma^2."""
        return self.data.sigma**2

    def train_batches(self, epoch: int, step: int) -> Iterable:
        """Returns the training batches of an epoch, from `step` on."""
        config = self.config
        plan = Plan(config.seed, self.data.patches, config.batch_size, epoch, step, epochs=1)
        return denoise.train_batches(self.data, plan)

    def test_batches(self) -> Iterable:
        """Returns the test images, one per batch."""
        return denoise.test_batches(self.data)

    def begin_epoch(self, epoch: int) -> None:
        """Makes the model end with the stage that this epoch trains alone. If it trains no stage alone, uses the whole model."""
        field, each = self.field, self.config.greedy_epochs
        stages = len(field.steps)
        stage = epoch // each if each else stages
        greedy = stage if stage < stages else None
        if field.greedy != greedy:
            field.end_with(greedy)
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)


@dataclass(frozen=True)
class Mapping(Task):
    """Maps functions x to functions y."""

    data: FunctionPairs

    examples = "pairs"
    trivial_loss = math.inf  # the scale of y is unknown to a network without normalisers, which may begin far from it

    def train_batches(self, epoch: int, step: int) -> Iterable:
        """Returns the training batches of an epoch, from `step` on."""
        plan = Plan(self.config.seed, self.data.counts[0], self.config.batch_size, epoch, step, epochs=1)
        return functions.train_batches(self.data, plan)

    def test_batches(self) -> Iterable:
        """Returns the test pairs in batches."""
        return functions.test_batches(self.data, self.config.batch_size)

    def draw(self, directory: Path) -> None:
        """Draws functions.png with the first test pairs."""
        plot_functions(self.model, self.data.test.x[:DRAWN], self.data.test.y[:DRAWN], directory / "functions.png")


TASKS = {"classifier": Classification, "denoiser": Denoising, "network of functions": Mapping}


def load_data(config: TrainConfig) -> Data:
    """Loads the data set of a configuration."""
    if TASKS[config.kind] is Mapping:
        return functions.load_pairs(config.dataset, grid=config.grid, pairs=config.pairs)
    if config.is_denoising:
        return denoise.load_images(config.dataset, sigma=config.sigma, patch_size=config.patch_size)
    reading = {"image_size": config.image_size, "on_corrupt": config.on_corrupt, "stream": config.stream}
    data = load(config.dataset, **reading, cropped=[channels for channels in (1, 3) if _crops(config, channels)])
    return data.hold_out(config.validation) if config.validation else data


def _crops(config: TrainConfig, channels: int) -> bool:
    """Returns whether a run crops images with this number of channels at random, each at another scale."""
    if config.augment is None:
        config = config.resolve(recipe(config.recipe or model_info(config.model).recipe), channels)
    return AUGMENTATIONS[config.augment].crop is not None


def task(config: TrainConfig, data: Data, model: keras.Model, share: Share = WHOLE) -> Task:
    """Returns the task of a run, given its data and its compiled model."""
    return TASKS[config.kind](config, data, model, share)
