"""Multilevel training: deeper networks are the same differential equation, and runs start from what was prolonged."""

import keras
import numpy as np
import pytest

from keras_mgnet import HamiltonianNet, MgNet
from keras_mgnet.multigrid.prolongation import deepen, interpolated, prolong
from keras_mgnet.training import TrainConfig, evaluate, train
from support.numerics import randomize

SMALL = {"channels": 4, "activation": "tanh", "classes": 3}


def network(scheme="verlet", blocks=(2,), dt=0.4, size=4, **options):
    model = HamiltonianNet(scheme, blocks=blocks, dt=dt, input_shape=(size, size, 1), **SMALL | options)
    return randomize(model)


def images(size=4):
    return np.random.default_rng(0).normal(size=(3, size, size, 1)).astype("float32")


def test_layers_that_are_linear_over_the_depth_stay_on_their_line():
    line = np.linspace(0.0, 1.0, 6)[:, None]
    np.testing.assert_allclose(interpolated(line)[:, 0], 0.2 * (np.arange(12) / 2 - 0.25), atol=1e-15)
    np.testing.assert_array_equal(interpolated(np.ones((1, 2))), np.ones((2, 2)))


@pytest.mark.parametrize(
    "scheme",
    ["verlet", "antisymmetric", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hamiltonian", "midpoint"))],
)
def test_deeper_networks_change_by_the_error_of_their_scheme(scheme):
    """One block becomes many alike."""
    model, outputs = network(scheme, blocks=(1, 1)), []
    for _ in range(4):
        outputs.append(keras.ops.convert_to_numpy(model(images())))
        model = deepen(model)
    changes = np.abs(np.diff(outputs, axis=0)).max((1, 2))
    assert changes[0] > 1e-3 and changes[1] < 0.7 * changes[0] and changes[2] < 0.7 * changes[1]


def test_each_grid_is_interpolated_alone():
    model = network("leapfrog", blocks=(2, 3))
    finer = deepen(model)
    assert finer.get_config()["blocks"] in ((4, 6), [4, 6]) and finer.get_config()["dt"] == 0.2
    for level, count in (("level1", 2), ("level2", 3)):
        old, new = (
            np.stack([force.K[0].kernel.numpy() for force in x.get_layer(level).field.fields]) for x in (model, finer)
        )
        np.testing.assert_allclose(new, interpolated(old), rtol=1e-6)
        assert len(new) == 2 * count
    stem = lambda x: x.weights[0].numpy()  # noqa: E731
    np.testing.assert_array_equal(stem(finer), stem(model))


@pytest.mark.parametrize(
    ("coarse", "message"),
    [
        (lambda: network(blocks=(4,), dt=0.2), "differs in blocks, dt"),
        (lambda: network(blocks=(2,), dt=0.2), "differs in dt"),
        (lambda: network(blocks=(2,), channels=6), "differs in channels"),
        (lambda: MgNet((1,), 4, input_shape=(4, 4, 1)), "expected a HamiltonianNet"),
    ],
)
def test_networks_that_do_not_fit(coarse, message):
    with pytest.raises(ValueError, match=message):
        prolong(coarse(), network(blocks=(4,), dt=0.2))


def test_a_run_starts_from_the_prolonged_network(tmp_path):
    options = {"channels": 4, "input_shape": (4, 4, 1), "classes": 10, "blocks": (1,), "dt": 0.4}
    HamiltonianNet(**options).save(tmp_path / "coarse.keras")
    given = {"channels": 4, "blocks": [2], "dt": 0.2}
    config = TrainConfig(
        "digits", "hamiltonian74", set=given, image_size=4, epochs=1, batch_size=512, learning_rate=1e-9,
        prolong=str(tmp_path / "coarse.keras"), out=str(tmp_path / "fine"),
    )  # fmt: skip
    run = train(config)
    expected = prolong(keras.saving.load_model(tmp_path / "coarse.keras"), run.load_model())
    for one, other in zip(run.load_model().trainable_variables, expected.trainable_variables, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert 0 < evaluate(run)["accuracy"] < 1  # on images of the run's size


def test_errors_of_the_option(tmp_path):
    with pytest.raises(ValueError, match="expected prolong only for a classifier, without weights"):
        TrainConfig("digits", prolong="a.keras", weights="b.keras")
    missing = TrainConfig("digits", model="hamiltonian74", prolong="no.keras", out=str(tmp_path / "run"))
    with pytest.raises(ValueError, match=r"expected an existing file\. Received: 'no\.keras'"):
        train(missing)
    assert not (tmp_path / "run").exists()
