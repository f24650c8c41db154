"""Validation images choose the best epoch; the test images are read once the last epoch is over."""

import io
import re
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from keras_mgnet.files import write_json
from keras_mgnet.training.data import pipeline
from keras_mgnet.training.data.dataset import Split
from keras_mgnet.training.loop import callbacks, task
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.inference import evaluate
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.measure import described
from keras_mgnet.training.runs.run import read_log

COUNTS = {"train": 80, "test": 24}  # a fifth of the training images is held out: 16


@pytest.fixture(scope="module")
def evaluated():
    """The sizes of the splits that are evaluated, in turn."""
    with pytest.MonkeyPatch.context() as patch:
        batches, sizes = pipeline.test_batches, []

        def counted(split, *args, **options):
            sizes.append(len(split.labels))
            return batches(split, *args, **options)

        patch.setattr(pipeline, "test_batches", counted)
        yield sizes


@pytest.fixture(scope="module")
def trained(evaluated, tmp_path_factory):
    """A run on dark and bright images, its configuration, what it printed and what it evaluated.

    The labels of the test images are exchanged, and those of the training images in the second epoch: the validation accuracy
    is best after the first epoch, the test accuracy after the second.
    """
    folder, arrays = tmp_path_factory.mktemp("contrary"), {}
    for part, count in COUNTS.items():
        labels = np.arange(count) % 2
        noise = np.random.default_rng(0).integers(0, 60, (count, 8, 8), "uint8")
        arrays |= {f"x_{part}": noise + (150 * labels[:, None, None]).astype("uint8")}
        arrays |= {f"y_{part}": 1 - labels if part == "test" else labels}
    np.savez(folder / "d.npz", **arrays)
    learn = task.Classification.train_batches

    def confused(self, epoch, step):
        split = self.data.train
        data = replace(self.data, train=Split(split.images, 1 - split.labels)) if epoch == 1 else self.data
        return learn(replace(self, data=data), epoch, step)

    options = {"set": {"nu": [1], "channels": 2}, "epochs": 2, "batch_size": 8, "learning_rate": 0.1, "augment": "none"}
    options |= {"schedule": "constant", "validation": 0.2, "out": str(folder / "run")}
    config, console = TrainConfig(f"npz:{folder / 'd.npz'}", **options), Console(file=io.StringIO(), width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task.Classification, "train_batches", confused)
        run = train(config, console)
    return run, config, console.file.getvalue(), evaluated.copy()


def test_validation_images_choose_the_best_epoch_and_the_test_images_are_read_at_the_end(trained):
    run, _, said, evaluated = trained
    assert evaluated == [16, 16, 24, 24]  # the test images for last.keras and for best.keras
    result = run.record["result"]
    assert result["best_epoch"] == 1
    assert result["best_validation_accuracy"] > 0.9 > result["last_validation_accuracy"]
    assert result["best_test_accuracy"] < 0.1 < 0.4 < result["last_test_accuracy"]
    logged = [float(row["val_accuracy"]) for row in read_log(run.path / "log.csv")]
    assert logged == [result["best_validation_accuracy"], result["last_validation_accuracy"]]
    for name in ("last", "best"):
        assert evaluate(run, name)["accuracy"] == result[f"{name}_test_accuracy"]
    assert run.judge == "validation" and run.record["data"]["val"] == 16
    assert "(64 training, 24 test and 16 validation images)" in said and "validation accuracy" in said
    assert "test accuracy" not in said and "test loss" not in said
    assert re.fullmatch(
        r"validation accuracy \S+ \(best validation accuracy \S+ in epoch 1\); "
        r"test accuracy \S+ \(test accuracy \S+ after epoch 1\)",
        described(result),
    )


def test_a_run_stopped_while_it_reads_the_test_images_reads_them_again(trained, evaluated, tmp_path, monkeypatch):
    run, config, *_ = trained
    copy = shutil.copytree(run.path, tmp_path / "run")
    write_json(copy / "run.json", run.record | {"result": {"status": "running"}})  # killed after its last epoch
    resumed = replace(config, out=str(copy), resume=True)

    def stop(self, batch, logs=None):
        if len(evaluated) == 2:  # with the weights of the best epoch
            self.signals.received = signal.SIGTERM
        unpatched(self, batch, logs)

    unpatched = callbacks.StopInEvaluation.on_test_batch_end
    evaluated.clear()
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopInEvaluation, "on_test_batch_end", stop)
        stopped = train(resumed, Console(file=io.StringIO()))
    result = stopped.record["result"]
    assert result["status"] == "preempted" and not [key for key in result if "test" in key]
    assert described(result).endswith("in epoch 1)")
    for name in ("last", "best"):
        for ours, theirs in zip(*(r.load_model(name).get_weights() for r in (stopped, run)), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    finished = train(resumed, Console(file=io.StringIO()))
    assert evaluated == [24] * 4
    reached = [{k: v for k, v in r.record["result"].items() if "accuracy" in k} for r in (run, finished)]
    assert reached[0] == reached[1] and finished.record["result"]["status"] == "finished"
