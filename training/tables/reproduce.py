"""Reruns the papers' tables. Every row and seed has a run directory. A report compares our results with the published ones."""

import os
from dataclasses import replace

from rich.console import Console

from keras_mgnet.console import progress_bar, stderr
from keras_mgnet.recipes import recipe
from keras_mgnet.training.loop.callbacks import StopSignals
from keras_mgnet.training.loop.identity import check_same
from keras_mgnet.training.loop.loop import STATUS, STOPPED, train
from keras_mgnet.training.loop.strategy import read_cluster
from keras_mgnet.training.loop.task import load_data
from keras_mgnet.training.runs.measure import described
from keras_mgnet.training.runs.run import Run, open_run
from keras_mgnet.training.tables.report import Outcome, Result, write_report
from keras_mgnet.training.tables.request import Reproduction
from keras_mgnet.training.tables.tables import Row, table, table_rows

ENDED = ("finished", "diverged")  # a run that diverged would diverge again
Pending = list[tuple[Row, int]]


def reproduce(asked: Reproduction, console: Console | None = None) -> Outcome:
    """Trains, resumes or reuses the run of every selected row and seed. Writes the report at the start and after each run.

    All rows are trained with seed 1 first, then with seed 2, and so on. The table is therefore complete early, at first without
    spread. Ctrl-C and SIGTERM stop after the current step and write a checkpoint. The same call then continues from there.

    Args:
        asked: what to reproduce.
        console: where to show progress; None for standard error.

    Raises:
        ValueError: before anything is run, if no row has its data on this machine, the directory holds a run with another
            configuration, or TF_CONFIG names several machines.

    Example:
        >>> reproduce(Reproduction("he2019:2", Path("he2019-2"), ("resnet18*",), {"epochs": 2}))  # doctest: +SKIP
    """
    _check_alone()
    console = console or stderr()
    pending = pending_runs(asked, existing_runs(asked))
    obstacles = find_obstacles(asked, pending)
    runnable = [(row, seed) for row, seed in pending if row.dataset not in obstacles]
    if obstacles:
        message = _cannot_run(pending, obstacles)
        if not runnable:
            raise ValueError(message)
        console.out(f"skipped: {message}", highlight=False)

    outcome = _report(asked, obstacles)
    with StopSignals() as signals, progress_bar(console) as progress:
        bar = progress.add_task(asked.table, total=len(runnable))
        for row, seed in runnable:
            if signals.received:  # between two runs; within a run, the run itself handles it
                return replace(outcome, stopped=STATUS[signals.received])
            progress.update(bar, description=f"{row.key}, seed {seed}")
            try:
                result = train(asked.config(row, seed), console).record["result"]
            finally:  # a failed run shows as a gap in the report
                outcome = _report(asked, obstacles)
            console.out(_line(row, seed, result), highlight=False)
            if result["status"] in STOPPED:
                return replace(outcome, stopped=result["status"])
            progress.advance(bar)
    return outcome


def existing_runs(asked: Reproduction) -> dict[str, dict[int, Run]]:
    """Returns the runs that the directory already has, as {key of the row: {seed: run}}.

    Raises ValueError if the configuration of a run differs from the one requested. The message names the field.
    """
    return {row.key: _runs(asked, row) for row in table_rows(asked.table)}


def pending_runs(asked: Reproduction, existing: dict[str, dict[int, Run]]) -> Pending:
    """Returns the rows and seeds whose runs have not ended yet."""

    def is_pending(row: Row, seed: int) -> bool:
        run = existing[row.key].get(seed)
        return run is None or run.record["result"]["status"] not in ENDED

    every = ((row, seed) for seed in range(1, asked.seeds + 1) for row in asked.selected)
    return [(row, seed) for row, seed in every if is_pending(row, seed)]


def find_obstacles(asked: Reproduction, pending: Pending) -> dict[str, str]:
    """Returns {data set: reason} for the data sets that cannot be loaded on this machine."""
    obstacles = {}
    for name, (row, seed) in {row.dataset: (row, seed) for row, seed in pending}.items():
        config = asked.config(row, seed)
        try:
            load_data(config)
        except (ValueError, ImportError, OSError) as error:
            obstacles[name] = str(error)
    return obstacles


def _runs(asked: Reproduction, row: Row) -> dict[int, Run]:
    records = sorted(asked.directory(row, 1).parent.glob("seed-*/run.json"))
    runs = {int(record.parent.name.removeprefix("seed-")): open_run(record.parent) for record in records}
    for seed, run in runs.items():
        config = asked.config(row, seed)
        wanted = config.resolve(recipe(row.recipe), run.input_shape[-1]).to_dict()
        asked_for, found = wanted["dataset"], run.record["config"]["dataset"]
        if asked_for != found:  # `check_same` compares the images, which are not read here
            raise ValueError(
                f"expected dataset={found!r} as in the run in '{run.path}', or another directory. "
                f"Received: dataset={asked_for!r}"
            )
        check_same(run.record | {"config": wanted}, run.record, run.path)
    return dict(sorted(runs.items()))


def _check_alone() -> None:
    workers = len(read_cluster(os.environ.get("TF_CONFIG", "")).addresses)
    if workers > 1:
        raise ValueError(
            "expected reproduce on one machine, because several machines would write the same runs. "
            f"Received: {workers} workers in TF_CONFIG"
        )


def _cannot_run(pending: Pending, obstacles: dict[str, str]) -> str:
    reasons = []
    for name, reason in obstacles.items():
        rows = dict.fromkeys(row.key for row, _ in pending if row.dataset == name)
        reasons.append(f"{', '.join(rows)} cannot run here, unless --data {name}=... says where the data is: {reason}")
    return "\n".join(reasons)


def _report(asked: Reproduction, obstacles: dict[str, str]) -> Outcome:
    existing = existing_runs(asked)
    results = [
        Result(
            row,
            asked.training(row),
            asked.seeds,
            existing[row.key],
            f"no {row.dataset} on this machine" if row.dataset in obstacles else None,
        )
        for row in table_rows(asked.table)
    ]
    paths = write_report(table(asked.table), results, asked.headline, asked.out)
    return Outcome(results, paths)


def _line(row: Row, seed: int, result: dict) -> str:
    text = f"{row.key}, seed {seed}: {result['status']} after {result['epochs']} epochs"
    if result["epochs"]:
        text += f", {described(result)}"
    return text if row.published is None else f"{text}; published {row.published:.2f} %"
