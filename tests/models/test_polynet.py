"""PolyNet and the Very Deep PolyNet: sizes, grids, modules and scales as published."""

import inspect

import numpy as np
import pytest

from keras_mgnet import PolyNet, PreActResNet, VeryDeepPolyNet, count_params
from keras_mgnet.layers import Conv, Inception, Norm, Poly, basic
from keras_mgnet.layers.fields.poly import KINDS
from keras_mgnet.models.very_deep_polynet import BLOCKS, REDUCTIONS, STEM, schedule
from support.numerics import randomize


@pytest.mark.parametrize("blocks", [(3, 3, 3), (1, 2, 1)])
def test_sizes(blocks):
    """poly-N: a plain residual network and its further norms; mpoly-N and N-way: N times the maps."""
    size = {kind: count_params(PolyNet(kind, blocks)) for kind in KINDS}
    modules = [(blocks[0], 16), (blocks[1] - 1, 32), (blocks[2] - 1, 64)]  # the first of a coarser grid is plain
    norms = sum(4 * c * n for n, c in modules)
    kernels = sum(2 * 9 * c * c * n for n, c in modules)
    assert size["plain"] == count_params(PreActResNet(blocks=blocks))
    assert size["poly2"] == size["plain"] + norms
    assert size["poly3"] == size["plain"] + 2 * norms
    assert size["mpoly2"] == size["2way"] == size["plain"] + norms + kernels
    assert size["mpoly3"] == size["3way"] == size["plain"] + 2 * (norms + kernels)


def test_plain_is_the_preactivation_resnet_bit_for_bit(images):
    plain = PolyNet("plain", (2, 2, 1), base_width=4)
    resnet = randomize(PreActResNet(blocks=(2, 2, 1), base_width=4))
    assert [v.shape for v in plain.weights] == [v.shape for v in resnet.weights]
    plain.set_weights(resnet.get_weights())
    x = images(plain)
    for training in (False, True):
        np.testing.assert_array_equal(plain(x, training=training), resnet(x, training=training))


def test_scheme_by_kind():
    method = {kind: PolyNet(kind, (1,), base_width=2).method.name for kind in KINDS}
    assert {kind for kind, name in method.items() if "backward Euler" in name} == {"poly2", "poly3", "mpoly2", "mpoly3"}


# the Very Deep PolyNet


def test_the_grids_and_channels_of_the_published_network():
    model = VeryDeepPolyNet((1, 1, 1), width=1 / 32, stem="imagenet", input_shape=(331, 331, 3))
    names = ("stem", "level1", "level2", "level3")
    assert [model.get_layer(name).output.shape[1] for name in names] == [39, 39, 19, 9]
    x = Inception(REDUCTIONS[2]).compute_output_shape((None, 39, 39, 384))
    assert x == (None, 19, 19, 1152)
    assert Inception(REDUCTIONS[3]).compute_output_shape(x) == (None, 9, 9, 2048)
    assert Inception(STEM[3]).compute_output_shape((None, 79, 79, 192)) == (None, 39, 39, 384)


def test_the_modules_of_the_published_network():
    """10 2-way modules, then poly-3 and 2-way in turn; 40 scales from 1 to 0.7 (Cadene: 1, 0.992308, 0.984615, ...)."""
    modules = inspect.signature(VeryDeepPolyNet).parameters["modules"].default
    kinds, scales = zip(*schedule(modules), strict=True)
    assert kinds == (["2way"] * 10, ["poly3", "2way"] * 10, ["poly3", "2way"] * 5)
    scales = [scale for grid in scales for scale in grid]
    assert len(scales) == 40
    assert scales[:3] + scales[-2:] == [1, 0.992308, 0.984615, 0.707692, 0.7]


def test_the_modules_have_their_kinds_and_scales():
    model = VeryDeepPolyNet((1, 2, 1), width=1 / 64, input_shape=(7, 7, 1))
    branches = [model.get_layer(f"level{n}").field for n in (1, 2, 3)]
    assert [branch.kinds for branch in branches] == [
        (KINDS["2way"],),
        (KINDS["poly3"], KINDS["2way"]),
        (KINDS["poly3"],),
    ]
    assert [branch.scales for branch in branches] == [[1.0], [0.9, 0.8], [0.7]]


def test_the_size_of_the_published_network_module_by_module():
    """95,366,600 parameters, counted from the tables without building the network."""

    def layer(filters, size, c):
        return filters * c * np.prod(np.broadcast_to(size, 2)), 2 * filters

    def walk(paths, c):
        """Returns kernels and norms of the paths, and the channels of the concatenation."""
        kernels = norms = width = 0
        for path in paths:
            end = c
            for filters, size, *_ in () if path == "pool" else path:
                kernel, norm = layer(filters, size, end)
                kernels, norms, end = kernels + kernel, norms + norm, filters
            width += end
        return kernels, norms, width

    total, c = 0, 3
    for paths in STEM:
        kernels, norms, c = walk(paths, c)
        total += kernels + norms
    for grid, (kinds, _) in enumerate(schedule((10, 20, 10)), start=1):
        if grid > 1:
            kernels, norms, c = walk(REDUCTIONS[grid], c)
            total += kernels + norms
        kernels, norms, width = walk(BLOCKS[grid], c)
        for kind in kinds:
            orders, own = len(KINDS[kind].maps), len(set(KINDS[kind].maps))
            total += own * kernels + orders * (norms + sum(layer(c, 1, width)))
    assert total + 1000 * (c + 1) == 95_366_600


def test_the_tables_and_the_network_agree():
    """The tiny network has the size that its layers' kernels and norms add up to, every shared kernel once."""
    model = VeryDeepPolyNet((1, 2, 2), width=1 / 16, stem="imagenet", input_shape=(75, 75, 3), classes=5)
    layers = list(model._flatten_layers())
    kernels = sum(np.prod(layer.kernel.shape) for layer in layers if isinstance(layer, Conv))
    norms = sum(2 * layer.gamma.shape[0] for layer in layers if isinstance(layer, Norm))
    assert count_params(model) == kernels + norms + 5 * (model.get_layer("level3").output.shape[-1] + 1)
    shared = [layer for layer in layers if isinstance(layer, Norm) and not layer.foldable]
    assert len(shared) == 2 * 4 * 3  # the four convolutions in the paths of two poly-3 modules


@pytest.mark.parametrize(
    ("make", "message"),
    {
        "kind": (lambda: PolyNet("poly_2"), "did you mean 'poly2'"),
        "blocks": (lambda: PolyNet(blocks=(2, 0)), r"expected blocks to be .* Received: blocks=\(2, 0\)"),
        "base_width": (lambda: PolyNet(base_width=0), "Received: base_width=0"),
        "module": (lambda: Poly(basic(2), ("cubic",)), "unknown kind 'cubic'"),
        "modules": (lambda: VeryDeepPolyNet((1, 2)), "expected modules to have 3 entries"),
        "width": (lambda: VeryDeepPolyNet(width=0), "expected width to be a number > 0. Received: width=0"),
        "image": (lambda: VeryDeepPolyNet(stem="imagenet", input_shape=(64, 80, 3)), "at least 75x75 pixels"),
        "small image": (lambda: VeryDeepPolyNet(input_shape=(6, 6, 3)), "at least 7x7 pixels"),
    }.values(),
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
