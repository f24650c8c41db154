"""What `influence` says of a denoiser is what its layers compute."""

import json

import numpy as np
import pytest
from keras import ops

from keras_mgnet import MgNet, ReactionDiffusion
from keras_mgnet.analysis import inapplicable, influence
from keras_mgnet.analysis.influence_functions import POINTS
from support.command import invoke
from support.denoising import train
from support.numerics import randomize


@pytest.fixture(scope="module")
def pair():
    clean = 128 + 60 * np.sin(np.arange(20) / 3)[None, :, None, None] * np.ones((3, 20, 16, 1))
    return clean + np.random.default_rng(0).normal(scale=25, size=clean.shape), clean


def test_stages_are_those_of_the_model(pair):
    model = randomize(ReactionDiffusion(3, 3, filters=4))
    result = influence(model, *pair)
    level, error = model.get_layer("level1"), ops.convert_to_numpy(model(pair[0])) - pair[1]
    assert len(result.psnr) == 4 and len(result.z) == len(result.psi) == len(result.filters) == 3
    expected = np.mean(10 * np.log10(255**2 / (error.astype("float64") ** 2).mean((1, 2, 3))))
    assert result.psnr[-1] == pytest.approx(expected, abs=1e-4)
    assert result.reaction == [pytest.approx(float(step.lambda_)) for step in level.field.steps]
    first = level.field.steps[0]
    responses = ops.convert_to_numpy(first.K(ops.convert_to_tensor(pair[0], "float32")))
    assert np.mean(np.abs(responses) > result.z[0][-1]) == pytest.approx(0.001, abs=1 / responses.size)
    moved = ops.convert_to_numpy(first.psi(responses))
    np.testing.assert_allclose(result.strength[0], np.sqrt((moved**2).mean((0, 1, 2))), rtol=1e-5)
    np.testing.assert_allclose(result.filters[0], ops.convert_to_numpy(first.K.kernel())[:, :, 0])


@pytest.mark.parametrize(("slope", "smoothing"), [(1.0, 1.0), (-1.0, 0.0)])
def test_monotone_and_smoothing_functions_are_counted(pair, slope, smoothing):
    model = ReactionDiffusion(1, 3)
    psi = model.get_layer("level1").field.steps[0].psi
    psi.w.assign(np.repeat(slope * psi.centres[:, None], 8, axis=1))
    result = influence(model, *pair)
    assert (result.monotone, result.smoothing) == ([1.0], [smoothing])
    middle, z = POINTS // 2, result.z[0]
    np.testing.assert_allclose(result.psi[0], slope * np.sqrt(2 * np.pi) * z[:, None] * np.ones(8), atol=0.01)
    psi.w.assign(np.repeat(np.cos(psi.centres)[:, None], 8, axis=1))
    assert influence(model, *pair).monotone == [0.0] and z[middle] == 0


def test_it_applies_to_a_denoiser_alone_and_nothing_else_does():
    reasons = inapplicable(ReactionDiffusion(1, 3, filters=2))
    assert "influence" not in reasons and {"initialization", "randomization", "cam"} < set(reasons)
    assert "expected a ReactionDiffusion" in inapplicable(MgNet((1,), 4, input_shape=(8, 8, 1)))["influence"]


def test_the_command_writes_it(folder, tmp_path):
    run = train(folder, tmp_path / "run", epochs=1)
    output = invoke("analyze", run.path, "--out", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"influence.json", "influence.png"}
    content = json.loads((tmp_path / "out" / "influence.json").read_text())
    assert content["about"]["test_images"] == 3 and len(content["result"]["psi"]) == 2
    assert f"influence: {content['summary']}" in output and "randomization: does not apply" in output
    assert (tmp_path / "out" / "influence.png").read_bytes().startswith(b"\x89PNG")
