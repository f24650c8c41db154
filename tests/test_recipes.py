"""Recipes against the code of their sources."""

import math

import pytest

from keras_mgnet.recipes import RECIPES
from support.compiled import STEPS, prepared


def every(epochs):
    return lambda epoch, step: 0.1 ** (epoch // epochs)


def at(*milestones):
    return lambda epoch, step: 0.1 ** sum(epoch >= milestone for milestone in milestones)


def triangle(epochs, peak):
    def share(epoch, step):
        passed = (epoch * STEPS + step) / (epochs * STEPS)
        return 0.2 + 0.8 * passed / peak if passed < peak else (1 - passed) / (1 - peak)

    return share


def one_cycle(epochs, peak):
    """The rate over that of the beginning, which is half of the highest one."""

    def share(epoch, step):
        now, top, end = epoch * STEPS + step, peak * STEPS, epochs * STEPS - 1
        rise = 0.75 - 0.25 * math.cos(math.pi * now / top)
        fall = (1 + 1 / 200) / 2 + (1 - 1 / 200) / 2 * math.cos(math.pi * (now - top) / (end - top))
        return rise if now < top else fall

    return share


def cosine(epochs):
    return lambda epoch, step: 0.5 * (1 + math.cos(math.pi * (epoch * STEPS + step) / (epochs * STEPS)))


# The rate over that of the beginning, as a function of epoch and step from 0, written as the source has it.
SOURCES = {
    "xuteam": lambda epoch, step: 0.1 ** ((epoch + 1) // 50),  # adjust_learning_rate, with epochs from 1
    "kaust": every(30),
    "he2019_mnist": every(30),
    "he2019_resnet18": every(30),
    "he2019_resnet34": every(30),
    "he2019_imagenet": every(40),
    "lu2018_cifar10": at(80, 120),
    "lu2018_cifar100": at(150, 225),
    "lu2018_resnext": at(150, 225),
    "lu2018_imagenet": every(30),
    "densenet": at(150, 225),
    "densenet_imagenet": every(30),
    "resnext": lambda epoch, step: 0.1 ** (((epoch + 1) / 300 > 0.49) + ((epoch + 1) / 300 > 0.74)),
    "highway": at(80, 120),
    "stochastic_depth": lambda epoch, step: 0.1 ** ((epoch + 1 >= 250) + (epoch + 1 >= 375)),
    "shake_shake": cosine(1800),
    "revnet": lambda epoch, step: 0.1 ** ((epoch * 500 >= 40_000) + (epoch * 500 >= 60_000)),  # 500 steps an epoch
    "poly_mgnet": cosine(400),
    "tnrd": cosine(40),
    "larsson2017": at(200, 300, 350, 375),  # whenever half of the epochs that are left have passed
    "mgno": one_cycle(500, peak=100),  # of a schedule that changes the rate once an epoch
    "fast": triangle(16, peak=4 / 16),
    "modern": lambda epoch, step: min(1, (epoch * STEPS + step + 1) / (5 * STEPS)) * cosine(200)(epoch, step),
}


def test_what_lu2018_does_not_print_of_imagenet_is_named_ours():
    """It prints the batch size, the weight decay and the momentum, and neither 90 epochs nor the steps at 30 and 60."""
    recipe = RECIPES["lu2018_imagenet"]
    assert (recipe.epochs, recipe.milestones) == (90, (30, 60))
    assert recipe.source.endswith("this package: rate, epochs and their steps")


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_is_that_of_the_source(name):
    recipe = RECIPES[name]
    rate = recipe.schedule(STEPS)
    around = {milestone + change for milestone in recipe.milestones for change in (-1, 0)}
    for epoch in sorted(around | {0, 1, 4, 5, recipe.epochs // 3, recipe.epochs - 1}):
        for step in (0, STEPS - 1):
            expected = recipe.learning_rate * SOURCES[name](epoch, step)
            assert float(rate(epoch * STEPS + step)) == pytest.approx(expected, rel=1e-4, abs=1e-8), (epoch, step)


@pytest.mark.parametrize("name", RECIPES)
def test_short_runs_take_a_cosine_and_longer_ones_do_not_squeeze_their_steps(name):
    recipe = RECIPES[name]
    assert recipe.scaled() == recipe.scaled(recipe.epochs) == recipe
    for epochs in set(range(1, 400)) - {recipe.epochs}:
        run = recipe.scaled(epochs)
        if run.curve == "step":
            assert epochs > 50 and sum(epochs - 10 <= milestone < epochs for milestone in run.milestones) <= 2
        else:
            assert run.curve == ("cosine" if recipe.curve == "step" else recipe.curve)


@pytest.mark.parametrize("epochs", [12, 60])
def test_the_schedule_is_that_of_a_run(epochs):
    for name in ("xuteam", "modern"):
        _, _, rate = prepared(name, epochs=epochs)
        ours = RECIPES[name].schedule(STEPS, epochs)
        assert all(float(rate(step)) == float(ours(step)) for step in range(epochs * STEPS))


@pytest.mark.parametrize(("arguments", "message"), [((0,), "steps_per_epoch >= 1"), ((5, 0), "epochs >= 1")])
def test_a_schedule_without_steps_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        RECIPES["xuteam"].schedule(*arguments)


def test_every_recipe_falls_within_its_length():
    for recipe in RECIPES.values():
        assert all(0 < milestone < recipe.epochs for milestone in recipe.milestones)
