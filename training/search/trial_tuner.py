"""KerasTuner with training runs as trials: a tuner, and oracles whose files stay intact if the process is killed."""

import os
import shutil
import signal
import sys
import threading
import time
import traceback
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import StringConstraints
from typing_extensions import TypedDict

from keras_mgnet import compat
from keras_mgnet.errors import one_line
from keras_mgnet.extras import TUNE, extra
from keras_mgnet.files import write_json
from keras_mgnet.schema import open_ended, read_json
from keras_mgnet.training.data.dataset import Dataset, load
from keras_mgnet.training.loop.loop import STOPPED, train
from keras_mgnet.training.search.config import TuneConfig, read_search
from keras_mgnet.training.search.local_search import CHIEF
from keras_mgnet.training.search.trials import RECORD, Trial
from keras_mgnet.tuner import HyperNetwork

keras_tuner = extra("keras_tuner", TUNE)
PAUSE = 0.2  # seconds before a tuner asks for a trial: hyperband has none until a round is over


OF_TUNER = "the files of a search of KerasTuner; restore them, or search anew in another directory"


@open_ended
class Parameters(TypedDict):
    """The hyperparameters of a search or of a trial."""

    space: list[dict[str, Any]]
    values: dict[str, Any]


@open_ended
class OracleState(TypedDict):
    """The content of oracle.json."""

    ongoing_trials: dict[str, str]
    hyperparameters: Parameters
    start_order: list[Annotated[str, StringConstraints(pattern=r"^\w+$")]]
    end_order: list[str]
    run_times: dict[str, int]
    retry_queue: list[str]
    seed: int
    seed_state: int
    tried_so_far: list[str]
    id_to_hash: dict[str, str | None]
    display: dict[str, Any]


@open_ended
class TrialState(TypedDict):
    """The content of trial.json."""

    trial_id: str
    hyperparameters: Parameters
    metrics: dict[str, Any]
    score: float | None
    best_step: int | None
    status: str
    message: str | None


class TrialTuner(keras_tuner.Tuner):
    """A tuner that is chief, worker or alone. KerasTuner's environment variables give the role."""

    def __init__(self, config: TuneConfig):
        self.config, self.images = config, f"npz:{config.data}"
        self.network = hypermodel(config, load(self.images))
        super().__init__(
            oracle(config), self.network.declare, directory=config.out, project_name=config.trials_directory.name
        )
        if self.keeps_oracle:
            self.oracle.reload()

    @property
    def keeps_oracle(self) -> bool:
        """Whether the oracle runs in this process. It does in the chief, and in a process that searches alone."""
        return CHIEF in self.tuner_id or "KERASTUNER_ORACLE_IP" not in os.environ

    def search(self) -> None:
        """Searches without the output of KerasTuner. `local_search` shows the trials instead."""
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            super().search()

    def run_trial(self, trial) -> dict[str, float]:
        """Trains the network of a trial, or resumes the training, and returns the accuracy on the held-out images."""
        hp, directory = trial.hyperparameters, Path(self.get_trial_dir(trial.trial_id))
        rates = {"learning_rate": hp["learning_rate"], "weight_decay": hp["weight_decay"]}
        arguments = self.network.arguments(hp)
        shared = self.config.run(hp.values.get("tuner/epochs", self.config.epochs))
        augment = shared.augment or (None if shared.mirrors else "none")  # the arrays do not tell what they show
        place = {"dataset": self.images, "image_size": None, "augment": augment, "out": str(directory / "run")}
        try:
            run = train(replace(shared, **place, **rates, set=arguments, resume=True, keep=1))
        except Exception:
            traceback.print_exc()  # KerasTuner's protocol does not transmit it
            raise
        result = run.record["result"]
        if result["status"] in STOPPED:
            sys.exit(STOPPED[result["status"]])
        record = Trial(
            number=int(trial.trial_id),
            accuracy=result["last_test_accuracy"] if result["status"] == "finished" else 0.0,
            **self.network.cost(arguments)._asdict(),
            arguments=arguments,
            **rates,
            epochs=shared.epochs,
            seconds=result["seconds"],
            status=result["status"],
            worker=self.tuner_id,
        )
        write_json(directory / RECORD, asdict(record))
        return {"val_accuracy": record.accuracy}

    def pre_create_trial(self):
        time.sleep(PAUSE)

    def save(self):
        """Saves the oracle. The tuner itself has no state."""
        if self.keeps_oracle:
            self.oracle.save()


def hypermodel(config: TuneConfig, data: Dataset) -> HyperNetwork:
    """Returns the search space for the images and classes of `data`."""
    budget = {"max_params": config.max_params, "max_madds": config.max_madds}
    return HyperNetwork(config.model, data.input_shape, data.classes, **budget)


class _Durable(keras_tuner.Oracle):
    """An oracle that writes its state to `file`, and its trials next to `file`. A kill leaves no half-written file."""

    def save(self):
        write_json(self.file, self.get_state())

    def save_trial(self, trial):
        write_json(self.file.parent / f"trial_{trial.trial_id}" / "trial.json", trial.get_state())

    def reload(self):
        known = known_trials(self.file)
        for directory in self.file.parent.glob("trial_*"):
            if directory.name.removeprefix("trial_") not in known:  # killed while it was drawn: draw it again
                shutil.rmtree(directory)
        if self.file.is_file():
            try:
                super().reload()
            except Exception as error:  # files that do not fit each other end in several errors of KerasTuner
                raise ValueError(f"expected {OF_TUNER}. Received: '{self.file.parent}' ({one_line(error)})") from error


def known_trials(oracle: Path) -> list[str]:
    """Returns the names of the trials in an oracle.json, after a check of this file and of the files of these trials.

    Raises ValueError for a file that is damaged or missing.
    """
    if not oracle.is_file():
        return []
    names = read_json(oracle, OracleState, OF_TUNER)["start_order"]
    for name in names:
        file = oracle.parent / f"trial_{name}" / "trial.json"
        if not file.is_file():
            raise ValueError(f"expected {OF_TUNER}. Received: no '{file}', which '{oracle}' names")
        read_json(file, TrialState, OF_TUNER)
    return names


def oracle(config: TuneConfig) -> keras_tuner.Oracle:
    """Returns the oracle for the method of a search."""
    at_random = max(3, config.trials // 3)  # random trials first; KerasTuner's default is three per hyperparameter
    kind, options = {
        "random": (keras_tuner.oracles.RandomSearchOracle, {}),
        "bayesian": (keras_tuner.oracles.BayesianOptimizationOracle, {"num_initial_points": at_random}),
        "hyperband": (keras_tuner.oracles.HyperbandOracle, {"max_epochs": config.epochs, "hyperband_iterations": None}),
    }[config.method]
    objective, seed = keras_tuner.Objective("val_accuracy", "max"), config.seed + 1  # 0 would mean a random seed
    durable = type("Durable", (_Durable, kind), {})(objective=objective, seed=seed, **options)
    durable.max_trials, durable.file = config.trials, config.oracle
    compat.save_trials_by(durable, durable.save_trial)
    return durable


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the parent has ended
    os._exit(1)


if __name__ == "__main__":  # as a process of `local_search`
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if os.environ["KERASTUNER_TUNER_ID"] != CHIEF:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    (path,) = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        TrialTuner(read_search(path)).search()
