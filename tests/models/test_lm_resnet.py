"""LM-ResNet and LM-ResNeXt: k = 0 is the network without k, and k stands where it is published."""

import numpy as np
import pytest

from keras_mgnet import (
    LMResNet,
    LMResNeXt,
    MultiResNet,
    PolyNet,
    PreActResNet,
    ResNet,
    ResNeXt,
    RevNet,
    count_params,
    k_values,
)
from support.numerics import randomize

SMALL = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}


def copy_by_path(source, target):
    values = {w.path: w for w in source.weights}
    for w in target.weights:
        if w.path in values:
            w.assign(values[w.path])


def assign_k(model, value):
    for level in model.layers:
        for k in getattr(getattr(level, "scheme", None), "k", ()):
            k.assign(value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("lm", "plain"),
    [
        (LMResNet(50, **SMALL), PreActResNet(50, **SMALL)),
        (
            LMResNeXt(11, cardinality=2, group_width=2, lm_transition="plain", input_shape=(8, 8, 1)),
            ResNeXt(11, cardinality=2, group_width=2, preactivation=True, input_shape=(8, 8, 1)),
        ),
        (
            LMResNeXt(11, cardinality=2, group_width=2, lm_transition="plain", stem="imagenet"),
            ResNeXt(11, cardinality=2, group_width=2, preactivation=True, stem="imagenet"),
        ),
    ],
    ids=["lm_resnet", "lm_resnext", "lm_resnext_imagenet"],
)
def test_k_zero_is_the_preactivation_network_bit_for_bit(lm, plain, training, images):
    copy_by_path(randomize(lm), plain)
    assign_k(lm, 0.0)
    x = images(lm)
    np.testing.assert_array_equal(lm(x, training=training), plain(x, training=training))
    assert lm.count_params() - plain.count_params() == k_values(lm).size
    assert lm.recipe.epochs == plain.recipe.epochs


TINY = {"input_shape": (8, 8, 1), "classes": 3}
FAMILIES = {  # the network of a scheme, and how many k the two-step method has
    "resnet": (lambda **scheme: ResNet(blocks=(2, 3), **scheme, **SMALL), 3),
    "preact_resnet": (lambda **scheme: PreActResNet(blocks=(2, 3), **scheme, **SMALL), 3),
    "resnext": (lambda **scheme: ResNeXt(20, cardinality=2, group_width=2, **scheme, **TINY), 3),
    "polynet": (lambda **scheme: PolyNet("mpoly2", (2, 3), **scheme, **SMALL), 3),
    "multi_resnet": (lambda **scheme: MultiResNet(blocks=(2, 3), **scheme, **SMALL), 3),
    "revnet": (lambda **scheme: RevNet(blocks=(2, 3), channels=(4, 6), **scheme, **TINY), 4),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_residual_family_takes_the_two_step_method(name, images):
    """Lu2018: "It can be applied to any ResNet-like networks." With k = 0 it is the network of the family."""
    family, count = FAMILIES[name]
    lm, plain = family(scheme="linear_multistep"), family()
    assert k_values(lm).shape == (count,) and "two-step" in lm.method.name
    assert lm.count_params() - plain.count_params() == count
    copy_by_path(randomize(lm), plain)
    x = images(lm)
    assert np.max(np.abs(lm(x) - plain(x))) > 1e-3
    assign_k(lm, 0.0)
    np.testing.assert_array_equal(lm(x), plain(x))
    with pytest.raises(ValueError, match="unknown scheme 'multistep'; did you mean 'linear_multistep'"):
        family(scheme="multistep")


def test_k_values_are_one_per_block_that_has_one(images):
    plain, project = (LMResNet(blocks=(3, 2), lm_transition=t, **SMALL) for t in ("plain", "project"))
    assert k_values(plain).shape == (3,)
    assert k_values(project).shape == (5,)
    assert len(np.unique(k_values(project))) == 5
    assert np.all((k_values(project) <= 0) & (k_values(project) >= -0.1))
    with pytest.raises(ValueError, match=r"expected a network with k, such as LMResNet\. Received: ResNet"):
        k_values(ResNet(8, **SMALL))


@pytest.mark.slow
def test_resnext_for_imagenet_has_the_size_that_torchvision_states():
    """resnext50_32x4d. The two-step form before activation has one more number k in each block but the first of a grid."""
    options = {"blocks": (3, 4, 6, 3), "cardinality": 32, "group_width": 4, "stem": "imagenet"}
    images = {"input_shape": (64, 64, 3), "classes": 1000}
    assert count_params(ResNeXt(**options, **images)) == 25_028_904
    before = count_params(ResNeXt(**options, **images, preactivation=True))
    model = LMResNeXt(**options, **images)
    assert count_params(LMResNeXt(**options, **images, lm_transition="plain")) == before + 12
    assert (model.name, model.recipe.epochs, len(k_values(model))) == ("lm_resnext3x4x6x3_32x4d", 90, 16)
