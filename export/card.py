"""Writes the model card of an export folder as JSON and Markdown: its files, the training of the model, the measurements."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet import compat
from keras_mgnet.description import count_params, describe, level_table
from keras_mgnet.export.answers import Answer
from keras_mgnet.export.digests import CARD
from keras_mgnet.export.runtimes import artifact_format
from keras_mgnet.export.servable import Normalization
from keras_mgnet.export.twin import float32_logits
from keras_mgnet.export.verification import Report
from keras_mgnet.files import file_digest, staged_file, write_json
from keras_mgnet.models.network import Network
from keras_mgnet.reporting import table
from keras_mgnet.version import installed

MARKDOWN = "card.md"
PACKAGES = ("keras-mgnet", "keras", "tensorflow", "numpy", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")
LOADING = {  # how to run each artifact on float32 `images` (N, H, W, C)
    "savedmodel": """\
import tensorflow as tf
model = tf.saved_model.load("{path}")
{read} = model.signatures["serving_default"](image=tf.constant(images))["{read}"]""",
    "tflite": """\
from ai_edge_litert.interpreter import Interpreter
run = Interpreter("{path}").get_signature_runner("serving_default")
{read} = run(image=images)["{read}"]""",
    "onnx": """\
import onnxruntime
session = onnxruntime.InferenceSession("{path}")
{read} = session.run(["{read}"], {{"image": images}})[0]""",
    "tflite_int8": """\
from keras_mgnet.export import open_artifact  # converts images and answers to the file's eight bits and back
run = open_artifact("{path}")
{read} = run(images)["{read}"]""",
}
# Fields of a configuration that say nothing about the network.
OF_THE_MACHINE = ("out", "resume", "keep", "checkpoint_steps")


def write_card(
    out_dir: str | Path,
    model: keras.Model,
    reports: Sequence[Report],
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    record: dict[str, Any] | None = None,
) -> Path:
    """Writes card.json and card.md next to the exported files, and returns the path of card.json. Replaces older cards.

    The same arguments, files and package versions give the same card, byte for byte.

    Args:
        out_dir: the folder with the exported files.
        model: the exported model.
        reports: the reports that `export_formats` returns.
        class_names, normalization: as passed to the export.
        record: the origin of the weights. For a run, pass the content of its run.json, with an optional entry "checkpoint"
            ("last" or "best"). For weights trained elsewhere, pass {"weights": file name, "sha256": digest}.

    Raises:
        ValueError: if there are no reports, or the path of a report is outside `out_dir`.
        OSError: if the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from keras_mgnet import MgNet, export
        >>> model = MgNet((1,), 4, input_shape=(8, 8, 1))
        >>> with tempfile.TemporaryDirectory() as out:
        ...     card = write_card(out, model, export.export_formats(model, out, ["onnx"]))
        ...     export.check_card(card)["model"]["parameters"]
        398
    """
    if not reports:
        raise ValueError("expected the report of at least one artifact. Received: none")
    out_dir, answer = Path(out_dir), reports[0].answer
    shown = model if isinstance(model, Network) else _flat(model)
    card = {
        "model": {
            "name": model.name,
            "family": type(model).__name__,
            "parameters": count_params(shown),
            "levels": [asdict(row) for row in level_table(shown)],
            "config": model.get_config(),
        },
        "input": {
            "name": "image",
            "shape": ["N", *model.input_shape[1:]],
            "dtype": "float32",
            "range": None if normalization is None else [0, 255],
            "normalization": None if normalization is None else _mean_and_std(normalization),
        },
        "outputs": answer.outputs,
        "classes": None if class_names is None else list(class_names),
        "training": record and {key: value for key, value in record.items() if key != "model"},
        "artifacts": [_artifact(out_dir, report) for report in reports],
        "versions": installed(PACKAGES),
    }
    write_json(out_dir / CARD, card)
    with staged_file(out_dir / MARKDOWN) as staged:
        staged.write_text(_markdown(card, reports, describe(shown)), encoding="utf-8")
    return out_dir / CARD


def _flat(model: keras.Model) -> keras.Model:
    """Returns a copy of a model without nested models. All layers are trainable, so that frozen parameters are counted too."""
    flat = float32_logits(model)
    for layer in compat.flatten_layers(flat):
        layer.trainable = True
    return flat


def summary(reports: Sequence[Report]) -> tuple[list[str], list[list[str]], str]:
    """Returns the table of exported files for the card and the command line: headings, rows, and the meaning of the columns.

    Example:
        >>> from pathlib import Path
        >>> report = Report("onnx", Path("m.onnx"), 4000, 1.25, "float32", 1e-6, 0.0, 1.0, 0.5, samples=8)
        >>> headings, rows, _ = summary([report])
        >>> dict(zip(headings, rows[0], strict=True))["of 4P"]
        '1.250'
    """
    first, answer = reports[0], reports[0].answer
    headings = ["format", "kB", "of 4P", "difference", answer.same, answer.label, "drop", "ms"]
    rows = [
        [
            report.format,
            f"{report.size_bytes / 1e3:,.0f}",
            f"{report.size_ratio:.3f}",
            f"{report.max_difference:.1e}",
            f"{report.agreement:.2%}",
            "" if report.drop is None else answer.text.format(report.quality[0]),
            "" if report.drop is None else f"{answer.scale * report.drop:+.2f}",
            f"{report.latency_ms:.2f}",
        ]
        for report in reports
    ]
    known, images = (
        ("", "images") if first.drop is None else (f" ({answer.text.format(first.quality[1])})", "test images")
    )
    meaning = (
        f"On {first.samples:,} {images}, each file in its own runtime. of 4P: size divided by 4 bytes per parameter; "
        f"difference: largest difference of {answer.value} from Keras in float32; drop: {answer.label} of Keras{known} minus "
        f"{answer.label} of the file, in {answer.unit}; ms: median time for one image."
    )
    return headings, rows, " ".join([meaning, *_larger(reports)])


def _larger(reports: Sequence[Report]) -> Iterator[str]:
    """Yields a sentence for each quantised file that is larger than its float32 counterpart."""
    sizes = {report.format: report.size_bytes for report in reports}
    for report in reports:
        full, _, quantized = report.format.partition("_")
        if quantized and report.size_bytes > sizes.get(full, math.inf):
            yield f"{report.format} is larger than {full}: scales and more operations take more bytes than small weights save."


def _mean_and_std(normalization: Normalization) -> dict[str, float | list[float]]:
    return {name: np.asarray(part).tolist() for name, part in zip(("mean", "std"), normalization, strict=True)}


def _artifact(out_dir: Path, report: Report) -> dict[str, Any]:
    files = (report.path, *sorted(report.path.rglob("*")))
    path = report.path.relative_to(out_dir).as_posix()
    load = LOADING.get(report.format) or LOADING[artifact_format(report.path)]
    return report.numbers() | {
        "path": path,
        "files": {file.relative_to(out_dir).as_posix(): file_digest(file) for file in files if file.is_file()},
        "load": load.format(path=path, read=report.answer.read),
    }


def _markdown(card: dict[str, Any], reports: Sequence[Report], description: str) -> str:
    headings, rows, meaning = summary(reports)
    artifacts, answer = card["artifacts"], reports[0].answer
    files = [(f"`{name}`", f"`{digest['sha256']}`") for a in artifacts for name, digest in a["files"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    parts = [
        f"# {card['model']['name']}",
        f"```\n{description}\n```",
        "## Training",
        _listed(_training(card["training"], answer)) if card["training"] else "Not recorded.",
        "## Input and outputs",
        _listed(_ends(card, answer)),
        "## Artifacts",
        table(["file", *headings], ([f"`{a['path']}`", *row] for a, row in zip(artifacts, rows, strict=True))),
        meaning,
        *(f"`{artifact['path']}`:\n\n```python\n{artifact['load']}\n```" for artifact in artifacts),
        "## Digests",
        table(["file", "sha256"], files),
        f"Exported with {versions}.\n",
    ]
    return "\n\n".join(parts)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}." for line in lines)


def _training(training: dict[str, Any], answer: Answer) -> Iterator[str]:
    if "weights" in training:
        yield f"Trained elsewhere; the weights are from `{training['weights']}`, sha256 `{training['sha256']}`"
        return
    data, config, result = training["data"], training["config"], training.get("result", {})
    validation = f", {data['val']:,} validation" if "val" in data else ""
    yield f"Data: {config['dataset']}, {data['train']:,} training{validation} and {data['test']:,} test images"
    yield f"Recipe: {training['recipe']}"
    yield f"Command: `{training['command']}`"
    told = ", ".join(f"{key}={value!r}" for key, value in config.items() if key not in OF_THE_MACHINE)
    yield f"Configuration: {told}"
    if "checkpoint" in training:
        yield f"Checkpoint: {training['checkpoint']}"
    if f"last_test_{answer.measure}" in result:
        last, best = (answer.text.format(result[f"{which}_test_{answer.measure}"]) for which in ("last", "best"))
        if "val" in data:
            chosen = answer.text.format(result[f"best_validation_{answer.measure}"])
            best = f"{best} after the epoch with the best validation {answer.label} {chosen}"
        else:
            best = f"best test {answer.label} {best}"
        yield (
            f"Result: {result['status']} after {result['epochs']} epochs, test {answer.label} {last} "
            f"({best}, epoch {result['best_epoch']})"
        )


def _ends(card: dict[str, Any], answer: Answer) -> Iterator[str]:
    image, pixels = card["input"], answer.images
    shape = ", ".join("any" if size is None else str(size) for size in image["shape"])
    if image["normalization"]:
        mean, std = image["normalization"].values()
        pixels = f"0..255; the file itself computes ((image / 255) - {mean}) / {std}"
    yield f"`image` ({shape}), {image['dtype']}, {pixels}"
    yield from (f"`{name}` {meaning}" for name, meaning in card["outputs"].items())
    if card["classes"]:
        yield "Classes: " + ", ".join(_numbered(*entry) for entry in enumerate(card["classes"]))


def _numbered(index: int, name: str) -> str:
    return name if name == str(index) else f"{index} {name}"
