"""Writes the explorer's page with its files: the runtime (onnxruntime-web), one file per network, and test images."""

import gzip
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mgnet.description import count_params
from keras_mgnet.errors import check_known
from keras_mgnet.explorer.ink import ink_of
from keras_mgnet.explorer.runtime import FOLDER, VERSION, installed
from keras_mgnet.explorer.server import COMPRESSED
from keras_mgnet.explorer.trace import traced
from keras_mgnet.export.metadata import entries
from keras_mgnet.export.servable import Servable
from keras_mgnet.export.to_onnx import converted, save
from keras_mgnet.files import publish, workspace, write_json
from keras_mgnet.training.data.dataset import Dataset
from keras_mgnet.training.loop.inference import check_classifier, load_images
from keras_mgnet.training.runs.run import CHECKPOINTS, Run

PAGE = Path(__file__).parent / "page"
MANIFEST = "explorer.json"  # data for the page; a folder with this file may be replaced
SAMPLES = 10  # test images


@dataclass(frozen=True)
class Bundle:
    """Numbers about a page that was written."""

    path: Path
    networks: int
    samples: int
    size_bytes: int  # of all files
    of_runtime: int  # bytes of the runtime alone
    compressed_bytes: int  # of all files, as the page's server sends them


def write_page(
    runs: Sequence[Run],
    out: str | Path,
    checkpoint: str = "last",
    dataset: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Bundle:
    """Writes a static page with networks that classify what you draw. The page shows the states of each iteration.

    The networks run in the browser, so any web server for static files can serve the page. Each network file is compared with
    Keras before the page appears. A page of an earlier call in `out` is replaced as a whole. The test images come from the
    data set of the first run.

    Args:
        runs: runs of classifiers. The name of a network is the end of the path of its run.
        out: a new folder, an empty one, or one written by this function.
        checkpoint: "last" or "best".
        dataset: the data set of the test images; None for that of each run (see `load_images`).
        report: called with a text at the start of each step.

    Raises:
        ValueError: if a run is of a denoiser, a run is given twice, or `out` has other files. Also if a network file disagrees
            with Keras. The page is not written then.
        ImportError: if the runtime or the export packages are missing.
    """
    out, runtime = Path(out).resolve(), installed()
    _check(runs, out, checkpoint)
    report("test images")
    datasets = [load_images(run, dataset) for run in runs]
    with workspace(out.parent) as folder:
        page = folder / out.name
        shutil.copytree(PAGE, page, ignore=shutil.ignore_patterns("__pycache__"))
        (page / FOLDER.name).mkdir()
        for file in runtime:
            shutil.copy(file, page / FOLDER.name)
        (page / "networks").mkdir()
        networks = []
        for number, (run, name, data) in enumerate(zip(runs, _names(runs), datasets, strict=True)):
            report(f"network of {run.path}")
            network = {"name": name, "file": f"networks/{number}.onnx"}
            networks.append(network | _network(run, data, checkpoint, page / network["file"]))
        samples = _samples(datasets[0], page)
        write_json(page / MANIFEST, {"runtime": f"{FOLDER.name} {VERSION}", "networks": networks, "samples": samples})
        report("compression")
        _compress(page)
        if out.exists():
            out.rename(folder / "replaced")
        publish(page, out)
    sizes = {file: file.stat().st_size for file in out.rglob("*") if file.is_file()}
    plain = {file: size for file, size in sizes.items() if file.suffix != COMPRESSED}
    of_runtime = sum(size for file, size in plain.items() if file.parent.name == FOLDER.name)
    sent = sum(sizes.get(file.with_name(file.name + COMPRESSED), size) for file, size in plain.items())
    return Bundle(out, len(networks), len(samples), sum(plain.values()), of_runtime, sent)


def _check(runs: Sequence[Run], out: Path, checkpoint: str) -> None:
    check_known("checkpoint", checkpoint, CHECKPOINTS)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file()):
        raise ValueError(f"expected a new or empty folder, or one with an older page. Received: '{out}'")
    for run in runs:
        check_classifier(run)
    names = [run.path.resolve() for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"expected different runs. Received: {', '.join(str(run.path) for run in runs)}")


def _names(runs: Sequence[Run]) -> list[str]:
    """Returns the names of the runs: the ends of their paths, with as few folders as make all names different."""
    parts = [run.path.resolve().parts for run in runs]
    lengths = range(1, max(map(len, parts)) + 1)
    candidates = (["/".join(path[-length:]) for path in parts] for length in lengths)
    return next(names for names in candidates if len(set(names)) == len(names))


def _network(run: Run, data: Dataset, checkpoint: str, file: Path) -> dict[str, Any]:
    """Writes the network of a run as ONNX, compares it with Keras, and returns its description for the page."""
    model = run.load_model(checkpoint)
    servable = Servable(model, run.normalization)
    serve, levels = traced(servable)
    told, samples = entries(servable, run.class_names), servable.images(data.test.images[:SAMPLES])
    save(converted(serve), file, servable, told, samples)
    return {
        "bytes": file.stat().st_size,
        "family": type(model).__name__,
        "step": model.method.step,
        "parameters": count_params(model),
        "data": run.record["config"]["dataset"],
        "accuracy": run.record.get("result", {}).get(f"{checkpoint}_test_accuracy"),
        "input_shape": run.input_shape,
        "classes": run.class_names,
        "ink": ink_of(data.test.images),
        "levels": [asdict(level) for level in levels],
    }


def _compress(page: Path) -> None:
    """Writes NAME.gz next to each file, except next to pictures, which are compressed already."""
    for file in [*page.rglob("*")]:
        if file.is_file() and file.suffix != ".png":
            file.with_name(file.name + COMPRESSED).write_bytes(gzip.compress(file.read_bytes(), 6, mtime=0))


def _samples(data: Dataset, page: Path) -> list[dict[str, str]]:
    """Writes the first test image of each class as PNG, for at most ten classes. Returns the files and labels."""
    from PIL import Image

    (page / "samples").mkdir()
    labels, first = np.unique(data.test.labels, return_index=True)
    samples = []
    for label, index in list(zip(labels, first, strict=True))[:SAMPLES]:
        file, pixels = f"samples/{len(samples)}.png", data.test.images[index]
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(page / file)
        samples.append({"file": file, "label": data.class_names[label]})
    return samples
