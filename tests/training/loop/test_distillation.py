"""Distillation: the loss, and what a run with a teacher does."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from scipy.special import log_softmax, softmax

from keras_mgnet import MgNet
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.distillation import distil, load_teacher
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.loop.prepare import prepare
from support.numerics import randomize

TEACHER = "mgnet_digits"
SMALL = {"dataset": "digits", "set": {"nu": [1], "channels": 4}, "epochs": 2, "batch_size": 100, "log": "none"}


def trained(out, **changes):
    return train(TrainConfig(**SMALL | {"out": str(out)} | changes), Console(file=io.StringIO()))


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_loss_of_a_step_equals_its_numpy_twin(alpha):
    student, teacher = (randomize(MgNet((1,), c, input_shape=(8, 8, 1))) for c in (2, 3))
    x, y = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32"), np.arange(6)
    kept = teacher.get_weights()
    z, t = (np.array(model(x, training=model is student), "float64") for model in (student, teacher))
    plain = -log_softmax(z, axis=1)[np.arange(6), y].mean()
    p, log_p, log_q = softmax(t / 4, axis=1), log_softmax(t / 4, axis=1), log_softmax(z / 4, axis=1)
    expected = (1 - alpha) * plain + alpha * 16 * (p * (log_p - log_q)).sum(axis=1).mean()
    count = len(student.variables)
    distil(student, teacher, 4.0, alpha)
    assert student.evaluate(x, y, verbose=0)[0] == pytest.approx(
        -log_softmax(np.array(student(x), "float64"), axis=1)[np.arange(6), y].mean(), rel=1e-4
    )
    student.reset_metrics()
    assert student.train_on_batch(x, y)[0] == pytest.approx(expected, rel=1e-4)
    assert len(student.variables) == count  # the teacher is no part of the student
    for before, after in zip(kept, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_run_follows_its_teacher(tmp_path):
    run = trained(tmp_path / "taught", teacher=TEACHER, epochs=6)
    alone = trained(tmp_path / "alone", epochs=6)
    assert run.record["config"]["temperature"] == 4.0 and run.record["config"]["alpha"] == 0.9
    data = load("digits")
    teacher = load_teacher(TEACHER, data)
    x = ((data.test.images / 255 - np.array(data.mean)) / np.array(data.std)).astype("float32")
    close = [softmax(model.predict(x, verbose=0), axis=1) for model in (teacher, run.load_model(), alone.load_model())]
    assert np.abs(close[1] - close[0]).mean() < np.abs(close[2] - close[0]).mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.5}, r"expected temperature, alpha only with a teacher. Received: \{'alpha': 0.5\}"),
        ({"teacher": "nowhere"}, "expected a run directory, with a run.json in it. Received: 'nowhere'"),
    ],
)
def test_errors_before_anything_is_written(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trained(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_several_devices_are_refused():
    with pytest.raises(ValueError, match=r"expected one device with a teacher; choose strategy one\. Received: 2"):
        prepare(TrainConfig(**SMALL, teacher=TEACHER), SimpleNamespace(replicas=2))


def test_a_teacher_of_other_classes_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", **{f"x_{part}": np.zeros((9, 8, 8, 1), "uint8") for part in ("train", "test")},
             **{f"y_{part}": np.arange(9) % 3 for part in ("train", "test")})  # fmt: skip
    with pytest.raises(
        ValueError, match=rf"expected a teacher for the classes \['0', '1', '2'\]. Received: '{TEACHER}'"
    ):
        load_teacher(TEACHER, load(f"npz:{tmp_path / 'd.npz'}"))
