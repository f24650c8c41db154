"""Training recipes of the papers, as data."""

from dataclasses import dataclass

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.optimizers import SGD, Adam


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: by SGD with momentum and coupled weight decay, or Adam, at a learning rate that falls over the run.

    Attributes:
        epochs: length of the run.
        batch_size: global batch.
        learning_rate: at its height.
        weight_decay: wd of g <- g + wd w.
        milestones: epochs (from 0) at whose start a "step" schedule divides the rate by 10.
        source: where it is published.
        momentum, nesterov: of SGD; the momentum of Adam is its beta_1.
        schedule: "step", "cosine" (half a period over the run, step by step) or "constant".
        warmup_epochs: over which the rate rises linearly from 0.
        decayed: what decays, "all" trainable variables or "kernels" (see `optimizers.SGD`).
        augment: of colour images, a key of `keras_mgnet.training.views.AUGMENTATIONS`. The crops of several scales that
            sources take from ImageNet are not among them.
        label_smoothing: share of a label that is spread over all classes.
        ema: momentum of the average of the weights that is evaluated; 0 for none.
        rule: "sgd" or "adam", which knows neither weight decay nor averages.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    milestones: tuple[int, ...]
    source: str
    momentum: float = 0.9
    nesterov: bool = False
    schedule: str = "step"
    warmup_epochs: float = 0.0
    decayed: str = "all"
    augment: str = "crop_flip"
    label_smoothing: float = 0.0
    ema: float = 0.0
    rule: str = "sgd"

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Returns the optimiser at the starting rate, which a model is compiled with."""
        return self.optimizer_at(self.learning_rate, self.momentum, self.weight_decay, self.ema)

    def optimizer_at(self, rate, momentum: float, weight_decay: float, ema: float) -> keras.optimizers.Optimizer:
        """Returns the optimiser with other numbers; the rate may be a schedule."""
        if self.rule == "adam":
            if weight_decay or ema:
                raise ValueError(f"expected weight_decay=0 and ema=0 with Adam. Received: {weight_decay}, {ema}")
            return Adam(rate, beta_1=momentum)
        return SGD(rate, momentum, self.nesterov, weight_decay, self.decayed, ema)


def _he2019(epochs: int, batch_size: int, weight_decay: float, drop_every: int, augment: str = "crop_flip") -> Recipe:
    milestones = tuple(range(drop_every, epochs, drop_every))
    return Recipe(epochs, batch_size, 0.1, weight_decay, milestones, "He2019, section 5.1", augment=augment)


def _lu2018(epochs: int, *milestones: int, weight_decay: float = 1e-4, batch_size: int = 128) -> Recipe:
    return Recipe(epochs, batch_size, 0.1, weight_decay, milestones, "Lu2018, implementation details")


# Milestones are where the source's code changes the rate: one that counts epochs from 1 and compares with 50 does so at 49.
RECIPES = {
    "xuteam": Recipe(300, 128, 0.1, 5e-4, tuple(range(49, 300, 50)), "XuTeam/MgNet_Code train_mgnet.py"),
    "kaust": Recipe(120, 128, 0.1, 5e-4, (30, 60, 90), "KAUST lecture MG_MgNet"),
    "he2019_mnist": _he2019(60, 128, 1e-4, 30, augment="none"),
    "he2019_resnet18": _he2019(120, 128, 1e-4, 30),
    "he2019_resnet34": _he2019(120, 128, 1e-3, 30),
    "he2019_imagenet": _he2019(120, 256, 1e-4, 40),
    "lu2018_cifar10": _lu2018(160, 80, 120),
    "lu2018_cifar100": _lu2018(300, 150, 225),
    "lu2018_resnext": _lu2018(300, 150, 225, weight_decay=5e-4),
    "lu2018_imagenet": _lu2018(90, 30, 60, batch_size=256),
    "densenet": Recipe(300, 64, 0.1, 1e-4, (150, 225), "liuzhuang13/DenseNet README", nesterov=True),
    "densenet_imagenet": Recipe(90, 256, 0.1, 1e-4, (30, 60), "liuzhuang13/DenseNet README", nesterov=True),
    "resnext": Recipe(300, 128, 0.1, 5e-4, (147, 222), "facebookresearch/ResNeXt train.lua", nesterov=True),
    "highway": Recipe(160, 128, 0.03, 1e-4, (80, 120), "this package; the published rate was not found"),
    "stochastic_depth": Recipe(
        500, 128, 0.1, 1e-4, (249, 374), "yueatsprograms/Stochastic_Depth main.lua", nesterov=True
    ),
    "shake_shake": Recipe(
        1800, 128, 0.2, 1e-4, (), "xgastaldi/shake-shake train.lua", nesterov=True, schedule="cosine"
    ),
    "revnet": Recipe(
        160, 100, 0.1, 2e-4, (80, 120), "renmengye/revnet-public cifar_configs.py, resnet_model.py", decayed="kernels"
    ),
    "poly_mgnet": Recipe(
        400,
        128,
        0.1,
        1e-4,
        (),
        "vanbetteray/Poly-MgNet base/trainer.py, whose cosine falls by epoch",
        schedule="cosine",
    ),
    "larsson2017": Recipe(400, 100, 0.02, 0.0, (200, 300, 350, 375), "FractalNet, section 4"),
    "tnrd": Recipe(
        40,
        8,
        0.01,
        0.0,
        (),
        "this package: Adam; the paper has L-BFGS over all images at once",
        schedule="cosine",
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
        schedule="cosine",
        warmup_epochs=5.0,
        decayed="kernels",
        augment="rand_augment_cut_mix",
        label_smoothing=0.1,
        ema=0.999,
    ),
}


def recipe(name: str) -> Recipe:
    """Returns the recipe of a key of `RECIPES`.

    Example:
        >>> recipe("xuteam").weight_decay
        0.0005
    """
    check_known("recipe", name, RECIPES)
    return RECIPES[name]
