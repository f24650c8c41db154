"""Compares exports of shared kernels to TFLite and ONNX: scalings as depthwise convolutions (the default), or as products.

    python -m keras_mgnet.benchmarks.export_sharing [--networks NAME ...] [--rounds 5] [--out FOLDER]

A scaling multiplies each channel by a factor, such as that of a batch normalisation. The converters fold a plain product into
a copy of the kernel. Each network is converted in both forms, in float32 and in int8. The table shows the size of the files,
the memory that the runtime takes to open and run a file, the latency of one image, and the error of the logits. When the
latency is measured, the two forms take turns in one process. Prints Markdown. With --out, writes Markdown and JSON.
"""

import argparse
import os
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import psutil

from keras_mgnet.benchmarks import report, zoo
from keras_mgnet.console import track

PRESET = "mgnet_2222_c64_shared_b"
NETWORKS = {  # name -> (published network, arguments that replace its own)
    "MgNet[2,2,2,2]-64": (PRESET, {}),
    "MgNet[8,8]-64": (PRESET, {"nu": (8, 8)}),
    "MgNet[16]-64": (PRESET, {"nu": (16,)}),
    "MgNet[8,8]-64-B^{l,i}": (PRESET, {"nu": (8, 8), "share_B": False}),
    "MgNet[8]-64, Chebyshev": (PRESET, {"nu": (8,), "smoother": "chebyshev"}),
    "FBResNet post, pre [4,4]-64": ("fb_resnet_post_pre", {"nu": (4, 4), "channels": (64, 64)}),
    "ResNet18-A-B, 64": ("resnet18_shared_ab", {}),
    "PreActResNet34-A-B, 64": ("preact_resnet34_shared_ab", {}),
    "Recurrent ResNet 2, 10 steps, 64": ("recurrent_resnet2", {}),
    "PolyNet poly2 [6,6], 64": ("polynet_poly2", {"blocks": (6, 6), "base_width": 64}),
    "PolyMgNet double [4,4]-64": ("poly_mgnet", {"B": "double", "nu": (4, 4), "channels": 64}),
    "VCycleMgNet[4,4]-64": ("vcycle_mgnet_2222_c256_shared_b", {"nu": (4, 4), "channels": 64}),
    "HamiltonianNet Verlet [6,6], 64": ("hamiltonian74", {"scheme": "verlet", "blocks": (6, 6), "channels": (64, 64)}),
}
FORMATS = ("tflite", "tflite_int8", "onnx", "onnx_int8")
FORMS = ("depthwise", "plain")
COLUMNS = {
    "network": "network",
    "format": "format",
    **{f"size_ratio {form}": f"bytes / unique: {form}" for form in FORMS},
    **{f"memory_mb {form}": f"memory, MB: {form}" for form in FORMS},
    **{f"latency_ms {form}": f"ms: {form}" for form in FORMS},
    **{f"noise {form}": f"error: {form}" for form in FORMS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    rows = []
    for name in track(options.networks, "networks"):
        with tempfile.TemporaryDirectory() as folder:
            seen = report.in_process(convert, name, folder)
            rows += [row(name, format, seen, Path(folder), options.rounds) for format in FORMATS]
        if options.out:
            record = {"environment": report.environment(*zoo.PACKAGES), "rows": rows}
            report.write(options.out, "sharing", record, report.markdown(rows, COLUMNS))
    print(report.markdown(rows, COLUMNS))


def convert(name: str, folder: str) -> dict:
    """Writes a network in every format and form. Returns the number of parameters, and the error of the logits for each file."""
    import keras_mgnet
    from keras_mgnet import export
    from keras_mgnet.export import to_onnx, to_tflite, verification
    from keras_mgnet.export.servable import Servable

    published, arguments = NETWORKS[name]
    model = zoo.settled(keras_mgnet.create_model(published, **arguments))
    images = zoo.export_images(model)
    servable = Servable(model, zoo.normalization(model))
    separable = to_tflite.separable_scales
    seen = {"parameters": keras_mgnet.count_params(model)}
    for form in FORMS:
        to_tflite.separable_scales = to_onnx.separable_scales = separable if form == "depthwise" else nullcontext
        for format in FORMATS:
            row = export.FORMATS[format]
            path = Path(folder, f"{format}.{form}{Path(row.target).suffix}")
            row.export(model, path, normalization=zoo.normalization(model), **row.options, **images)
            seen[f"{format} {form}"] = verification.compare(servable, path, images["samples"]).noise
    return seen


def row(name: str, format: str, seen: dict, folder: Path, rounds: int) -> dict:
    """Returns the row of one format: size, memory, latency and error of its file in each form."""
    paths = {form: next(folder.glob(f"{format}.{form}.*")) for form in FORMS}
    latencies = report.in_process(measure_latencies, paths, rounds)
    values = {"network": name, "parameters": seen["parameters"], "format": format}
    for form, path in paths.items():
        values |= {
            f"size_ratio {form}": path.stat().st_size / (4 * seen["parameters"]),
            f"memory_mb {form}": report.in_process(measure_memory, path),
            f"latency_ms {form}": latencies[form],
            f"noise {form}": seen[f"{format} {form}"],
        }
    return values


def measure_memory(path: Path) -> float:
    """Returns the MB (10^6 bytes) by which a process grows when it opens and runs a file, with the runtime already loaded."""
    import ai_edge_litert.interpreter  # noqa: F401
    import onnxruntime  # noqa: F401

    from keras_mgnet.export.runtimes import open_artifact

    image = np.zeros((1, 32, 32, 3), "float32")
    before = psutil.Process().memory_info().rss
    run = open_artifact(path)
    for _ in range(3):
        run(image)
    return (psutil.Process().memory_info().rss - before) / 1e6


def measure_latencies(paths: dict[str, Path], rounds: int) -> dict[str, float]:
    """Returns {form: milliseconds for one image}: the median of ten calls in each round, and the smallest of these medians."""
    from keras_mgnet.export.runtimes import open_artifact

    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    runs = {form: open_artifact(path) for form, path in paths.items()}
    medians = {form: [] for form in runs}
    for _ in range(rounds):
        for form, run in runs.items():
            medians[form].append(np.median([timed(run, image) for _ in range(10)]))
    return {form: 1000 * float(min(values)) for form, values in medians.items()}


def timed(run, image) -> float:
    start = time.perf_counter()
    run(image)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
