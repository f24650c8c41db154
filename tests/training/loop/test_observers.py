"""What callbacks and trackers see of a run: each epoch once, also when the run stops and resumes."""

import io
import sys

import keras
import pytest
from rich.console import Console

from keras_mgnet.training.loop import loop
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.runs.run import open_run, read_log

SMALL = {"dataset": "digits", "set": {"nu": [1], "channels": 2}, "batch_size": 300, "log": "none"}
STEPS = 5  # of an epoch


def trained(out, callbacks=(), **changes):
    return loop.train(TrainConfig(**SMALL | {"out": str(out)} | changes), Console(file=io.StringIO()), callbacks)


class Notes(keras.callbacks.Callback):
    """Notes what it is told. Stops the run as `stops` says: (epoch, step or None for its end)."""

    def __init__(self, stops=None):
        super().__init__()
        self.stops, self.told, self.steps, self.logs = stops, [], [], []

    def on_train_begin(self, logs=None):
        self.told.append("begin")

    def on_train_end(self, logs=None):
        self.told.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.told.append(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(batch)
        self._stop(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(logs)
        self._stop(None)

    def _stop(self, step):
        if (self.epoch, step) == self.stops:
            self.model.stop_training = True


def test_callbacks_see_a_run_as_one_fit(tmp_path):
    notes = Notes()
    run = trained(tmp_path / "run", [notes], epochs=3)
    assert notes.told == ["begin", 0, 1, 2, "end"] and notes.steps == [*range(STEPS)] * 3
    rows = read_log(run.path / "log.csv")
    assert [logs["val_loss"] for logs in notes.logs] == [float(row["val_loss"]) for row in rows]
    assert not (run.path / "tensorboard").exists()


@pytest.mark.parametrize(("stops", "steps"), [((1, None), 2 * STEPS), ((1, 1), STEPS + 2)])
def test_a_callback_ends_a_run(stops, steps, tmp_path):
    notes = Notes(stops)
    result = trained(tmp_path / "run", [notes], epochs=5).record["result"]
    assert (result["status"], result["epochs"]) == ("finished", 2)
    assert len(notes.steps) == steps and notes.told[-1] == "end"


@pytest.fixture
def two_parts(tmp_path, monkeypatch):
    """Returns a function that trains for an epoch, stops in the second, and resumes."""

    def train(log):
        def stop(self, model, progress):
            if progress.epoch == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(loop.RunWriter, "end_epoch", _then(loop.RunWriter.end_epoch, stop))
            trained(tmp_path / "run", log=log, epochs=2)
        return trained(tmp_path / "run", log=log, epochs=2, resume=True)

    return train


def _then(first, second):
    def both(*arguments):
        first(*arguments)
        second(*arguments)

    return both


@pytest.mark.slow
def test_mlflow_continues_its_run(two_parts, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    run = two_parts("mlflow")
    (found,) = mlflow.search_runs(output_format="list")
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "val_loss")
    assert found.data.params["dataset"] == "digits" and found.info.run_name == "run"
    assert [entry.value for entry in history][-1] == float(read_log(run.path / "log.csv")[-1]["val_loss"])


@pytest.mark.slow
def test_wandb_writes_its_files_offline(two_parts, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = two_parts("wandb")
    folders = [path.name for path in (run.path / "wandb").glob("offline-run-*")]
    assert len(folders) == 2 and len({name.rpartition("-")[2] for name in folders}) == 1  # one key


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_tracker_is_named_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install 'keras-mgnet\[{name}\]'"):
        trained(tmp_path / "run", log=name)
    assert not (tmp_path / "run").exists() and not (tmp_path / "runs").exists()


def test_a_resumed_run_may_have_another_tracker(tmp_path):
    trained(tmp_path / "run", epochs=1)
    assert open_run(tmp_path / "run").record["config"]["log"] == "none"
    assert trained(tmp_path / "run", epochs=1, log="tensorboard", resume=True).record["result"]["epochs"] == 1
