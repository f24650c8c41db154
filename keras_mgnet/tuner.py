"""Hypermodels for KerasTuner: the families as search spaces, with a budget that no network exceeds."""

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

from keras_mgnet.description import count_params, level_table
from keras_mgnet.errors import check_known
from keras_mgnet.extras import TUNE, extra
from keras_mgnet.layers.transfers.stem import STEMS
from keras_mgnet.models.checks import positive_integer, positive_integers
from keras_mgnet.models.family import EITHER
from keras_mgnet.registry import create_model, families, model_info

if TYPE_CHECKING:
    import keras_tuner
else:
    keras_tuner = extra("keras_tuner", TUNE)

MOST_LEVELS, COARSEST = 4, 2  # grids, and pixels along the shorter side of the coarsest
GROWTHS = (1.0, 1.5, 2.0)  # ratio of the channels of a level to those of the level before
LEAST_SIZE = 1 / 16


class Cost(NamedTuple):
    """The cost of a network: trainable parameters, every shared tensor counted once, and multiply-adds per image."""

    params: int
    madds: int


class HyperNetwork(keras_tuner.HyperModel):
    """The family of a network as a search space, with a budget of parameters, multiply-adds or both.

    The search varies the number of levels, the number of iterations nu_l on level l, the growth of the channels from level to
    level, the options that the family declares for a search, the learning rate and the weight decay. The width, such as the
    number of channels on level 1, is not drawn. Instead each draw has a `size`, a fraction of the budget. A network gets the
    largest width within the fraction, or the least if none is. The search therefore never tries a network that exceeds the
    budget. The cost of a network is exact, and it is computed before the network is built, without allocating a variable.

    Args:
        model: a name of `list_models`. The search covers the family of this model. Arguments that the search does not vary, and
            the rest of the recipe, are those of this model.
        input_shape: (height, width, channels).
        classes: number of classes.
        max_params: largest number of trainable parameters, every shared tensor counted once; None for no bound.
        max_madds: largest number of multiply-adds of convolutions and classifier for one image; None for no bound.

    Raises:
        ValueError: if the family has no search space, or the budget is too small for the deepest network of the space.

    Example:
        >>> space = HyperNetwork("resnet20", (8, 8, 1), 10, max_params=5000)
        >>> model = space.build(keras_tuner.HyperParameters())
        >>> count_params(model) <= 5000
        True
    """

    def __init__(
        self,
        model: str,
        input_shape: Sequence[int],
        classes: int,
        *,
        max_params: int | None = 1_000_000,
        max_madds: int | None = None,
    ) -> None:
        super().__init__()
        row = model_info(model)
        spaces = {name: family.family.space for name, family in families().items() if family.family.space}
        check_known("family with a search space", row.family, spaces)
        self.model, self.space = model, spaces[row.family]
        self.input_shape = positive_integers("input_shape", input_shape)
        self.classes = positive_integer("classes", classes)
        bounds = {"max_params": max_params, "max_madds": max_madds}
        self.budget = {name: positive_integer(name, bound) for name, bound in bounds.items() if bound is not None}
        if not self.budget:
            raise ValueError("expected max_params, max_madds or both. Received: neither")
        finest = min(self.input_shape[:2]) // STEMS[row.kwargs["stem"]].reduction
        self.most_levels = max(1, min(MOST_LEVELS, (finest // COARSEST).bit_length()))
        self._check_budget()

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the compiled network that `hp` describes."""
        network = create_model(self.model, **self.arguments(hp), **self._images)
        rates = {name: hp[name] for name in ("learning_rate", "weight_decay")}
        network.compile(replace(network.recipe, **rates).optimizer(), network.loss, metrics=["accuracy"])
        network.optimizer.build(network.trainable_variables)  # because KerasTuner loads its state with the weights
        return network

    def arguments(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Returns the arguments of `create_model` for `hp`, except `input_shape` and `classes`.

        Example:
            >>> space = HyperNetwork("mgnet_2222_c64_shared_b", (8, 8, 1), 10, max_params=5000)
            >>> space.arguments(keras_tuner.HyperParameters())["channels"]
            (2, 4, 8)
        """
        chosen, growths = self.declare(hp)
        # Every family has a 3x3 convolution from `width` to `width` channels, so at least 9 width^2 parameters.
        widest = math.isqrt(min(self.budget.values()) // 9) + 1
        width = bisect.bisect_right(
            range(1, widest + 1), hp["size"], key=lambda width: self._load(chosen | self._width(width, growths))
        )
        return chosen | self._width(max(1, width), growths)

    def declare(self, hp: keras_tuner.HyperParameters) -> tuple[dict[str, Any], list[float]]:
        """Draws everything except the width. Returns the drawn arguments, and the growth of the channels from level to level."""
        space, chosen, growths = self.space, {}, []
        if space.has_levels:
            levels = hp.Int("levels", 1, self.most_levels, default=self.most_levels)
            nu = []
            for level in range(1, self.most_levels + 1):
                with hp.conditional_scope("levels", list(range(level, self.most_levels + 1))):
                    if space.iterations:
                        nu.append(hp.Int(f"nu_{level}", *space.nu, default=min(2, space.nu[1])))
                    if space.width == "channels" and level > 1:
                        growths.append(hp.Choice(f"growth_{level}", list(GROWTHS), default=GROWTHS[-1]))
            if space.iterations:
                chosen[space.iterations] = tuple(nu[:levels])
            growths = growths[: levels - 1]
        for name, values in space.choices.items():
            either = values == EITHER  # KerasTuner turns a choice of booleans into integers
            chosen[name] = hp.Boolean(name, default=values[0]) if either else hp.Choice(name, list(values))
        hp.Float("size", LEAST_SIZE, 1.0, sampling="log", default=1.0)
        hp.Float("learning_rate", 0.01, 0.3, sampling="log", default=0.1)
        hp.Float("weight_decay", 1e-5, 1e-3, sampling="log", default=1e-4)
        return chosen, growths

    def cost(self, arguments: dict[str, Any]) -> Cost:
        """Returns the exact cost of a network. The network is traced without its classifier and without allocating variables.

        Example:
            >>> space = HyperNetwork("mgnet_2222_c64_shared_b", (32, 32, 3), 10)
            >>> space.cost({})
            Cost(params=521418, madds=226493056)
        """
        with keras.StatelessScope(initialize_variables=False):
            network = self._trunk(arguments)
            return Cost(self._params(network), self._madds(network))

    @property
    def _images(self) -> dict[str, Any]:
        return {"input_shape": self.input_shape, "classes": self.classes}

    def _width(self, width: int, growths: list[float]) -> dict[str, Any]:
        unit = self.space.multiple
        if self.space.width != "channels":
            return {self.space.width: unit * width}
        factors = itertools.accumulate([1.0, *growths], lambda product, growth: product * growth)
        return {"channels": tuple(unit * round(width * factor) for factor in factors)}

    def _trunk(self, arguments: dict[str, Any]) -> keras.Model:
        return create_model(self.model, **arguments, **self._images, include_top=False, pooling=None)

    def _params(self, trunk: keras.Model) -> int:
        return count_params(trunk) + (trunk.output_shape[-1] + 1) * self.classes

    def _madds(self, trunk: keras.Model) -> int:
        return sum(row.multiply_adds or 0 for row in level_table(trunk)) + trunk.output_shape[-1] * self.classes

    def _load(self, arguments: dict[str, Any]) -> float:
        """Returns the fraction of the budget that a network takes. A value above 1 exceeds the budget."""
        measures = {"max_params": self._params, "max_madds": self._madds}
        with keras.StatelessScope(initialize_variables=False):
            trunk = self._trunk(arguments)
            return max(measures[name](trunk) / bound for name, bound in self.budget.items())

    def _check_budget(self) -> None:
        space = self.space
        deepest = {name: values[-1] for name, values in space.choices.items()}
        if space.iterations:
            deepest[space.iterations] = (space.nu[1],) * self.most_levels
        needed = self.cost(deepest | self._width(1, [GROWTHS[-1]] * (self.most_levels - 1)))
        for name, bound in self.budget.items():
            least = getattr(needed, name.removeprefix("max_"))
            if least > bound:
                raise ValueError(
                    f"expected {name} >= {least} for the deepest network of this space. Received: {name}={bound}"
                )


class HyperMgNet(HyperNetwork):
    """MgNet, He2019 (3.4), as a search space. The arguments are those of `HyperNetwork`.

    The search varies the number of levels, the iterations and channels of each level, whether A and B are shared, the smoother,
    the learning rate and the weight decay.

    Example:
        >>> hp = keras_tuner.HyperParameters()
        >>> model = HyperMgNet((8, 8, 1), 10, max_params=20_000).build(hp)
        >>> hp.values["levels"], model.output_shape
        (3, (None, 10))
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int,
        *,
        max_params: int | None = 1_000_000,
        max_madds: int | None = None,
    ) -> None:
        super().__init__("mgnet_2222_c64_shared_b", input_shape, classes, max_params=max_params, max_madds=max_madds)
