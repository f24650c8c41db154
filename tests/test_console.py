"""Tables are whole on a narrow terminal and in a pipe, and a pipe gets no control characters."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from keras_mgnet import export, list_models
from keras_mgnet.cli.export import report_table
from keras_mgnet.console import print_error, print_markdown, progress_bar, say, show, stderr, table, track
from keras_mgnet.export.answers import CLASSES, IMAGES
from support import ROOT
from support.command import invoke

REPORT = export.Report("onnx", Path("m.onnx"), 123_456_789, 0.263, "int8", 1.2e-6, 0.0, 1.0, 123.4567, samples=10_000)
QUALITIES = {"accuracy": (CLASSES, 1.0, 0.9), "psnr": (IMAGES, 28.9, 29.1)}
PATTERN = "mgnet_*"


@pytest.mark.parametrize("measure", QUALITIES)
def test_the_table_of_an_export_is_whole_at_80_columns(measure, capsys):
    answer, own, of_keras = QUALITIES[measure]
    seen = replace(REPORT, answer=answer, **{measure: own, f"keras_{measure}": of_keras})
    reports = [replace(seen, format=format) for format in export.FORMATS]
    show(report_table(reports))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for format in export.FORMATS:
        (row,) = (line.split() for line in lines if line.startswith(f" {format} "))
        assert {"123,457", "0.263", "1.2e-06", "100.00%", "123.46"} <= set(row)


def test_no_cell_is_cut_or_read_as_markup(capsys):
    name = "a name of [bold]many[/] words " * 10
    show(table(["name", "test accuracy"], [[name, "1"], ["b", "100.00"]], caption="of both"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert any(name.strip() in line for line in lines)
    assert any(line.endswith(" test") for line in lines) and any(line.endswith("accuracy") for line in lines)


def test_progress_is_shown_on_a_terminal_alone():
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with progress_bar(console) as bar:
            task = bar.add_task("trials", total=2)
            bar.console.out("a line")
            bar.update(task, completed=1)
        assert list(track(iter("ab"), "items", console, total=2)) == ["a", "b"]
        written = console.file.getvalue()
        assert ("1/2" in written) == ("items" in written) == terminal
        assert "a line\n" in written and (terminal or written.rstrip() == "a line")  # rich 13 ends a bar with a line


def test_consoles_and_bars_are_made_in_one_file():
    making = re.compile(r"\bConsole\(|\btyper\.echo\(|rich\.progress import .*\b(track|BarColumn)\b")
    files = [
        Path(folder, file) for folder, _, files in os.walk(ROOT / "keras_mgnet", followlinks=True) for file in files
    ]
    sources = [file for file in files if file.suffix == ".py"]
    assert [file.name for file in sources if making.search(file.read_text())] == ["console.py"]


def test_an_error_is_one_line_without_markup(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    print_error("expected [bold]a name[/] that is longer than the terminal")
    assert capsys.readouterr().err == "error: expected [bold]a name[/] that is longer than the terminal\n"


HOSTILE = "a\x1b[2J\x1b]0;title\x9b31mb\x07"
SHOWN = "a [2J ]0;title 31mb"


def shown_in_a_table(name):
    show(table(["class"], [[name]]))


@pytest.mark.parametrize(
    "place", [say, print_error, print_markdown, shown_in_a_table, lambda name: stderr().print(name)]
)
def test_control_characters_of_a_name_do_not_reach_the_terminal(place, capsys, monkeypatch):
    """Those of the console itself, its colours, do."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    place(HOSTILE)
    written = "".join(capsys.readouterr())
    plain = re.sub(r"\x1b\[[\d;]*m", "", written)
    assert SHOWN in plain and not {"\x1b", "\x07", "\x9b"} & set(plain)


def test_several_lines_are_said_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    say("[bold]a line[/] that is long\n\nwrote 3.14 :smile:")
    assert capsys.readouterr().out == "[bold]a line[/] that is long\n\nwrote 3.14 :smile:\n"


def on_a_terminal(command, columns):
    """Returns what a program writes to a terminal of that width, and to standard error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm", "KERAS_BACKEND": "numpy"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65_536):
                written += part
        except OSError:  # its end is closed
            pass
        os.close(ours)
        return written.decode(), process.stderr.read().decode()


def test_the_installed_command_lists_whole_names_on_a_narrow_terminal_and_is_quiet():
    """With TensorFlow a command is as quiet: an export in `test_cli` is."""
    shown, noted = on_a_terminal([Path(sys.executable).with_name("keras-mgnet"), "list", PATTERN], 80)
    assert [name for name in list_models(PATTERN) if name not in shown] == []
    assert "520,394" in shown and "…" not in shown and noted == ""


def test_list_is_whole_in_a_pipe():
    piped = invoke("list", PATTERN)
    assert [name for name in list_models(PATTERN) if name not in piped] == [] and "…" not in piped
    assert [c for c in piped if not c.isprintable() and c != "\n"] == []
