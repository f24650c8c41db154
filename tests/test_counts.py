"""Exact sizes: every published row, and the closed form for arbitrary networks."""

import json
import re

import pytest
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet import MgNet, PreActResNet, ResNet, count_params, create_model, list_models, model_info

EXPECTED = SHARED / "reference" / "expected_counts.json"
needs_reference = pytest.mark.skipif(not EXPECTED.is_file(), reason=f"no {EXPECTED.name} beside the checkout")


@pytest.mark.parametrize("name", list_models())
def test_presets_have_the_size_they_state(name):
    assert count_params(create_model(name)) == model_info(name).params


@pytest.mark.parametrize("name", [name for name in list_models() if "params" in model_info(name).reported])
def test_published_sizes_are_ours_or_say_why_not(name):
    info = model_info(name)
    assert info.size_matches == ("params_note" not in info.reported)


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
    (rule, key, mode)
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


@given(networks(), st.integers(1, 4), st.integers(1, 12), st.booleans(), st.booleans())
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
