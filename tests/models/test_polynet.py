"""PolyNet: its modules are the polynomials they are named after, and the series of backward Euler's resolvent."""

import inspect
from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import PolyNet, PreActResNet, VeryDeepPolyNet, count_params
from keras_mgnet.layers import Branch, Conv, Euler, Inception, Level, Norm, Poly, basic, separable_scales
from keras_mgnet.layers.fields.poly import KINDS, module_kernels
from keras_mgnet.layers.operators.conv import recorded_applications
from keras_mgnet.models.very_deep_polynet import BLOCKS, REDUCTIONS, STEM, schedule
from support.numerics import randomize
from support.twins import twin_conv

GRID, CHANNELS = (3, 3), 2
POLYNOMIALS = {
    "plain": lambda F: F,
    "poly2": lambda F: F + F @ F,
    "poly3": lambda F: F + F @ F + F @ F @ F,
    "mpoly2": lambda F, G: F + G @ F,
    "mpoly3": lambda F, G, H: F + G @ F + H @ G @ F,
    "2way": lambda F, G: F + G,
    "3way": lambda F, G, H: F + G + H,
}


def linear_level(*kinds):
    """A level of modules whose maps are linear: sigma and the norms are the identity. float64."""
    table = module_kernels(kinds)
    F = basic(CHANNELS, uses=len(table), sharing=(table, table), activation="linear", dtype="float64")
    level = Level(Euler(), Poly(F, kinds, dtype="float64"), dtype="float64")
    level.build((None, *GRID, CHANNELS))
    forget_norms(level)
    return level


def forget_norms(level):
    """Makes the norms the identity in inference."""
    for norm in (layer for layer in level._flatten_layers() if isinstance(layer, Norm)):
        norm.moving_variance.assign(np.full(norm.moving_variance.shape, 1 - 1e-5))


def matrix(f):
    """The matrix of a linear map on GRID x CHANNELS."""
    n = np.prod(GRID) * CHANNELS
    basis = keras.ops.convert_to_tensor(np.eye(n).reshape(n, *GRID, CHANNELS))
    return np.asarray(f(basis)).reshape(n, n).T


def maps(level):
    """The matrices of the distinct maps of a level of one module, in their order."""
    F, table = level.field.F, level.field.F.sharing[0]
    return [matrix(partial(F, i=table.index(k))) for k in range(max(table) + 1)]


def random_kernels(level, seed, scale=0.3):
    rng = np.random.default_rng(seed)
    for conv in level.field.F.kernels():
        conv.kernel.assign(scale * rng.normal(size=conv.kernel.shape))


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_linear_maps_is_its_polynomial(kind):
    level = linear_level(kind)
    random_kernels(level, seed=0)
    expected = np.eye(np.prod(GRID) * CHANNELS) + POLYNOMIALS[kind](*maps(level))
    np.testing.assert_allclose(matrix(level), expected, rtol=1e-10, atol=1e-12)


@given(h=st.floats(0.01, 0.9), order=st.integers(1, 3), seed=st.integers(0, 99))
def test_powers_approximate_the_resolvent(h, order, seed):
    """||(I - hF)^{-1} - (I + hF + ... + h^N F^N)|| <= h^{N+1} / (1 - h) for ||F|| = 1: backward Euler to order N + 1."""
    level = linear_level({1: "plain", 2: "poly2", 3: "poly3"}[order])
    random_kernels(level, seed)
    (A,) = level.field.F.convs[1]
    A.kernel.assign(A.kernel * (h / np.linalg.norm(maps(level)[0], 2)))
    (hF,) = maps(level)
    error = np.linalg.norm(np.linalg.inv(np.eye(len(hF)) - hF) - matrix(level), 2)
    assert 0 < error <= h ** (order + 1) / (1 - h) * (1 + 1e-9)


def test_the_resolvent_to_the_third_power_of_the_step():
    """Section 5.2 of the reference: 5.4e-4 <= 1.1e-3 at h = 0.1; halving h divides the error of poly-2 by eight."""
    level, errors = linear_level("poly2"), []
    random_kernels(level, seed=1)
    (A,) = level.field.F.convs[1]
    unit = A.kernel / np.linalg.norm(maps(level)[0], 2)
    for h in (0.1, 0.05, 0.025):
        A.kernel.assign(h * unit)
        (hF,) = maps(level)
        errors.append(np.linalg.norm(np.linalg.inv(np.eye(len(hF)) - hF) - matrix(level), 2))
    assert 1e-4 < errors[0] <= 1.1e-3
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 3, atol=0.2)


def integrated(kind, rate, steps):
    """u(1) of u' = rate u, u(0) = 1, by steps of one module; its map is multiplication with rate / steps."""
    table = module_kernels((kind,))
    F = Branch((1,), (1,), uses=len(table), sharing=(table,), lead="none", activation="linear", dtype="float64")
    level = Level(Euler(), Poly(F, (kind,), dtype="float64"), dtype="float64")
    level.build((None, 1, 1, 1))
    forget_norms(level)
    for conv in F.kernels():
        conv.kernel.assign(np.full((1, 1, 1, 1), rate / steps))
    u = keras.ops.ones((1, 1, 1, 1), dtype="float64")
    for _ in range(steps):
        u = level(u)
    return float(u[0, 0, 0, 0])


@pytest.mark.parametrize(("kind", "rate"), [("plain", -1.0), ("poly2", -1.0), ("poly3", -1.0), ("2way", -0.5)])
def test_every_kind_has_order_one(kind, rate):
    """Forward Euler, backward Euler through its series, and forward Euler for the sum of two maps."""
    errors = [abs(integrated(kind, rate, steps) - np.exp(-1)) for steps in (32, 64, 128)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1, atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_costs_one_application_of_its_map(kind):
    level = linear_level(kind)
    with recorded_applications() as applications:
        level(keras.ops.zeros((1, *GRID, CHANNELS), dtype="float64"))
    assert len(applications) == 2 * len(KINDS[kind].maps)


@pytest.mark.parametrize("training", [False, True])
def test_each_order_has_norms_of_its_own(training):
    """The second module, nonlinear: x + F_3(x) + F_4(F_3(x)), one kernel and two sets of norms."""
    kinds = ("2way", "poly2")
    table = module_kernels(kinds)
    f = Poly(basic(CHANNELS, uses=4, sharing=(table, table), dtype="float64"), kinds, dtype="float64")
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, *GRID, CHANNELS)))
    f.build(x.shape)
    randomize(f)
    first = f.F(x, i=2, training=training)
    np.testing.assert_allclose(f(x, i=1, training=training), first + f.F(first, i=3, training=training), rtol=1e-12)
    assert np.abs(first - f.F(x, i=3, training=training)).max() > 1e-3


def test_kernels_are_those_of_the_maps_and_norms_those_of_the_orders():
    level = linear_level("poly3", "2way", "poly3")
    F = level.field.F
    assert [len(family) for family in F.convs] == [4, 4]
    assert [len({id(norm) for norm in family}) for family in F.norms] == [8, 8]
    assert [F.sharing[0][use] for use in range(8)] == [0, 0, 0, 1, 2, 3, 3, 3]


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
    assert {kind for kind, name in method.items() if name.startswith("backward Euler")} == {
        "poly2",
        "poly3",
        "mpoly2",
        "mpoly3",
    }


# the Very Deep PolyNet


def twin_link(chain, p, x, i):
    """n K_p x of use i: kernel by the sharing table, norm of its own; the activation is left to the caller."""
    scale, shift = chain.norms[p][i].affine()
    return scale * twin_conv(x, chain.conv(p, i).kernel.numpy()) + shift


@pytest.mark.parametrize("kind", ["poly3", "2way"])
def test_a_very_deep_module_equals_its_numpy_twin(kind):
    """x + c (y_1 + y_2 + y_3), y_{n+1} = F(relu(y_n)): inner kernels shared, norms and the last 1x1 convolution per order."""
    paths, uses = (((2, 1), (3, (1, 7)), (2, (7, 1))), ((2, 1),)), len(KINDS[kind].maps)
    table = module_kernels((kind,))
    F = Inception(paths, 3, uses=uses, sharing=table, dtype="float64")
    level = Level(Euler("relu"), Poly(F, (kind,), scales=(0.7,), activation="relu", dtype="float64"),
                          dtype="float64")  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    level.build(x.shape)
    randomize(level)

    total, y = 0.0, x
    for n in range(uses):
        ends = []
        for path in F.paths:
            end = y if kind == "poly3" else x
            for p in range(len(path.convs)):
                end = np.maximum(twin_link(path, p, end, n), 0)
            ends.append(end)
        y = twin_link(F.A, 0, np.concatenate(ends, axis=-1), n)
        total, y = total + y, np.maximum(y, 0)
    expected = np.maximum(x + 0.7 * total, 0)

    np.testing.assert_allclose(level(keras.ops.convert_to_tensor(x)), expected, rtol=1e-9, atol=1e-9)
    kernels = [[len(convs) for convs in path.convs] for path in F.paths]
    assert kernels == ([[1, 1, 1], [1]] if kind == "poly3" else [[2, 2, 2], [2]])
    assert len(F.A.kernels()) == uses


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


@given(size=st.integers(3, 12), k=st.sampled_from([1, 3]), s=st.sampled_from([1, 2]))
def test_convolution_without_padding(size, k, s):
    conv = Conv(2, k, strides=s, padded=False, dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, size, size, 2))
    y = np.asarray(conv(keras.ops.convert_to_tensor(x)))
    m = k // 2
    expected = twin_conv(x, conv.kernel.numpy())[:, m : size - m : s, m : size - m : s]
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    assert y.shape == conv.compute_output_shape(x.shape)


def test_rectangular_kernels_are_not_transposed():
    conv = Conv(1, (1, 7))
    x = np.zeros((1, 9, 9, 1), "float32")
    x[0, 4, 4] = 1
    y = conv(x)[0, :, :, 0].numpy()
    assert np.flatnonzero(y.any(axis=1)).tolist() == [4] and np.count_nonzero(y) == 7


def test_separable_scales_keep_the_values_of_a_very_deep_net(images):
    model = randomize(VeryDeepPolyNet((1, 1, 1), width=1 / 64, input_shape=(8, 8, 1)))
    x = images(model)
    expected = model(x)
    with separable_scales():
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-4)


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
