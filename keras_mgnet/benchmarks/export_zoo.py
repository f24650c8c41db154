"""Exports a network of every family in every format, and measures size, largest difference from Keras and latency.

    python -m keras_mgnet.benchmarks.export_zoo [--networks NAME ...] [--formats NAME ...] [--out FOLDER]

Each network has its own process. The files are compared with Keras on images of CIFAR-10, and run with the default number
of threads of their runtime. Prints Markdown. With --out, writes Markdown and JSON.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from keras_mgnet.benchmarks import report, zoo
from keras_mgnet.console import track
from keras_mgnet.export import FORMATS

COLUMNS = {
    "size_ratio": "Bytes over 4 x unique parameters",
    "max_difference": "Largest difference of a logit (tnrd: a grey value) from Keras in float32, on {samples} test images",
    "agreement": "Fraction of these images that get Keras' class (tnrd: of their pixels, Keras' grey value)",
    "latency_ms": "Milliseconds for one image, median of 15 calls",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", choices=zoo.NAMES, nargs="+", default=zoo.NAMES)
    parser.add_argument("--formats", choices=FORMATS, nargs="+", default=list(FORMATS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    rows = []
    for name in track(options.networks, "networks"):
        rows.append({"network": name, **report.in_process(measure, name, options.formats)})
        if options.out:
            record = {"environment": report.environment(*zoo.PACKAGES), "rows": rows}
            report.write(options.out, "zoo", record, tables(rows, options.formats))
    print(tables(rows, options.formats))


def measure(name: str, formats: list[str]) -> dict:
    """Exports one network and returns its row: parameters, and the measurements of each format."""
    from keras_mgnet import count_params
    from keras_mgnet.export import export_formats

    model = zoo.network(name)
    images = zoo.export_images(model)
    row = {"parameters": count_params(model)}
    with tempfile.TemporaryDirectory() as folder:
        for format in formats:
            (seen,) = export_formats(model, folder, [format], normalization=zoo.normalization(model), **images)
            row[format] = {key: getattr(seen, key) for key in COLUMNS}
    return row


def tables(rows: list[dict], formats: list[str]) -> str:
    """Returns one table per quantity, with a row per network and a column per format."""
    headings = {"network": "network", "parameters": "parameters"} | {name: name for name in formats}
    parts = []
    for key, title in COLUMNS.items():
        flat = [row | {name: row[name][key] for name in formats} for row in rows]
        parts += [f"### {title.format(samples=zoo.SAMPLES)}", report.markdown(flat, headings)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
