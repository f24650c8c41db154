"""Training recipes of the papers, as data."""

from dataclasses import dataclass

from keras_mgnet.errors import unknown
from keras_mgnet.optimizers import SGD


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: SGD with momentum and coupled weight decay, and a learning rate that falls by epoch.

    Attributes:
        epochs: length of the run.
        batch_size: global batch.
        learning_rate: at the start.
        weight_decay: wd of g <- g + wd w.
        milestones: epochs (from 0) at whose start the rate is divided by 10.
        source: where it is published.
        momentum, nesterov: of SGD.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    milestones: tuple[int, ...]
    source: str
    momentum: float = 0.9
    nesterov: bool = False

    def optimizer(self) -> SGD:
        """Returns the optimiser at the starting rate, which a model is compiled with."""
        return SGD(self.learning_rate, self.momentum, self.nesterov, self.weight_decay)


def _he2019(epochs: int, batch_size: int, weight_decay: float, drop_every: int) -> Recipe:
    milestones = tuple(range(drop_every, epochs, drop_every))
    return Recipe(epochs, batch_size, 0.1, weight_decay, milestones, "He2019, section 5.1")


def _lu2018(epochs: int, *milestones: int, weight_decay: float = 1e-4, batch_size: int = 128) -> Recipe:
    return Recipe(epochs, batch_size, 0.1, weight_decay, milestones, "Lu2018, implementation details")


RECIPES = {
    "xuteam": Recipe(300, 128, 0.1, 5e-4, (49, 99, 149, 199, 249), "XuTeam/MgNet_Code train_mgnet.py"),
    "kaust": Recipe(120, 128, 0.1, 5e-4, (30, 60, 90), "KAUST lecture MG_MgNet"),
    "he2019_mnist": _he2019(60, 128, 1e-4, 30),
    "he2019_resnet18": _he2019(120, 128, 1e-4, 30),
    "he2019_resnet34": _he2019(120, 128, 1e-3, 30),
    "he2019_imagenet": _he2019(120, 256, 1e-4, 40),
    "lu2018_cifar10": _lu2018(160, 80, 120),
    "lu2018_cifar100": _lu2018(300, 150, 225),
    "lu2018_resnext": _lu2018(300, 150, 225, weight_decay=5e-4),
    "lu2018_imagenet": _lu2018(90, 30, 60, batch_size=256),
    "densenet": Recipe(300, 64, 0.1, 1e-4, (150, 225), "liuzhuang13/DenseNet README", nesterov=True),
    "densenet_imagenet": Recipe(90, 256, 0.1, 1e-4, (30, 60), "liuzhuang13/DenseNet README", nesterov=True),
    "highway": Recipe(160, 128, 0.03, 1e-4, (80, 120), "this package; the published rate was not found"),
    "stochastic_depth": Recipe(500, 128, 0.1, 1e-4, (250, 375), "yueatsprograms/Stochastic_Depth main.lua"),
    "shake_shake": Recipe(1800, 128, 0.2, 1e-4, (), "xgastaldi/shake-shake, with the cosine schedule"),
    "revnet": Recipe(160, 100, 0.1, 2e-4, (80, 120), "renmengye/revnet-public cifar_configs.py"),
    "poly_mgnet": Recipe(400, 128, 0.1, 1e-4, (), "vanbetteray/Poly-MgNet base/trainer.py, with the cosine schedule"),
    "larsson2017": Recipe(400, 100, 0.02, 0.0, (200, 300, 350, 375), "FractalNet, section 4"),
}


def recipe(name: str) -> Recipe:
    """Returns the recipe of a key of `RECIPES`.

    Example:
        >>> recipe("xuteam").weight_decay
        0.0005
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
