"""The training recipes of the papers, as data."""

from dataclasses import dataclass, replace

import keras
from keras import layers
from keras.optimizers.schedules import LearningRateSchedule

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.errors import check_known
from keras_mgnet.optimizers import SGD, Adam
from keras_mgnet.schedules import schedule

SHORT = 50  # epochs; in a run of at most this length, `Recipe.scaled` replaces a step curve by a cosine


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run: the optimiser, the learning rate over the run, and the augmentation.

    The optimiser is Adam, or SGD with momentum and coupled weight decay (`optimizers.SGD`).

    Attributes:
        epochs: length of the run.
        batch_size: images per step, on all devices together.
        learning_rate: the highest learning rate.
        weight_decay: the factor wd of coupled weight decay, g <- g + wd w for a gradient g and a weight w.
        milestones: for a "step" curve. The rate is divided by 10 at the start of each of these epochs, counted from 0.
        source: the publication or code of the recipe.
        momentum, nesterov: arguments of SGD. Adam uses the momentum as beta_1 and ignores nesterov.
        curve: curve of the learning rate: "step", "cosine" (half a period over the run, step by step), "constant", "triangular"
            (`schedules.Triangular`) or "one_cycle" (`schedules.OneCycle`).
        warmup_epochs: epochs over which the rate rises linearly, from a fifth for a triangular curve, else from 0. With
            "one_cycle" the rise is half a period of a cosine, from half of the rate.
        decayed: the variables with weight decay, "all" trainable variables or "kernels" only (see `optimizers.SGD`).
        augment: augmentation of colour images, a key of `AUGMENTATIONS`.
        label_smoothing: share of a label that is spread over all classes.
        ema: momentum of an average of the weights; 0 for no average. A run with an average evaluates and saves the averaged
            weights.
        rule: "sgd" or "adam". Adam has neither weight decay nor averages.
        beta_rate: factor on the learning rate of beta, the shift of a norm (see `optimizers.SGD`).
        kernel_rate: factor on the learning rate of kernels that take orthogonal steps (see `optimizers.SGD`); None for plain SGD.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    milestones: tuple[int, ...]
    source: str
    momentum: float = 0.9
    nesterov: bool = False
    curve: str = "step"
    warmup_epochs: float = 0.0
    decayed: str = "all"
    augment: str = "crop_flip"
    label_smoothing: float = 0.0
    ema: float = 0.0
    rule: str = "sgd"
    beta_rate: float = 1.0
    kernel_rate: float | None = None

    def scaled(self, epochs: int | None = None) -> "Recipe":
        """Returns the recipe for another number of epochs. Milestones and warm-up keep their share of the run.

        If the new run has at most 50 epochs, a cosine replaces a step curve. In a short run the steps would come too close
        together.

        Example:
            >>> recipe("kaust").scaled(60).milestones, recipe("kaust").scaled(12).curve
            ((15, 30, 45), 'cosine')
        """
        if epochs in (None, self.epochs):
            return self
        if epochs < 1:
            raise ValueError(f"expected epochs >= 1. Received: epochs={epochs!r}")
        share = epochs / self.epochs
        return replace(
            self,
            epochs=epochs,
            milestones=tuple(sorted({round(milestone * epochs / self.epochs) for milestone in self.milestones} - {0})),
            curve="cosine" if self.curve == "step" and epochs <= SHORT else self.curve,
            warmup_epochs=self.warmup_epochs * share,
        )

    def schedule(self, steps_per_epoch: int, epochs: int | None = None) -> LearningRateSchedule:
        """Returns the learning rate over the steps of a run. Pass the result to an optimiser as `learning_rate`.

        Args:
            steps_per_epoch: batches per epoch, including a last partial one.
            epochs: number of epochs, see `scaled`; None for the number in the recipe.

        Example:
            >>> rate = recipe("lu2018_cifar10").schedule(steps_per_epoch=391)
            >>> [round(float(rate(epoch * 391)), 6) for epoch in (0, 80, 120)]
            [0.1, 0.01, 0.001]
        """
        if steps_per_epoch < 1:
            raise ValueError(f"expected steps_per_epoch >= 1. Received: steps_per_epoch={steps_per_epoch!r}")
        run = self.scaled(epochs)
        divisions = [milestone * steps_per_epoch for milestone in run.milestones]
        warmup = round(run.warmup_epochs * steps_per_epoch)
        return schedule(run.curve, run.learning_rate, run.epochs * steps_per_epoch, divisions, warmup)

    def optimizer(
        self, rate: float | LearningRateSchedule | None = None, clip_norm: float | None = None, accumulate: int = 1
    ) -> keras.optimizers.Optimizer:
        """Returns the optimiser.

        Args:
            rate: a learning rate or a schedule; None for the constant `learning_rate` of the recipe.
            clip_norm: largest norm of the gradient of all weights together; a larger gradient is scaled down. None for no limit.
            accumulate: number of steps whose mean gradient makes one update of the weights.
        """
        rate = self.learning_rate if rate is None else rate
        accumulated = accumulate if accumulate > 1 else None
        if self.rule == "adam":
            if self.weight_decay or self.ema:
                raise ValueError(
                    "expected weight_decay=0 and ema=0 with Adam. "
                    f"Received: weight_decay={self.weight_decay}, ema={self.ema}"
                )
            return Adam(rate, beta_1=self.momentum, global_clipnorm=clip_norm, gradient_accumulation_steps=accumulated)
        return SGD(
            rate,
            self.momentum,
            self.nesterov,
            self.weight_decay,
            self.decayed,
            self.ema,
            beta_rate=self.beta_rate,
            kernel_rate=self.kernel_rate,
            global_clipnorm=clip_norm,
            gradient_accumulation_steps=accumulated,
        )

    def augmentation(self, image_shape: tuple[int, int, int]) -> layers.Pipeline:
        """Returns a Keras layer with the random crops and flips of the recipe. Each image of a batch is changed differently.

        Apply the layer to raw pixels, before normalisation, because the layer fills the frame around an image with zeros. You can
        also use the layer in `tf.data.Dataset.map`. Grey images stay unchanged.

        Args:
            image_shape: (height, width, channels).

        Raises:
            ValueError: if the recipe has RandAugment, CutMix, Cutout, flips that alternate or crops of another scale. Only
                `keras-mgnet train` and `train` apply these.

        Example:
            >>> augment = recipe("xuteam").augmentation((32, 32, 3))
            >>> tuple(augment(keras.ops.ones((8, 32, 32, 3)), training=True).shape)
            (8, 32, 32, 3)
        """
        height, width, channels = image_shape
        form = AUGMENTATIONS["none" if channels == 1 else self.augment]
        if form.mixes or form.alternate or form.crop:
            expected = "a recipe with flips and crops of one scale only"
            raise ValueError(f"expected {expected}. Received: augment={self.augment!r}")
        chosen = [layers.Rescaling(1.0)]  # to float32
        if form.pad:  # drawn in -pad - 1/2 .. pad + 1/2 pixels and rounded, which equals a crop in a frame of width pad
            reach = form.pad + 0.5
            options = {"fill_mode": "constant", "fill_value": 0.0, "interpolation": "nearest"}
            chosen.append(layers.RandomTranslation(reach / height, reach / width, **options))
        if form.flip:
            chosen.append(layers.RandomFlip("horizontal"))
        return layers.Pipeline(chosen)


def _he2019(
    epochs: int, batch_size: int, weight_decay: float, drop_every: int, augment: str = "crop_flip", where: str = ""
) -> Recipe:
    milestones = tuple(range(drop_every, epochs, drop_every))
    return Recipe(epochs, batch_size, 0.1, weight_decay, milestones, f"He2019, section 5.1{where}", augment=augment)


def _lu2018(epochs: int, *milestones: int, weight_decay: float = 1e-4) -> Recipe:
    return Recipe(epochs, 128, 0.1, weight_decay, milestones, "Lu2018, implementation details")


# Milestones count epochs from 0. If the code of a source counts from 1 and divides the rate at 50, the milestone is 49.
RECIPES = {
    "xuteam": Recipe(300, 128, 0.1, 5e-4, tuple(range(49, 300, 50)), "XuTeam/MgNet_Code train_mgnet.py"),
    "kaust": Recipe(120, 128, 0.1, 5e-4, (30, 60, 90), "KAUST lecture MG_MgNet"),
    "he2019_mnist": _he2019(60, 128, 1e-4, 30, augment="none"),
    "he2019_resnet18": _he2019(120, 128, 1e-4, 30),
    "he2019_resnet34": _he2019(120, 128, 1e-3, 30),
    "he2019_imagenet": _he2019(*(120, 256, 1e-4, 40, "scale_flip", "; augmentation: ResNet, which it cites")),
    "lu2018_cifar10": _lu2018(160, 80, 120),
    "lu2018_cifar100": _lu2018(300, 150, 225),
    "lu2018_resnext": _lu2018(300, 150, 225, weight_decay=5e-4),
    "lu2018_imagenet": Recipe(
        *(90, 256, 0.1, 1e-4, (30, 60)),
        "Lu2018, implementation details: batch, decay, momentum, augmentation; this package: rate, epochs and their steps",
        augment="scale_aspect_flip",
    ),
    "densenet": Recipe(300, 64, 0.1, 1e-4, (150, 225), "liuzhuang13/DenseNet README", nesterov=True),
    "densenet_imagenet": Recipe(
        *(90, 256, 0.1, 1e-4, (30, 60)),
        "liuzhuang13/DenseNet README; augmentation: fb.resnet.torch, without its changes of colour",
        nesterov=True,
        augment="scale_aspect_flip",
    ),
    "resnext": Recipe(300, 128, 0.1, 5e-4, (147, 222), "facebookresearch/ResNeXt train.lua", nesterov=True),
    "highway": Recipe(160, 128, 0.03, 1e-4, (80, 120), "this package; the published rate was not found"),
    "stochastic_depth": Recipe(
        *(500, 128, 0.1, 1e-4, (249, 374)),
        "yueatsprograms/Stochastic_Depth main.lua; the text of Lu2018: after epochs 250 and 375, momentum 0.9",
        nesterov=True,
    ),
    "shake_shake": Recipe(1800, 128, 0.2, 1e-4, (), "xgastaldi/shake-shake train.lua", nesterov=True, curve="cosine"),
    "revnet": Recipe(
        160, 100, 0.1, 2e-4, (80, 120), "renmengye/revnet-public cifar_configs.py, resnet_model.py", decayed="kernels"
    ),
    "poly_mgnet": Recipe(
        400, 128, 0.1, 1e-4, (), "vanbetteray/Poly-MgNet base/trainer.py, whose cosine falls by epoch", curve="cosine"
    ),
    "larsson2017": Recipe(400, 100, 0.02, 0.0, (200, 300, 350, 375), "FractalNet, section 4"),
    "tnrd": Recipe(
        40,
        8,
        0.01,
        0.0,
        (),
        "this package: Adam; the paper has L-BFGS over all images at once",
        curve="cosine",
        augment="none",
        rule="adam",
    ),
    "mgno": Recipe(
        500,
        8,
        5e-4,
        0.0,
        (),
        "xlliu2017/MgNO, without its weight decay and its cycle of beta_1; its rate changes once an epoch",
        curve="one_cycle",
        warmup_epochs=100.0,
        augment="none",
        rule="adam",
    ),
    "modern": Recipe(
        200,
        128,
        0.1,
        5e-4,
        (),
        "this package: cosine, warm-up, label smoothing, averaged weights, RandAugment and CutMix",
        nesterov=True,
        curve="cosine",
        warmup_epochs=5.0,
        decayed="kernels",
        augment="rand_augment_cut_mix",
        label_smoothing=0.1,
        ema=0.999,
    ),
    "fast": Recipe(
        16,
        500,
        0.75,
        1.3e-3,
        (),
        "this package, after KellerJordan/cifar10-airbench",
        momentum=0.85,
        nesterov=True,
        curve="triangular",
        warmup_epochs=4.0,
        augment="shift_flip",
        label_smoothing=0.2,
        beta_rate=16.0,
        kernel_rate=0.2,
    ),
}


def recipe(name: str) -> Recipe:
    """Returns the recipe with a given name, a key of `RECIPES`.

    Example:
        >>> recipe("xuteam").weight_decay
        0.0005
    """
    check_known("recipe", name, RECIPES)
    return RECIPES[name]
