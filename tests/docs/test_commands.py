"""Every command line in README, documentation and records is one that our command line understands.

The blocks run in a real shell that has no program at all; what it would have started is handed to our command line, whose
commands check their configuration and do no work.
"""

import inspect
import re
import shutil
import subprocess
from functools import wraps
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_mgnet import model_info, models
from keras_mgnet.analysis import check_names
from keras_mgnet.benchmarks.bench import MEASUREMENTS
from keras_mgnet.benchmarks.networks import NETWORKS
from keras_mgnet.cli import GROUPS, command_line
from keras_mgnet.cli.generate import GenerateConfig
from keras_mgnet.cli.models import list_command
from keras_mgnet.cli.options import parse_pairs
from keras_mgnet.export import check_formats
from keras_mgnet.multigrid.learn import LearnConfig
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.search.config import TuneConfig
from keras_mgnet.training.tables.request import Reproduction
from support import ROOT
from support.pages import PAGES, Block, blocks, pages_with, without_fences

BASH, NODE = shutil.which("bash"), shutil.which("node")
NO_PROGRAMS = r"""
command_not_found_handle() {
    while (($#)) && [[ $1 != keras-mgnet ]]; do shift; done
    if (($#)); then printf '%s\x1f' "${@:2}" >> started; echo >> started; fi
}
"""
TESTED = {"python", "bash", "js"}  # here and in test_readme.py
SHOWN = {"text"}  # output and layouts, for reading alone


def check_model(name, arguments):
    known = inspect.signature(getattr(models, model_info(name).family)).parameters
    assert set(arguments) <= set(known), arguments


def check_reproduction(table, rows, budget, set, data, seeds, **others):
    pairs = {"budget": parse_pairs(budget), "set": parse_pairs(set), "data": parse_pairs(data)}
    Reproduction(table, Path("out"), tuple(rows or ()), seeds=seeds, **pairs)


def check_measurement(what, network, **others):
    assert what in MEASUREMENTS and {*network} <= {*NETWORKS}


def check_train(set, **others):
    if others["resume"] and others["out"] is None:
        return  # the directory of a run
    config = TrainConfig(set=parse_pairs(set), **others)
    check_model(config.model, config.set)


CHECKS = {  # command -> what it checks of its options besides their types; it does nothing else here
    "list": lambda pattern, **others: list_command(pattern),
    "describe": lambda name, set, **others: check_model(name, parse_pairs(set)),
    "train": check_train,
    "tune": lambda **values: TuneConfig(**values),
    "solve": lambda **values: LearnConfig(**values),
    "generate": lambda **values: GenerateConfig(**values),
    "export": lambda format, **others: check_formats(format),
    "analyze": lambda what, **others: check_names(name for name in what if name != "all"),
    "reproduce": check_reproduction,
    "bench": check_measurement,
}


@pytest.fixture
def understood(monkeypatch):
    """Returns a function that parses the words of a command line; whatever is wrong with them is an error."""
    for group, commands in GROUPS.items():
        module = import_module(f"keras_mgnet.cli.{group}")
        for name in commands:
            command = getattr(module, f"{name}_command")
            check = CHECKS.get(name, lambda *values, **options: None)
            monkeypatch.setattr(module, command.__name__, wraps(command)(check))

    def parse(words):
        result = CliRunner().invoke(command_line(words), words, catch_exceptions=False)
        assert result.exit_code == 0, f"keras-mgnet {' '.join(words)}: {result.output}"

    return parse


def started(block, folder):
    """Returns what a block of shell would start of `keras-mgnet`, a list of words each."""
    environment = {"PATH": str(folder / "nowhere"), "HOME": str(folder)}
    words = [BASH, "--norc", "-c", f"{NO_PROGRAMS}\n{block.code}"]
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert "syntax error" not in result.stderr, result.stderr
    record = folder / "started"
    lines = record.read_text().split("\n")[:-1] if record.exists() else []
    record.unlink(missing_ok=True)
    assert bool(lines) == ("keras-mgnet " in block.code), block.code
    return [line.split("\x1f")[:-1] for line in lines]


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize("page", pages_with("bash"))
def test_every_command_of_a_page_is_understood(page, understood, tmp_path):
    commands = [words for block in blocks(page, "bash") for words in started(block, tmp_path)]
    for words in dict.fromkeys(map(tuple, commands)):
        understood(words)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train mnist --epoch 3", "No such option"),
        ("train mnist --epochs three", "Invalid value"),
        ("train mnist --schedule cosin", "did you mean 'cosine'"),
        ("export run --format tflit --out x", "did you mean 'tflite'"),
        ("reproduce he2019:9", "unknown table"),
        ("tunes mnist", "No such command"),
    ],
)
def test_a_line_that_is_wrong_is_noticed(line, message, understood):
    with pytest.raises((AssertionError, ValueError), match=message):
        understood(line.split())


def test_a_shell_is_asked_what_it_would_start(tmp_path):
    code = 'f() { timeout 5 keras-mgnet "$@" | sort; }; for n in 1 2; do f $n "a b"; done'
    assert started(Block("bash", code, 0), tmp_path) == [["1", "a b"], ["2", "a b"]]


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_missed(page):
    """A block says its language, and text that is set in by four spaces is no code."""
    assert {block.language for block in blocks(page)} <= TESTED | SHOWN
    indented = re.findall(r"^ {4}.*", without_fences(page), flags=re.MULTILINE)
    assert [line for line in indented if re.search(r"keras-mgnet |^ +(import|from|pip|make|python) ", line)] == []


def test_programs_and_targets_of_the_pages_exist():
    shell = "\n".join(block.code for page in PAGES for block in blocks(page, "bash"))
    programs = re.findall(r"^python3? ([\w/]+\.py)", shell, flags=re.MULTILINE)
    modules = re.findall(r"^python3? -m (keras_mgnet[\w.]*)", shell, flags=re.MULTILINE)
    programs += [f"{module.replace('.', '/')}.py" for module in modules]
    texts = "\n".join(map(without_fences, PAGES))
    targets = re.findall(r"^make ([\w-]+)", shell, flags=re.MULTILINE) + re.findall(r"`make ([\w-]+)", texts)
    assert len(programs) > 4 and [name for name in programs if not (ROOT / name).is_file()] == []
    known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets) <= set(known)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize("page", pages_with("js"))
def test_javascript_is_javascript(page, tmp_path):
    for block in blocks(page, "js"):
        (tmp_path / "block.mjs").write_text(block.code)
        subprocess.run([NODE, "--check", tmp_path / "block.mjs"], check=True)
