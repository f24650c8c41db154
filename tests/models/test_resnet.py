"""ResNet and PreActResNet: their levels in numpy, the two forms of He2019, and stochastic depth."""

from functools import partial

import keras
import numpy as np
import pytest

from keras_mgnet import LMResNet, LMResNeXt, PreActResNet, ResNet, ResNeXt, count_params
from keras_mgnet.recipes import RECIPES
from support.numerics import randomize
from support.twins import twin_conv

SMALL = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}


@pytest.mark.parametrize("share_B", [False, True, "published_size", "restriction_first"])
@pytest.mark.parametrize(("preactivation", "form"), [(False, "released"), (True, "released"), (True, "printed")])
def test_residual_level_equals_its_numpy_twin(preactivation, form, share_B):
    """He2019 (2.1)-(2.4), (6.1), and (6.4) with restriction first or the published size; printed, R takes r itself."""
    family, printed = PreActResNet if preactivation else ResNet, form == "printed"
    options = {"share_A": True, "share_B": share_B, "base_width": 2, "input_shape": (8, 8, 1), "dtype": "float64"}
    model = randomize(family(18, form=form, **options))
    restricts_first = share_B in ("published_size", "restriction_first")
    chain = ["transfer2", *([] if preactivation else ["sigma2"])] if restricts_first else []
    level, f = model.get_layer("level2"), model.get_layer("level2").field.branch
    r = np.random.default_rng(0).normal(size=(2, 6, 6, 2))
    computed = keras.ops.convert_to_tensor(r)
    for name in [*chain, "level2"]:
        computed = model.get_layer(name)(computed)

    def norm(x, layer):
        scale, shift = layer.affine()
        return scale * x + shift

    def conv(x, layer, strides=1):
        return twin_conv(x, layer.kernel.numpy(), strides)

    def relu(x):
        return np.maximum(x, 0)

    first = model.get_layer("transfer2") if restricts_first else level.field.R
    for i in range(2):
        (B, s1), (A, s2) = ((f.conv(p, i), f.norms()[p][i]) for p in (0, 1))
        strides = 1 if i or restricts_first else 2
        if preactivation:
            if i == 0 and restricts_first and printed:
                skip = r = conv(r, first, 2)
                x = relu(norm(r, s1))
            elif i == 0 and restricts_first:
                r = conv(relu(norm(r, first.norms()[0][0])), first.conv(0, 0), 2)
                x = skip = r
                x = relu(x)
            else:
                x = relu(norm(r, s1))
                skip = r if i else conv(r if printed else x, first, 2)
            r = skip + conv(relu(norm(conv(x, B, strides), s2)), A)
        else:
            skip = r if i else norm(conv(r, first.conv(0, 0), 2), first.norms()[0][0])
            r = relu(skip) if i == 0 and restricts_first else r
            skip = r if restricts_first else skip
            r = relu(skip + norm(conv(relu(norm(conv(r, B, strides), s1)), A), s2))
    np.testing.assert_allclose(computed, r, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("depth", "width", "more"), [(18, 8, 2 * 8), (20, 4, 2 * 4 - 2 * 16)])
def test_the_printed_network_has_a_stem_with_sigma_and_no_norm_at_the_end(depth, width, more, images):
    """f_in = s(theta^0 * f) and h = R_ave(r), He2019 Algorithm 1."""
    options = {"base_width": width, "input_shape": (8, 8, 1)}
    released, printed = (PreActResNet(depth, form=form, **options) for form in ("released", "printed"))
    assert count_params(printed) == count_params(released) + more
    stem = keras.Model(printed.input, printed.get_layer("stem").output)
    assert float(keras.ops.min(stem(images(printed)))) == 0.0
    assert printed.layers[-3].name.startswith("level") and released.get_layer("stem").s is None


def test_released_and_printed_differ_by_the_pooling_block_alone_where_norms_and_sigma_are_identities():
    """R s(r) and R r are the same map for s = I; a ResNet has both forms in one."""
    for share_B in (False, "published_size"):
        options = {"share_B": share_B, "base_width": 2, "activation": "linear", "norm": None, "input_shape": (8, 8, 1)}
        released, printed = (PreActResNet(18, form=form, **options) for form in ("released", "printed"))
        printed.set_weights(released.get_weights())
        x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
        np.testing.assert_allclose(printed(x), released(x), rtol=1e-4, atol=1e-5)
    options = {"base_width": 2, "input_shape": (8, 8, 1)}
    configs = [ResNet(18, form=form, **options) for form in ("released", "printed")]
    assert [w.path for w in configs[0].weights] == [w.path for w in configs[1].weights]


@pytest.mark.parametrize("family", [ResNet, PreActResNet])
def test_restriction_first_shares_B_on_the_first_grid_as_well(family):
    """One 3x3 kernel from c to c channels less than the published size, for each block of the first grid but one."""
    first, published = (family(18, share_B=rule, base_width=4) for rule in ("restriction_first", "published_size"))
    kernels = [len(first.get_layer(f"level{j}").field.branch.K1) for j in (1, 2, 3, 4)]
    assert kernels == [1, 1, 1, 1] and count_params(published) - count_params(first) == 9 * 4 * 4
    assert first.get_layer("transfer2").compute_output_shape((1, 8, 8, 4)) == (1, 4, 4, 8)


@pytest.mark.parametrize("family", [ResNet, PreActResNet, LMResNet])
def test_survival_one_leaves_the_graph_alone(family):
    model = family(blocks=(1, 1), survival=1.0, **SMALL)
    assert all(level.field.gate is None for level in model.layers if level.name.startswith("level"))


@pytest.mark.parametrize("family", [ResNet, PreActResNet, LMResNet])
def test_the_schedule_of_the_released_code_scales_in_training(family):
    for schedule, inverted in (("huang", False), ("lm_release", True)):
        model = family(blocks=(1, 1), survival=0.5, survival_schedule=schedule, **SMALL)
        assert [model.get_layer(f"level{j}").field.gate.inverted for j in (1, 2)] == [inverted] * 2


@pytest.mark.parametrize("family", [ResNet, PreActResNet, partial(ResNeXt, preactivation=True), LMResNeXt])
def test_on_imagenets_stem_all_take_its_recipe_and_a_norm(family):
    size = {"blocks": (1,), "stem": "imagenet", "input_shape": (32, 32, 3)}
    model = family(**size)
    assert model.recipe.milestones == RECIPES["lu2018_imagenet"].milestones and model.get_layer("stem").s is not None
