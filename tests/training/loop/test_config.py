"""The configuration of a run: options before the recipe, and what is refused."""

import pytest

from keras_mgnet.recipes import RECIPES
from keras_mgnet.training.loop.config import TrainConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "modren"}, "unknown recipe 'modren'; did you mean 'modern'"),
        ({"label_smoothing": 1.0}, r"expected label_smoothing < 1\. Received: label_smoothing=1\.0"),
        ({"ema": -0.1}, r"expected ema >= 0\. Received: ema=-0\.1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"validation": 0.0}, r"expected validation > 0\. Received: validation=0\.0"),
        ({"validation": 0.6}, r"expected validation <= 0\.5\. Received: validation=0\.6"),
        (
            {"dataset": "denoise:x", "validation": 0.1},
            r"expected no validation with denoise:DIR\. Received: validation=0\.1",
        ),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"dataset": "digits"} | options)


def test_a_warm_up_may_take_the_whole_run():
    config = TrainConfig("digits", epochs=2, warmup_epochs=2.0)
    assert config.resolve(RECIPES["modern"], channels=3).warmup_epochs == 2.0


def test_an_option_comes_before_the_recipe():
    config = TrainConfig(
        "digits", schedule="constant", warmup_epochs=1.0, ema=0.0, augment="shift", label_smoothing=0.0
    )
    resolved = config.resolve(RECIPES["modern"], channels=3)
    assert (resolved.schedule, resolved.warmup_epochs, resolved.ema, resolved.augment) == (
        "constant",
        1.0,
        0.0,
        "shift",
    )
