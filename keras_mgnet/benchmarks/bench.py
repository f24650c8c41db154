"""The measurements of `keras-mgnet bench`. Each measurement yields tables, and these tables make up a record."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_mgnet.benchmarks import compile_time, gains, input_rate, memory, report, start
from keras_mgnet.benchmarks.race import race
from keras_mgnet.benchmarks.races import Race
from keras_mgnet.errors import check_known
from keras_mgnet.extras import extra

BENCH = "keras-mgnet[bench]"
PACKAGES = ("keras", "tensorflow", "torch", "onnxruntime", "ai-edge-litert", "numpy")
FORMATS = ("savedmodel", "tflite", "onnx", "tflite_int8", "onnx_int8")  # of the exported files in a race
COLUMNS = {
    "contender": "program", "ms": "ms", "least_ms": "least", "most_ms": "most",
    "ratio": "times ours", "least_ratio": "least", "most_ratio": "most",
    "gflops": "GFLOP/s", "of_limit": "of the limit", "first_s": "first step, s", "memory_mb": "memory, MB",
    "steps_mb": "of it for steps",
}  # fmt: skip


class Section(NamedTuple):
    """A table of a record. `columns` maps the keys of the rows to headings."""

    title: str
    rows: list[dict[str, Any]]
    columns: dict[str, str]


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement.

    Attributes:
        networks: keys of `NETWORKS`.
        batches: images per step, one or more sizes.
        rounds: how often each program is timed.
        seconds: time for which a program is timed in each round; at least one step.
        told: called with a text about what is running.
    """

    networks: Sequence[str]
    batches: Sequence[int]
    rounds: int
    seconds: float
    told: Callable[[str], None]


def training(settings: Settings) -> Iterator[Section]:
    """Yields one table per network and batch size, with the training steps of all programs."""
    for network in settings.networks:
        for batch in settings.batches:
            yield _raced(Race(network, batch, "train"), settings)


def inference(settings: Settings) -> Iterator[Section]:
    """Yields one table per network and batch size, with the inference of all programs and of exported files."""
    for network in settings.networks:
        settings.told(f"{network}: exporting")
        with tempfile.TemporaryDirectory() as folder:
            files = report.in_process(export, network, folder)
            for batch in settings.batches:
                yield _raced(Race(network, batch, "infer", files), settings)


MEASUREMENTS: dict[str, tuple[Callable[[Settings], Iterable[Section]], str]] = {
    "train": (training, "training steps in keras_mgnet, PyTorch and stock Keras, and the limit of the machine"),
    "infer": (inference, "inference in keras_mgnet, PyTorch and stock Keras, and with exported files"),
    "gains": (
        lambda s: [Section("Training step without ...", *gains.measure(s.rounds, s.seconds, s.told))],
        "training steps of an MgNet, with all optimisations and without each of them",
    ),
    "input": (lambda s: [Section("Input pipeline", *input_rate.measure(s.seconds))], "the input pipeline alone"),
    "start": (lambda s: [Section("Cold start", *start.measure(s.rounds))], "import, build and first step"),
    "compile": (lambda s: [Section("First step", *compile_time.measure())], "the first training step as nu grows"),
    "memory": (
        lambda s: [Section("Memory", *memory.measure())],
        "peak memory as nu grows, with states stored or recomputed",
    ),
}


def bench(what: str, settings: Settings, out: Path | None = None) -> Iterator[Section]:
    """Runs a measurement and yields its tables. Writes WHAT.json and WHAT.md after each table.

    Args:
        what: a key of `MEASUREMENTS`.
        settings: the settings.
        out: folder for WHAT.json and WHAT.md; None writes nothing.

    Raises:
        ValueError: if a name is unknown or a size is wrong; raised before anything is measured.
        ImportError: if the measurement needs PyTorch, and PyTorch is not installed.
    """
    check_known("measurement", what, MEASUREMENTS)
    if settings.rounds < 1 or not settings.seconds > 0:
        raise ValueError(f"expected rounds >= 1 and seconds > 0. Received: {settings.rounds!r}, {settings.seconds!r}")
    for network in settings.networks:
        for batch in settings.batches:
            Race(network, batch, "train")
    if MEASUREMENTS[what][0] in (training, inference):
        extra("torch", BENCH)
    return _recorded(what, MEASUREMENTS[what][0](settings), out)


def _recorded(what: str, sections: Iterable[Section], out: Path | None) -> Iterator[Section]:
    done = []
    for section in sections:
        done.append(section)
        if out is not None:
            tables = {section.title: section.rows for section in done}
            texts = (f"### {section.title}\n\n{report.markdown(section.rows, section.columns)}\n" for section in done)
            report.write(out, what, {"environment": report.environment(*PACKAGES), "tables": tables}, "\n".join(texts))
        yield section


def _raced(entry: Race, settings: Settings) -> Section:
    madds = report.in_process(multiply_adds, entry.network)
    lanes = race(entry.contenders(), settings.rounds, settings.seconds, settings.told)
    kind = "training step" if entry.mode == "train" else "inference"
    return Section(f"{entry.network}, {kind}, batch {entry.batch}", entry.rows(lanes, madds), COLUMNS)


def multiply_adds(network: str) -> int:
    """Returns the multiply-adds of a network of `NETWORKS` for the forward pass of one image."""
    from keras_mgnet import create_model
    from keras_mgnet.benchmarks.networks import NETWORKS
    from keras_mgnet.description import level_table

    return sum(row.multiply_adds for row in level_table(create_model(NETWORKS[network].preset)))


def export(network: str, folder: str) -> dict[str, str]:
    """Exports a network of `NETWORKS` after `zoo.settled`, and returns {format: path}."""
    from keras_mgnet import create_model
    from keras_mgnet.benchmarks import zoo
    from keras_mgnet.benchmarks.networks import NETWORKS
    from keras_mgnet.export import export_formats

    model = zoo.settled(create_model(NETWORKS[network].preset))
    options = {"normalization": zoo.normalization(model), **zoo.export_images(model)}
    reports = export_formats(model, folder, FORMATS, **options)
    return {format: str(report.path) for format, report in zip(FORMATS, reports, strict=True)}
