"""The model card: what lies in an export folder, where it comes from, what it was seen to do. As JSON, and as Markdown."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.describe import count_params, describe, level_table
from keras_mgnet.export.answers import Answer, answer_of
from keras_mgnet.export.digests import CARD, file_digest
from keras_mgnet.export.runtimes import artifact_format
from keras_mgnet.export.servable import Normalization
from keras_mgnet.export.verification import Report
from keras_mgnet.files import staged_file, write_json
from keras_mgnet.markdown import table
from keras_mgnet.version import installed

MARKDOWN = "card.md"
PACKAGES = ("keras-mgnet", "keras", "tensorflow", "numpy", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert")
LOADING = {  # how each is run on float32 `images` (N, H, W, C)
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
from keras_mgnet.export import open_artifact  # brings images and answers to the file's eight bits and back
run = open_artifact("{path}")
{read} = run(images)["{read}"]""",
}
# Fields of a configuration that say nothing of the network.
OF_THE_MACHINE = ("out", "resume", "keep", "checkpoint_steps")
MEASURED = ("precision", "max_difference", "batch_difference", "agreement", "samples")


def write_card(
    out_dir: str | Path,
    model: keras.Model,
    reports: Sequence[Report],
    *,
    class_names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    record: dict[str, Any] | None = None,
) -> Path:
    """Writes card.json and card.md beside artifacts and returns the path of card.json; each replaces an older one whole.

    The same artifacts and reports give the same card, to the byte.

    Args:
        out_dir: the folder that holds the artifacts.
        model: the model that was exported.
        reports: of the artifacts, as `export_formats` returns them.
        class_names, normalization: as they were exported.
        record: the content of a run's run.json: data, recipe, configuration and result of the training; perhaps with
            "checkpoint", which of the run's models it is. Of weights trained elsewhere, the name of the file as "weights" and
            its "sha256".

    Raises:
        ValueError: where there is no artifact, or one does not lie in the folder.
        OSError: where the folder cannot be written.

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
    out_dir = Path(out_dir)
    answer = answer_of(model)
    card = _facts(out_dir, model, answer, reports, class_names, normalization, record)
    write_json(out_dir / CARD, card)
    with staged_file(out_dir / MARKDOWN) as staged:
        staged.write_text(_markdown(card, answer, describe(model)), encoding="utf-8")
    return out_dir / CARD


def _facts(
    out_dir: Path,
    model: keras.Model,
    answer: Answer,
    reports: Sequence[Report],
    class_names: Sequence[str] | None,
    normalization: Normalization | None,
    record: dict[str, Any] | None,
) -> dict[str, Any]:
    mean_std = None
    if normalization is not None:
        mean, std = (np.asarray(part).tolist() for part in normalization)
        mean_std = {"mean": mean, "std": std}
    levels = [asdict(row) for row in level_table(model)]
    return {
        "model": {
            "name": model.name,
            "family": type(model).__name__,
            "parameters": count_params(model),
            "levels": levels,
            "config": model.get_config(),
        },
        "input": {
            "name": "image",
            "shape": ["N", *model.input_shape[1:]],
            "dtype": "float32",
            "range": None if normalization is None else [0, 255],
            "normalization": mean_std,
        },
        "outputs": answer.outputs,
        "classes": None if class_names is None else list(class_names),
        "training": record and {key: value for key, value in record.items() if key != "model"},
        "artifacts": [_artifact(out_dir, report) for report in reports],
        "versions": installed(PACKAGES),
    }


def _artifact(out_dir: Path, report: Report) -> dict[str, Any]:
    files = sorted(report.path.rglob("*")) if report.path.is_dir() else [report.path]
    path, answer = report.path.relative_to(out_dir).as_posix(), report.answer
    measured = (*MEASURED, answer.measure, f"keras_{answer.measure}", "drop")
    return {
        "format": report.format,
        "path": path,
        "bytes": report.size_bytes,
        "bytes_over_parameters": round(report.size_ratio, 4),
        "latency_ms": round(report.latency_ms, 3),
        **{name: getattr(report, name) for name in measured},
        "files": {file.relative_to(out_dir).as_posix(): file_digest(file) for file in files if file.is_file()},
        "load": (LOADING.get(report.format) or LOADING[artifact_format(report.path)]).format(
            path=path, read=answer.read
        ),
    }


def _markdown(card: dict[str, Any], answer: Answer, description: str) -> str:
    return "\n\n".join(
        [
            f"# {card['model']['name']}",
            f"```\n{description}\n```",
            _training(card["training"], answer),
            f"## Input and outputs\n\n{_ends(card, answer)}",
            f"## Artifacts\n\n{_table(card['artifacts'], answer)}",
            *(f"`{artifact['path']}`:\n\n```python\n{artifact['load']}\n```" for artifact in card["artifacts"]),
            f"## Digests\n\n{_digests(card['artifacts'])}",
            "Exported with " + ", ".join(f"{name} {version}" for name, version in card["versions"].items()) + ".\n",
        ]
    )


def _training(training: dict[str, Any] | None, answer: Answer) -> str:
    if training is None:
        return "## Training\n\nNot recorded."
    if "weights" in training:
        return f"## Training\n\nElsewhere; the weights are those of `{training['weights']}`, sha256 `{training['sha256']}`."
    data, config, result = training["data"], training["config"], training.get("result", {})
    lines = [
        f"- Data: {config['dataset']}, {data['train']:,} training and {data['test']:,} test images.",
        f"- Recipe: {training['recipe']}.",
        f"- Command: `{training['command']}`",
        "- Configuration: "
        + ", ".join(f"{key}={value!r}" for key, value in config.items() if key not in OF_THE_MACHINE)
        + ".",
    ]
    if "checkpoint" in training:
        lines.append(f"- Checkpoint: {training['checkpoint']}.")
    if f"last_test_{answer.measure}" in result:
        last, best = (answer.text.format(result[f"{which}_test_{answer.measure}"]) for which in ("last", "best"))
        lines.append(
            f"- Result: {result['status']} after {result['epochs']} epochs, test {answer.label} "
            f"{last} (best {best}, epoch {result['best_epoch']})."
        )
    return "## Training\n\n" + "\n".join(lines)


def _ends(card: dict[str, Any], answer: Answer) -> str:
    image, classes = card["input"], card["classes"]
    shape = ", ".join("any" if size is None else str(size) for size in image["shape"])
    pixels = answer.images
    if image["normalization"] is not None:
        mean, std = image["normalization"].values()
        pixels = f"0..255; ((image / 255) - {mean}) / {std} happens inside"
    lines = [f"- `image` ({shape}), {image['dtype']}, {pixels}."]
    lines += [f"- `{name}` {meaning}." for name, meaning in card["outputs"].items()]
    if classes is not None:
        lines.append("- Classes: " + ", ".join(f"{index} {name}" for index, name in enumerate(classes)) + ".")
    return "\n".join(lines)


def _table(artifacts: list[dict[str, Any]], answer: Answer) -> str:
    headings = ("format", "file", "kB", "bytes / (4 x parameters)", "largest difference")
    rows = table((*headings, answer.same, answer.label, "drop", "latency"), (_cells(a, answer) for a in artifacts))
    return f"{rows}\n\n{_compared(artifacts[0], answer)}"


def _cells(a: dict[str, Any], answer: Answer) -> tuple[str, ...]:
    quality, drop = "", ""
    if a["drop"] is not None:
        quality, drop = answer.text.format(a[answer.measure]), answer.drop_text(a["drop"])
    size = (f"{a['bytes'] / 1000:,.1f}", f"{a['bytes_over_parameters']:.3f}")
    same = (f"{a['max_difference']:.1e}", f"{a['agreement']:.2%}")
    return (a["format"], f"`{a['path']}`", *size, *same, quality, drop, f"{a['latency_ms']:.2f} ms")


def _compared(first: dict[str, Any], answer: Answer) -> str:
    known = first["drop"] is not None
    quality = (
        f" Keras' {answer.label} on them is {answer.text.format(first[f'keras_{answer.measure}'])}." if known else ""
    )
    return (
        f"On {first['samples']:,} images, each artifact in its own runtime.{quality} Difference: of {answer.value} from Keras "
        f"in float32; drop: of the {answer.label} from Keras', in {answer.unit}; latency: one image, median."
    )


def _digests(artifacts: list[dict[str, Any]]) -> str:
    files = [item for a in artifacts for item in a["files"].items()]
    return table(("file", "sha256"), ((f"`{name}`", f"`{digest['sha256']}`") for name, digest in files))
