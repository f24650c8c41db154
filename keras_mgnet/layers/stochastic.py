"""Stochastic depth: drops iterations at random in training."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.serialization import serializable

SCHEDULES = ("huang", "lm_release")


def survival_probabilities(blocks: int, survival: float, schedule: str = "huang") -> tuple[float, ...]:
    """Returns the survival probabilities p_1, ..., p_L of L = `blocks` blocks. They fall linearly to p_L = `survival`.

    - "huang": p_l = 1 - (l / L)(1 - p_L) (Huang et al. 2016; Lu2017).
    - "lm_release": p_l = 1 - ((l - 1) / (L - 1))(1 - p_L), as in the released code of LM-ResNet. p_1 = 1, so the first block
      never drops.

    Example:
        >>> round(sum(survival_probabilities(54, 0.5)), 9)
        40.25
    """
    check_known("survival schedule", schedule, SCHEDULES)
    fractions = [block / blocks for block in range(1, blocks + 1)]
    if schedule == "lm_release":
        fractions = [block / max(blocks - 1, 1) for block in range(blocks)]
    return tuple(1 - fraction * (1 - survival) for fraction in fractions)


@serializable
class StochasticDepth(keras.layers.Layer):
    """Keeps or drops the output f of a branch at random in training, one draw per batch (Huang et al. 2016).

    In training f -> eta f with eta ~ Bernoulli(p). In inference f -> p f, the expectation. With `inverted`, f -> eta f / p in
    training and f -> f in inference (the released code of LM-ResNet).

    Args:
        survival: p for each branch. The argument i of the call is the index of the branch.
        inverted: whether to scale by 1 / p in training instead of by p in inference.
        seed: seed of the random draws; None for a random seed.

    Example:
        >>> StochasticDepth((0.5,))(ops.ones((1, 1, 1, 2))).numpy().tolist()
        [[[[0.5, 0.5]]]]
    """

    def __init__(
        self,
        survival: Sequence[float],
        *,
        inverted: bool = False,
        seed: int | None = None,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.survival, self.inverted = tuple(survival), inverted
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def call(self, f: Tensor, i: int = 0, training: bool | None = None) -> Tensor:
        p = self.survival[i]
        if not training:
            return f if self.inverted else p * f
        survives = keras.random.uniform((), seed=self.seed_generator) < p
        return ops.where(survives, f / p if self.inverted and p else f, ops.zeros_like(f))
