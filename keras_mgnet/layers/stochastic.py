"""Randomness of training: branches that drop out, branches that are mixed by chance."""

import keras
from keras import ops

from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.serialization import serializable

SCHEDULES = ("huang", "lm_release")
SHAKES = ("image", "batch")


def survival_probabilities(blocks: int, survival: float, schedule: str = "huang") -> tuple[float, ...]:
    """Returns p_1, ..., p_L: the probability that a block survives falls linearly with its depth to p_L = `survival`.

    "huang": p_l = 1 - (l / L)(1 - p_L), l = 1..L (Huang et al. 2016; Lu2017). "lm_release": p_l = 1 - (l / (L - 1))(1 - p_L),
    l = 0..L-1, as the released code of LM-ResNet has it; the first block never drops.

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
    """A branch survives a training step with probability p: f -> eta f, eta ~ Bernoulli(p), one eta for the whole batch.

    In inference f -> p f, the expectation (Huang et al. 2016). With `inverted` training divides by p and inference does nothing
    (the released code of LM-ResNet).

    Args:
        survival: p of every branch it serves.
        inverted: where the scaling happens.
        seed: of the draws; None for a random one.

    Example:
        >>> StochasticDepth((0.5,))(ops.ones((1, 1, 1, 2))).numpy().tolist()
        [[[[0.5, 0.5]]]]
    """

    def __init__(self, survival, *, inverted=False, seed=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.survival, self.inverted = tuple(survival), inverted
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, f, i=0, training=None):
        p = self.survival[i]
        if not training:
            return f if self.inverted else p * f
        survives = keras.random.uniform((), seed=self.seed_generator) < p
        return ops.where(survives, f / p if self.inverted and p else f, ops.zeros_like(f))


@serializable
class Shake(keras.layers.Layer):
    """Shake-shake of two branches: eta f_1(x) + (1 - eta) f_2(x), eta ~ U(0, 1); its gradient takes an independent eta'.

    In inference (f_1 + f_2) / 2, the expectation (Gastaldi 2017; Lu2018 section 3).

    Args:
        f1, f2: the branches, called as f(x, i=i), with `uses`.
        mode: one eta per "image" or per "batch".
        seed: of the draws; None for a random one.

    Example:
        >>> from keras_mgnet.layers import basic
        >>> tuple(Shake(basic(4), basic(4))(ops.ones((1, 8, 8, 4))).shape)
        (1, 8, 8, 4)
    """

    def __init__(self, f1, f2, *, mode="image", seed=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        check_known("shake mode", mode, SHAKES)
        self.f1, self.f2, self.mode = f1, f2, mode
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def uses(self) -> int:
        """How many iterations it serves."""
        return self.f1.uses

    def build(self, input_shape):
        self.f1.build(input_shape)
        self.f2.build(input_shape)

    def compute_output_shape(self, input_shape):
        return self.f1.compute_output_shape(input_shape)

    def call(self, x, i=0, training=None):
        f1, f2 = self.f1(x, i=i), self.f2(x, i=i)
        if not training:
            return steps.mix(f1, f2, 0.5)
        shape = (ops.shape(x)[0], 1, 1, 1) if self.mode == "image" else ()
        forward, backward = (
            ops.cast(keras.random.uniform(shape, seed=self.seed_generator), f1.dtype) for _ in range(2)
        )
        return _shake(f1, f2, forward, backward)


def _shake(f1, f2, forward, backward):
    @ops.custom_gradient  # not on every backend, so not before it is needed
    def shake(f1, f2, forward, backward):
        def gradient(*arguments, upstream=None):
            (upstream,) = arguments if upstream is None else (upstream,)
            return backward * upstream, (1 - backward) * upstream, ops.zeros_like(forward), ops.zeros_like(backward)

        return steps.mix(f1, f2, forward), gradient

    return shake(f1, f2, forward, backward)
