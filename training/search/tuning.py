"""Searches for networks: KerasTuner draws them, every trial is a training run, and the best is trained on all images.

OUT/search.json     versions and configuration
OUT/data.npz        the training images for the trials, and the held-out images on which trials are compared
OUT/trials/         the files of KerasTuner, and the run directory and record of every trial
OUT/logs/           the output of the local processes
OUT/best/           the run directory of the best network, trained on the whole training split
OUT/results.md, results.json, pareto.png
"""

import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from keras_mgnet.console import stderr
from keras_mgnet.files import clear_staged, staged_file, write_json
from keras_mgnet.training.data.dataset import Dataset, load
from keras_mgnet.training.loop.loop import STOPPED, train
from keras_mgnet.training.runs.run import Run, open_run
from keras_mgnet.training.search.config import TuneConfig
from keras_mgnet.training.search.local_search import CHIEF, POLL, run_processes
from keras_mgnet.training.search.trial_tuner import TrialTuner, hypermodel, known_trials
from keras_mgnet.training.search.trials import Trial, doubt, markdown, plot_pareto, read_trials
from keras_mgnet.version import versions

PATIENCE = 3600  # seconds that a worker waits for its chief, as in KerasTuner


def tune(config: TuneConfig, console: Console | None = None) -> Run | None:
    """Searches for the best network, then trains it on all training images. Only this network is evaluated on the test images.

    Starts a chief and `workers` worker processes on this machine. On a cluster, set the environment variables
    KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT. This process then takes the role that
    KERASTUNER_TUNER_ID names, and starts no other process. With `resume`, a stopped search keeps its finished trials, and
    continues unfinished trials from their last checkpoint.

    Args:
        config: the configuration.
        console: where to show progress; None for standard error.

    Returns:
        The run of the best network. A worker of a cluster returns None, because only the chief trains the best network.

    Raises:
        ValueError: if the configuration, the data set or the directory is not usable. It is raised before anything is written.
        ChildProcessError: if a local process fails, no trial finishes, or the best network diverges.
        TimeoutError: if the chief of a cluster does not begin the search within an hour.
        KeyboardInterrupt, SystemExit: if a signal stops the search, after the local processes have saved their work.

    Example:
        >>> tune(TuneConfig("digits", trials=2, epochs=1, max_params=20_000, out=tmp)).path.name  # doctest: +SKIP
        'best'
    """
    role = os.environ["KERASTUNER_TUNER_ID"] if "KERASTUNER_ORACLE_IP" in os.environ else None
    console, start = console or stderr(), time.perf_counter()
    if role in (None, CHIEF):
        begin(config)
    else:
        _await_chief(config)
    if role is None:
        run_processes(config, console)
    else:
        TrialTuner(config).search()
    return finish(config, time.perf_counter() - start, console) if role in (None, CHIEF) else None


def begin(config: TuneConfig) -> None:
    """Checks a search, then writes the files from which its processes start: the configuration and the data of the trials."""
    out, resumed = Path(config.out), config.resume and config.record.is_file()
    if resumed:
        config.check_same()
        known_trials(config.oracle)
    elif any(out.glob("[!.]*")) or out.is_file():
        advice = ", or --resume" if config.record.is_file() else ""
        raise ValueError(f"expected a new or empty directory{advice}. Received: '{out}'")
    data = load(config.dataset, image_size=config.image_size)
    hypermodel(config, data)
    kept, held_out = _hold_out(data, config)
    for folder in (out, config.trials_directory, *config.trials_directory.glob("trial_*")):
        clear_staged(folder)
    write_json(config.record, {"versions": versions(), "config": asdict(config)})
    if not config.data.is_file():
        _write_data(config.data, data, kept, held_out)


def _hold_out(data: Dataset, config: TuneConfig) -> list[np.ndarray]:
    from sklearn.model_selection import train_test_split

    labels, share = data.train.labels, config.validation
    rarest = np.bincount(labels, minlength=data.classes).min()
    if min(share, 1 - share) * rarest < 1:
        raise ValueError(
            f"expected images of every class among the held-out and among the other images, with validation={share}. "
            f"Received: {rarest} training images of one class"
        )
    return train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=config.seed)


def _write_data(path: Path, data: Dataset, kept: np.ndarray, held_out: np.ndarray) -> None:
    x, y = data.train.images, data.train.labels
    parts = {"x_train": x[kept], "y_train": y[kept], "x_test": x[held_out], "y_test": y[held_out]}
    with staged_file(path) as staged:
        np.savez(staged, class_names=np.array(data.class_names), mean=data.mean, std=data.std, **parts)


def finish(config: TuneConfig, seconds: float, console: Console) -> Run:
    """Writes the results of a complete search, trains the best network, and adds the test accuracy to the results.

    If the training diverges (ChildProcessError) or is stopped (SystemExit), the results have no test accuracy.
    """
    trials = read_trials(config.trials_directory)
    if not trials:
        raise ChildProcessError(f"expected a finished trial. Received: none, see '{config.trials_directory}'")
    results = {
        "title": f"{len(trials)} trials on {config.dataset}, {config.method} search",
        "session_seconds": round(seconds, 1),
        "best": trials[0].number,
        "test_accuracy": None,
        "doubt": doubt(trials, np.load(config.data)["y_test"]),
        "config": asdict(config),
        "trials": [asdict(trial) for trial in trials],
    }
    plot_pareto(trials, Path(config.out) / "pareto.png", results["title"])
    _write_results(config, trials, results)
    console.print(f"trial {trials[0].number} is the best; training its network on all training images")
    run = _train_best(config, trials[0], console)
    _write_results(config, trials, results | {"test_accuracy": run.record["result"]["last_test_accuracy"]})
    return run


def _write_results(config: TuneConfig, trials: list[Trial], results: dict[str, Any]) -> None:
    out, accuracy = Path(config.out), results["test_accuracy"]
    write_json(out / "results.json", results)
    tested = "not finished" if accuracy is None else f"test accuracy **{accuracy:.2%}**"
    parts = (
        f"# {results['title']}",
        markdown(trials),
        f"▸ on the Pareto front: no smaller network is as accurate on the held-out images. The network of trial "
        f"{trials[0].number}, trained on all training images: {tested}.",
        results["doubt"],
        "![Pareto front](pareto.png)",
    )
    with staged_file(out / "results.md") as staged:
        staged.write_text("\n\n".join(filter(None, parts)) + "\n")


def _train_best(config: TuneConfig, best: Trial, console: Console) -> Run:
    directory = Path(config.out) / "best"
    chosen = {"set": best.arguments, "learning_rate": best.learning_rate, "weight_decay": best.weight_decay}
    shared = config.run(best.epochs)
    if (directory / "run.json").is_file():
        found = open_run(directory).record["config"]
        if not (chosen | {"epochs": best.epochs}).items() <= found.items():  # the resumed search found a better one
            shutil.rmtree(directory)
    run = train(replace(shared, **chosen, out=str(directory), resume=True), console)
    result = run.record["result"]
    if result["status"] == "diverged":
        raise ChildProcessError(
            f"expected the network of trial {best.number} in '{config.out}/results.md' to train on all training images; "
            f"{result['hint']} with `train`, or resume with more --trials. Received: {result['reason']}"
        )
    if result["status"] in STOPPED:
        sys.exit(STOPPED[result["status"]])
    return run


def _await_chief(config: TuneConfig) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (config.record.is_file() and config.data.is_file()):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"expected a chief to begin a search in '{config.out}'. Received: none within {PATIENCE} s"
            )
        time.sleep(POLL)
    config.check_same()
