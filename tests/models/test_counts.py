"""Exact sizes: every published row, and the closed form for arbitrary networks."""

import json
import re
from collections import defaultdict
from functools import reduce
from operator import getitem

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.initializers import VarianceScaling

from keras_mgnet import LMResNeXt, MgNet, PreActResNet, ResNet, count_params, create_model, list_models, model_info
from support import SHARED, slow_unless

EXPECTED = SHARED / "reference" / "expected_counts.json"
needs_reference = pytest.mark.skipif(not EXPECTED.is_file(), reason=f"no {EXPECTED.name} beside the checkout")


@pytest.fixture(autouse=True, scope="module")
def zeros():
    """A count does not need the random numbers of a kernel, of which large networks draw many millions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VarianceScaling, "__call__", lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype))
        yield


# preset -> its integers in the reference, as (path, classes, parameters that the reference counts though nothing uses them)
REFERENCE = defaultdict(list)
for section, pattern, unused in [
    ("resnet_cifar_optA_c10", "resnet{}", 0),
    ("resnet_cifar_optB_c10", "resnet{}_projection", 0),
    ("lm_resnet_c10_k_used", "lm_resnet{}", 0),
    ("lm_resnet_c10_k_all", "lm_resnet{}", 3),  # a k at the first block of every grid
]:
    for depth in ("20", "32", "44", "56", "110") + (("1202",) if "optA" in section else ()):
        REFERENCE[pattern.format(depth)].append(((section, depth), 10, unused))
for depth in ("110", "164"):
    REFERENCE[f"lm_resnet{depth}"].append((("lm_resnet_c100_k_used", depth), 100, 0))
for name, path, unused in [
    ("preact_resnet164", "preact164_conv_shortcut", 0),
    ("preact_resnet1001", "preact1001", 0),
    ("resnet32", "resnet_revnetcode/32", 0),
    ("resnet110", "resnet_revnetcode/110", 0),
    ("preact_resnet164", "resnet_revnetcode/164", 0),
    *((f"resnext29_{c}x64d", f"resnext29/{c}x64d", 0) for c in (8, 16)),
    *((f"preact_resnext29_{c}x64d", f"resnext29/{c}x64d_preact", 0) for c in (8, 16)),
    *((f"lm_resnext29_{c}x64d", f"resnext29/lm_{c}x64d_project", 0) for c in (8, 16)),
    *((f"densenet_{name}", f"densenet/{name.replace('_', '-')}", 0) for name in ("40_12", "100_12", "100_24")),
    *((f"densenet_bc_{a}_{b}", f"densenet/BC{a}-{b}", 0) for a, b in ((100, 12), (250, 24), (190, 40))),
    *((f"revnet{depth}", f"revnet/{depth}", 0) for depth in (38, 110, 164)),
    *((f"fractalnet{depth}", f"fractalnet_conv_bias_bn_no_affine/C{c}", 0) for depth, c in ((20, 3), (40, 4))),
]:
    REFERENCE[name] += [((*path.split("/"), f"c{classes}"), classes, unused) for classes in (10, 100)]
for name, key, unused in [
    *((f"resnet{depth}_imagenet", f"resnet{depth}", 0) for depth in (18, 34)),
    *((f"resnet{depth}", f"resnet{depth}", 0) for depth in (50, 101, 152)),
    *((f"preact_resnet{depth}", f"preact{depth}_fb", 0) for depth in (50, 101)),
    *((f"lm_resnet{depth}", f"lm{depth}", 4) for depth in (50, 101)),
]:
    REFERENCE[name].append((("imagenet", key), 1000, unused))
for width in (32, 64, 96, 112):
    REFERENCE[f"shake_shake_26_2x{width}d"].append((("shake_shake", f"2x{width}d"), 10, 0))
REFERENCE["shake_shake_29_2x4x64d"].append((("shake_shake", "29_2x4x64d_c100"), 100, 0))
REFERENCE["polynet_very_deep_imagenet"].append((("polynet_imagenet",), 1000, 0))
REFERENCE["poly_mgnet"].append((("poly_mgnet_default",), 10, 0))


# of the rows of a family with the same arguments the smallest, which runs the same code as the others; a few take a second
DEEP = {
    "densenet121",
    "multi_resnet200_k5",
    "multi_resnet26_k2_w10",
    "polynet_very_deep_imagenet",
    "preact_resnet164",
    "shake_shake_29_2x4x64d",
}
SMALLEST = {
    (info.family, *sorted(info.kwargs)): info.name
    for info in sorted(map(model_info, list_models()), key=lambda info: -info.params)
}.values()


@pytest.mark.parametrize("name", slow_unless(set(SMALLEST) - DEEP, list_models()))
def test_presets_have_the_size_they_state_and_that_of_the_reference(name):
    model, info = create_model(name), model_info(name)
    assert count_params(model) == info.params
    for path, classes, unused in REFERENCE[name] if EXPECTED.is_file() else ():
        expected = reduce(getitem, path, json.loads(EXPECTED.read_text()))
        per_class = model.get_layer("classifier").kernel.shape[0] + 1
        assert count_params(model) + (classes - info.classes) * per_class + unused == expected, path


@needs_reference
def test_every_integer_of_the_reference_is_checked():
    """TNRD has no classifier and is checked with its denoiser; the sections of MgNet and of He2019 have tests below."""

    def paths(entry, path=()):
        return (
            [p for key, value in entry.items() for p in paths(value, (*path, key))]
            if isinstance(entry, dict)
            else [path]
        )

    checked = {path for entries in REFERENCE.values() for path, _, _ in entries}
    elsewhere = {"_note", "mgnet", "he2019_ruleP", "he2019_ruleF", "tnrd"}
    missing = [
        path for path in paths(json.loads(EXPECTED.read_text())) if path[0] not in elsewhere and path not in checked
    ]
    assert missing == [("resnext29", f"lm_{c}x64d_plain", key) for c in (8, 16) for key in ("c10", "c100")]
    assert set(REFERENCE) <= set(list_models())


@needs_reference
@pytest.mark.parametrize("cardinality", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_lm_resnext_without_projections(cardinality):
    sizes = json.loads(EXPECTED.read_text())["resnext29"][f"lm_{cardinality}x64d_plain"]
    model = LMResNeXt(cardinality=cardinality, lm_transition="plain")
    assert count_params(model) + 3 == sizes["c10"] == sizes["c100"] - 90 * (1024 + 1)


@needs_reference
def test_every_size_of_the_reference_is_a_preset_or_matches():
    reference = json.loads(EXPECTED.read_text())
    sizes = {model_info(name).params for name in list_models()}
    for entry in reference["mgnet"].values():
        assert {entry.get("c10", entry.get("imagenet_stem7"))} <= sizes
    for rule in ("he2019_ruleP", "he2019_ruleF"):
        for family in reference[rule].values():
            assert {size[0] if isinstance(size, list) else size for size in family.values()} <= sizes


HUNDRED = [
    pytest.param(rule, key, mode, marks=pytest.mark.slow if "34" in key else ())
    for rule in ("he2019_ruleP", "he2019_ruleF")
    for key in ("resnet18", "resnet34", "preact18", "preact34")
    for mode in ("AiBi", "ABi", "AiB", "AB")
    if (rule, mode) != ("he2019_ruleF", "AiBi")
]


@needs_reference
@pytest.mark.parametrize(("rule", "key", "mode"), HUNDRED)
def test_resnets_of_hundred_classes(rule, key, mode):
    share = True if rule.endswith("P") else "published_size"
    share_A, share_B = ("A" in mode.replace("Ai", "")) and share, ("B" in mode.replace("Bi", "")) and share
    family = ResNet if key.startswith("resnet") else PreActResNet
    model = family(int(key[-2:]), share_A=share_A, share_B=share_B, classes=100)
    assert count_params(model) == json.loads(EXPECTED.read_text())[rule][key][mode][1]


@needs_reference
def test_mgnets_of_hundred_classes_and_small_imagenet_stem():
    reference = json.loads(EXPECTED.read_text())["mgnet"]
    for key, sizes in reference.items():
        if "c100" in sizes:
            nu, channels, sharing = re.fullmatch(r"(\[.*?\])-(.*)-(Bl|Bli)", key).groups()
            model = MgNet(json.loads(nu), json.loads(channels), share_B=sharing == "Bl", classes=100)
            assert count_params(model) == sizes["c100"]
    net = MgNet((3, 4, 6, 3), (128, 256, 512, 1024), share_B=False, classes=1000, input_shape=(64, 64, 3))
    assert count_params(net) == reference["[3,4,6,3]-[128,256,512,1024]-Bli"]["imagenet_stem3"]


@st.composite
def networks(draw):
    nu = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    widths = st.lists(st.integers(1, 7), min_size=len(nu), max_size=len(nu))
    return nu, draw(widths), draw(widths)


@given(networks(), st.integers(1, 4), st.integers(2, 12), st.booleans(), st.booleans())
def test_closed_form(network, image_channels, classes, share_A, share_B):
    """Stem 9 c_in f_1 + 2 f_1; level 9 c f per A and per B and 2 (c + f) per iteration; pooling 9 c c' + 9 f f' + 2 (c' + f')."""
    nu, c, f = network
    size = 2 ** (len(nu) - 1)
    model = MgNet(nu, c, channels_f=f, share_A=share_A, share_B=share_B, classes=classes,
                  input_shape=(size, size, image_channels))  # fmt: skip
    expected = 9 * image_channels * f[0] + 2 * f[0] + (c[-1] + 1) * classes
    for n, c_l, f_l in zip(nu, c, f, strict=True):
        expected += 9 * c_l * f_l * ((1 if share_A else n) + (1 if share_B else n)) + 2 * n * (c_l + f_l)
    for c_l, f_l, c_n, f_n in zip(c, f, c[1:], f[1:], strict=False):
        expected += 9 * (c_l * c_n + f_l * f_n) + 2 * (c_n + f_n)
    assert count_params(model) == expected
