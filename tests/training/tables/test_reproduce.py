"""The papers' tables: which rows they have, what is run, reused, resumed or refused, and the report."""

import io
import json
import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from keras_mgnet import count_params, create_model, list_models, model_info
from keras_mgnet.cli import command_line
from keras_mgnet.description import description, level_table
from keras_mgnet.files import write_json
from keras_mgnet.recipes import RECIPES, recipe
from keras_mgnet.training.runs.run import open_run
from keras_mgnet.training.tables import reproduce as module
from keras_mgnet.training.tables.cost import estimate, training_rate
from keras_mgnet.training.tables.report import Outcome
from keras_mgnet.training.tables.reproduce import reproduce
from keras_mgnet.training.tables.request import Reproduction
from keras_mgnet.training.tables.tables import OTHER_READING, TABLES, table_rows
from support.command import invoke
from support.runs import record

SMALL = {"budget": {"epochs": 2}, "set": {"base_width": 2}, "data": {"mnist": "digits"}}


def rows_by_key(name):
    return {row.key: row for row in table_rows(name)}


# Tables


@pytest.mark.parametrize("name", TABLES)
def test_the_rows_of_a_table_are_presets_with_a_recipe(name):
    rows = table_rows(name)
    assert rows and len(rows_by_key(name)) == len(rows)
    assert {row.model for row in rows} <= set(list_models()) and {row.recipe for row in rows} <= set(RECIPES)
    assert {row.dataset for row in rows} == set(TABLES[name].datasets)


def test_every_published_accuracy_is_a_row_of_a_table():
    rows = {(row.model, row.dataset, row.published) for name in TABLES for row in table_rows(name)}
    for info in map(model_info, list_models()):
        if info.name.endswith(OTHER_READING):
            continue
        for printed in info.published:
            if printed.figure is not None and printed.dataset.classes:
                assert (info.name, printed.dataset.name, printed.figure) in rows


@pytest.mark.parametrize(
    ("name", "count", "key", "published", "recipe"),
    [
        ("he2019:1", 16, "fb_resnet_linear_linear", 70.96, "he2019_resnet18"),
        ("he2019:2", 4, "preact_resnet18_shared_a_mnist", 99.64, "he2019_mnist"),
        ("he2019:3", 48, "resnet34_shared_a-cifar100", 77.24, "he2019_resnet34"),
        ("he2019:4", 4, "resnet18_shared_a_imagenet", 69.45, "he2019_imagenet"),
        ("lu2018:2", 23, "preact_resnet110-cifar100", 72.24, "lu2018_cifar100"),
        ("lu2018:2", 23, "preact_resnet110-cifar10", 93.63, "lu2018_cifar10"),
        ("lu2018:2", 23, "densenet_bc_190_40-cifar100", 82.82, "densenet"),
        ("lu2018:3", 5, "lm_resnet101", 77.4, "lu2018_imagenet"),
        ("lu2018:4", 8, "lm_resnet110_stochastic_depth", 95.2, "stochastic_depth"),
        ("xuteam:cifar", 6, "mgnet_2222_c256_shared_b-cifar10", 96.0, "xuteam"),
        ("xuteam:cifar", 6, "resnet18-cifar10", 95.28, "xuteam"),
        ("xuteam:imagenet", 2, "mgnet_3463_c128_256_512_1024", 78.59, "xuteam"),
        ("multi-resnet:cifar", 8, "multi_resnet200_k5-cifar100", 79.58, "lu2018_cifar100"),
        ("revnet:cifar", 3, "revnet38", None, "revnet"),
    ],
)
def test_rows_are_those_that_the_source_prints(name, count, key, published, recipe):
    row = rows_by_key(name)[key]
    assert (len(table_rows(name)), row.published, row.recipe) == (count, published, recipe)


def test_both_readings_of_a_row_are_there_where_the_text_misses_the_printed_size():
    rows = rows_by_key("he2019:3")
    for row in rows.values():
        if OTHER_READING in row.key:
            text = rows[row.key.replace(OTHER_READING, "")]
            assert (text.size_matches, row.size_matches) == (False, True) and text.published == row.published
    assert "resnet18_shared_a-cifar10" in rows and "resnet18_shared_a_published_size-cifar10" not in rows


# What is asked for


@pytest.mark.parametrize(
    ("patterns", "keys"),
    [
        (("2",), ["resnet18_shared_a_mnist"]),
        (("preact*",), ["preact_resnet18_mnist", "preact_resnet18_shared_a_mnist"]),
        (("3", "resnet18_mnist", "1"), ["resnet18_mnist", "preact_resnet18_mnist"]),
    ],
)
def test_rows_are_chosen_by_number_key_or_pattern(patterns, keys, tmp_path):
    assert [row.key for row in Reproduction("he2019:2", tmp_path, patterns).selected] == keys


def test_a_name_without_its_data_set_is_the_row_on_each(tmp_path):
    chosen = Reproduction("he2019:3", tmp_path, ("resnet18",)).selected
    assert [row.key for row in chosen] == ["resnet18-cifar10", "resnet18-cifar100"]


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        ("he2019:5", {}, "unknown table 'he2019:5'; did you mean"),
        ("he2019:2", {"rows": ("resnet34",)}, "unknown row of he2019:2 'resnet34'; did you mean 'resnet18"),
        ("he2019:2", {"rows": ("0",)}, "unknown row of he2019:2 '0'"),
        ("he2019:2", {"budget": {"epoch": 2}}, "unknown budget 'epoch'; did you mean 'epochs'"),
        ("he2019:2", {"budget": {"epochs": 0}}, "expected epochs >= 1"),
        ("he2019:2", {"set": {"base_with": 2}}, "unknown argument of ResNet 'base_with'; did you mean 'base_width'"),
        ("he2019:2", {"data": {"cifar10": "digits"}}, "unknown data set of he2019:2 'cifar10'"),
        ("he2019:2", {"seeds": 0}, "expected seeds >= 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(table, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Reproduction(table, tmp_path, **arguments)


def test_a_run_takes_the_recipe_of_its_row_and_the_budget(tmp_path):
    asked = Reproduction("xuteam:cifar", tmp_path, ("resnet18-cifar10",), {"epochs": 3})
    config = asked.config(asked.selected[0], 2)
    assert (config.recipe, config.epochs, config.seed, config.resume) == ("xuteam", 3, 2, True)
    assert config.resolve(recipe(config.recipe), 3).weight_decay == RECIPES["xuteam"].weight_decay
    assert asked.training(asked.selected[0]) == "xuteam, 3 of 300 epochs, schedule=cosine"
    full, step = (Reproduction("xuteam:cifar", tmp_path, budget=b) for b in ({}, {"epochs": 3, "schedule": "step"}))
    assert full.training(full.selected[0]) == "xuteam, 300 epochs"
    assert step.training(step.selected[0]) == "xuteam, 3 of 300 epochs, schedule=step"


def test_images_of_a_folder_are_resized_to_the_published_size(tmp_path):
    asked = Reproduction("he2019:4", tmp_path, ("1",), data={"imagenet": "folder:photos"})
    assert asked.config(asked.selected[0], 1).image_size == 224


# What is run. `train` is replaced by one that leaves the run directory of a given end at once.


class Trained(list):
    """The configurations that were trained, and how the run of a number ends: "finished" unless `ends` says otherwise."""

    def __init__(self):
        super().__init__()
        self.ends = {}

    def train(self, config, console=None):
        self.append(config)
        status, path = self.ends.get(len(self), "finished"), Path(config.out)
        best, last = 0.5 + 0.1 * config.seed, 0.4 + 0.1 * config.seed
        path.mkdir(parents=True, exist_ok=True)
        (path / "log.csv").write_text(f"accuracy,val_accuracy\n{best},{best}\n{last},{last}\n")
        result = {"epochs": 2, "last_test_accuracy": last, "best_test_accuracy": best, "best_epoch": 1}
        resolved = config.resolve(recipe(config.recipe), 1).to_dict()
        write_json(path / "run.json", record(resolved, params=1234, status=status, reason="", hint="", **result))
        if status == "failed":
            raise RuntimeError("out of memory")
        return open_run(path)


@pytest.fixture
def trained(monkeypatch):
    runs = Trained()
    monkeypatch.setattr(module, "train", runs.train)
    return runs


def run(tmp_path, *rows, seeds=1, **changes) -> tuple[Outcome, str]:
    console = Console(file=io.StringIO(), width=200)
    asked = Reproduction("he2019:2", tmp_path / "out", rows, seeds=seeds, **SMALL | changes)
    return reproduce(asked, console), console.file.getvalue()


def test_the_report_has_mean_spread_and_difference_of_the_last_and_the_best_epoch(trained, tmp_path):
    outcome, printed = run(tmp_path, "1", seeds=3)
    assert [path.name for path in outcome.paths] == ["table.md", "table.json", "table.png"]
    row = json.loads((tmp_path / "out" / "table.json").read_text())["rows"][0]
    for name, values in (("last", [50, 60, 70]), ("best", [60, 70, 80])):
        expected = {"mean": np.mean(values), "spread": np.std(values, ddof=1), "difference": np.mean(values) - 99.56}
        assert row["accuracy"][name] == pytest.approx(expected, abs=1e-3)
    assert (row["params"], row["size"], row["gap"]) == (1234, "11M", "")
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| 60.00 ± 10.00 | -39.56 | 70.00 ± 10.00 | -29.56 | 3 |" in text
    assert (tmp_path / "out" / "table.png").read_bytes().startswith(b"\x89PNG")
    reached = "test accuracy 50.00% (best test accuracy 60.00% in epoch 1)"
    assert f"resnet18_mnist, seed 1: finished after 2 epochs, {reached}; published 99.56 %" in printed


def test_a_smaller_budget_is_named_in_the_header_and_in_every_row(trained, tmp_path):
    run(tmp_path, "1", budget={"epochs": 2, "batch_size": 32})
    text = (tmp_path / "out" / "table.md").read_text()
    assert (
        "**Every row is trained with changes: epochs=2, batch_size=32, base_width=2. Data: digits instead of mnist.**"
        in text
    )
    rows = [line for line in text.splitlines() if line.startswith(("| resnet18", "| preact"))]
    words = "| he2019_mnist, 2 of 60 epochs, schedule=cosine, batch_size=32, base_width=2, mnist=digits |"
    assert len(rows) == 4 and all(row.endswith(words) for row in rows)


def test_the_full_recipe_is_named_with_its_source(trained, tmp_path):
    run(tmp_path, "1", budget={}, set={})
    text = (tmp_path / "out" / "table.md").read_text()
    assert (
        "**Every row is trained with its full recipe. Data: digits instead of mnist.**" in text
        and "he2019_mnist, 60 epochs" in text
    )
    assert "- recipe he2019_mnist: He2019, section 5.1" in text


def test_one_seed_has_no_spread_and_rows_without_runs_are_gaps(trained, tmp_path):
    run(tmp_path, "1")
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    first, second = [line for line in lines if line.startswith("| resnet18")]
    assert "| 50.00 | -49.56 | 60.00 | -39.56 | 1 |" in first
    assert "| — | — | — | — | 0 of 1 (not run) |" in second


def test_seed_1_of_every_row_comes_first_and_finished_runs_are_reused(trained, tmp_path):
    run(tmp_path, "1", "2", seeds=2)
    assert [(config.model, config.seed) for config in trained] == [
        ("resnet18_mnist", 1),
        ("resnet18_shared_a_mnist", 1),
        ("resnet18_mnist", 2),
        ("resnet18_shared_a_mnist", 2),
    ]
    trained.clear()
    outcome, _ = run(tmp_path, "1", "2", seeds=3)
    assert [config.seed for config in trained] == [3, 3]
    assert [result.gap for result in outcome.results] == ["", "", "not run", "not run"]


@pytest.mark.parametrize("status", ["interrupted", "preempted"])
def test_a_stopped_reproduction_goes_on_where_it_stopped(status, trained, tmp_path):
    trained.ends = {2: status}
    outcome, _ = run(tmp_path, "1", "2", "3")
    assert outcome.stopped == status and len(trained) == 2
    assert [result.gap for result in outcome.results[:3]] == ["", f"seed 1 {status} after 2 epochs", "not run"]
    assert outcome.results[1].accuracies == {}
    outcome, _ = run(tmp_path, "1", "2", "3")
    assert outcome.stopped is None
    assert [config.model for config in trained[2:]] == ["resnet18_shared_a_mnist", "preact_resnet18_mnist"]


def test_a_signal_between_two_runs_stops_too(trained, tmp_path, monkeypatch):
    def train_and_be_stopped(config, console=None):
        os.kill(os.getpid(), signal.SIGTERM)
        return trained.train(config)

    monkeypatch.setattr(module, "train", train_and_be_stopped)
    outcome, _ = run(tmp_path, "1", "2")
    assert outcome.stopped == "preempted" and len(trained) == 1
    assert [result.gap for result in outcome.results[:2]] == ["", "not run"]


@pytest.mark.parametrize(
    ("ends", "code", "complete", "said"),
    [
        ({}, 0, 2, "wrote "),
        ({2: "diverged"}, 1, 1, "resnet18_shared_a_mnist: seed 1 diverged after 2 epochs"),
        ({1: "interrupted"}, 130, 0, "interrupted; the same command continues where it stopped"),
        ({2: "preempted"}, 143, 1, "preempted; the same command continues where it stopped"),
    ],
)
def test_the_command_counts_the_rows_asked_for_and_its_code_says_how_they_ended(
    ends, code, complete, said, trained, tmp_path
):
    trained.ends = ends
    words = ["reproduce", "he2019:2", "--rows", "1", "2", "--seeds", "1", "--data", "mnist=digits"]
    result = CliRunner().invoke(command_line(words), [*words, "--out", str(tmp_path)])
    assert result.exit_code == code, result.output
    assert f"{complete} of 2 rows complete" in result.output and said in result.output


def test_several_machines_are_refused(trained, tmp_path, monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match=r"expected reproduce on one machine.*Received: 2 workers in TF_CONFIG"):
        run(tmp_path, "1")
    assert trained == [] and not list(tmp_path.iterdir())


def test_a_killed_run_is_a_gap_and_goes_on(trained, tmp_path):
    trained.ends = {1: "running"}
    outcome, _ = run(tmp_path, "1")
    assert outcome.results[0].gap == "seed 1 not ended"
    outcome, _ = run(tmp_path, "1")
    assert outcome.results[0].gap == "" and len(trained) == 2


def test_a_diverged_run_is_a_gap_and_is_not_repeated(trained, tmp_path):
    trained.ends = {1: "diverged"}
    outcome, _ = run(tmp_path, "1", seeds=2)
    assert outcome.results[0].gap == "seed 1 diverged after 2 epochs"
    assert outcome.results[0].entry.seeds == (2,)
    run(tmp_path, "1", seeds=2)
    assert len(trained) == 2


def test_a_failed_run_is_a_gap_of_the_report(trained, tmp_path):
    trained.ends = {1: "failed"}
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, "1")
    assert "0 of 1 (seed 1 failed after 2 epochs)" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"epochs": 3}}, "expected epochs=2 as in the run in .*resnet18_mnist/seed-1'"),
        ({"set": {"base_width": 4}}, "expected set={.*} as in the run"),
        ({"budget": {"epochs": 2, "learning_rate": 0.01}}, "expected learning_rate=.* as in the run"),
        ({"data": {}}, "expected dataset=.* as in the run"),
    ],
)
def test_a_run_of_another_configuration_is_refused_before_anything_runs(changes, message, trained, tmp_path):
    run(tmp_path, "1")
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("table.*")}
    with pytest.raises(ValueError, match=message):
        run(tmp_path, "2", **changes)
    assert len(trained) == 1
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").glob("table.*")}


def no_cifar100(config):
    if config.dataset == "cifar100":
        raise ValueError("expected cifar100 prepared for TFDS. Received: no data in /data")


def test_rows_without_data_are_named_and_the_others_run(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_data", no_cifar100)
    console = Console(file=io.StringIO(), width=500)
    outcome = reproduce(Reproduction("he2019:3", tmp_path, ("resnet18", "resnet34"), {"epochs": 1}), console)
    assert [config.dataset for config in trained] == ["cifar10", "cifar10"]
    assert "skipped: resnet18-cifar100, resnet34-cifar100 cannot run here" in console.file.getvalue()
    gaps = {result.row.key: result.gap for result in outcome.results}
    assert gaps["resnet18-cifar100"] == "no cifar100 on this machine" and gaps["resnet34-cifar10"] == ""


def test_where_no_row_has_its_data_nothing_is_written(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_data", no_cifar100)
    with pytest.raises(
        ValueError, match=r"resnet18-cifar100 cannot run here, unless --data cifar100=.*prepared for TFDS"
    ):
        reproduce(Reproduction("he2019:3", tmp_path / "out", ("resnet18-cifar100",)))
    assert trained == [] and not (tmp_path / "out").exists()


# What it costs


def test_the_cost_counts_the_network_and_what_is_still_to_run(tmp_path):
    asked = Reproduction("he2019:3", tmp_path, ("resnet18_shared_a",), {"batch_size": 100}, {"base_width": 2})
    ten, hundred = estimate(asked, {"resnet18_shared_a-cifar10": 3, "resnet18_shared_a-cifar100": 0})
    model = create_model("resnet18_shared_a", base_width=2)
    assert ten.params == count_params(model) and hundred.params == ten.params + 90 * (16 + 1)
    assert ten.multiply_adds == sum(level.multiply_adds for level in level_table(model))
    assert (ten.epochs, ten.steps, ten.runs) == (120, 500, 3)
    assert ten.seconds_per_step == 3 * 100 * ten.multiply_adds / training_rate("float32")
    assert ten.hours == pytest.approx(3 * 120 * 500 * ten.seconds_per_step / 3600) and ten.hours > 0 == hundred.hours


@pytest.mark.parametrize("name", ["resnet18_shared_a", "preact_resnet18_shared_ab"])
def test_the_cost_of_a_network_as_published_is_that_of_the_network(name, tmp_path):
    ten, hundred = estimate(Reproduction("he2019:3", tmp_path, (name,)), Counter())
    for cost, classes in ((ten, 10), (hundred, 100)):
        built = description(create_model(name, classes=classes))
        assert (cost.params, cost.multiply_adds) == (built.params, built.multiply_adds)


def test_a_dry_run_shows_the_cost_and_writes_nothing(tmp_path):
    options = ["--budget", "epochs=2", "batch_size=8", "--set", "base_width=2", "--data", "mnist=digits"]
    output = invoke("reproduce", "he2019:2", "--rows", 1, 2, *options, "--out", tmp_path / "out", "--dry-run")
    assert " PFLOP, 6 runs to make" in output and "Every row is trained with changes: epochs=2, batch_size=8" in output
    assert "resnet18_shared_a_mnist" in output and "7,500" in output
    assert not list(tmp_path.iterdir())


# For real


def test_two_rows_are_trained_resumed_and_reported(tmp_path):
    options = ["--budget", "epochs=1", "--set", "base_width=2", "--data", "mnist=digits", "--out", tmp_path / "out"]
    output = invoke("reproduce", "he2019:2", "--rows", 1, 4, "--seeds", 1, *options)
    assert f"2 of 2 rows complete\nwrote {tmp_path / 'out' / 'table.md'}" in output
    rows = json.loads((tmp_path / "out" / "table.json").read_text())["rows"]
    record = open_run(tmp_path / "out" / "preact_resnet18_shared_a_mnist" / "seed-1").record
    assert rows[3]["params"] == record["model"]["params"]
    assert rows[3]["accuracy"]["last"]["mean"] == pytest.approx(100 * record["result"]["last_test_accuracy"], abs=1e-3)
    again = invoke("reproduce", "he2019:2", "--rows", 1, 4, "--seeds", 1, *options)
    assert "2 of 2 rows complete" in again
    assert open_run(tmp_path / "out" / "preact_resnet18_shared_a_mnist" / "seed-1").record == record
