"""Trains on a folder of photographs that is larger than the memory it may use, and compares the rates of input pipelines.

    python -m keras_mgnet.benchmarks.streamed --photos photos --out docs/records/streamed

The photographs are generated once: JPEG files of 100 to 600 pixels a side, in 20 classes. The first table has the rates of
pipelines that decode, resize, shuffle and normalise the photographs, each in a process of its own. The second table has training
runs under a limit of memory: what a process may allocate beyond what it has when TensorFlow is loaded.
"""

import os
import resource
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from keras_mgnet.benchmarks.race import peak_memory
from keras_mgnet.benchmarks.report import environment, in_process, markdown, write

CLASSES, TEST, BATCH, SIDES = 20, 0.1, 64, (100, 601)
IMAGES = {"on": "decoded when needed", "off": "in memory"}
WARM = 5  # batches that are not timed
PACKAGES = ("tensorflow", "keras", "torch", "torchvision", "pillow", "numpy")
RATES = {"pipeline": "pipeline", "rate": "images/s", "memory_mb": "peak memory, MB", "note": "note"}
RUNS = {
    "images": "images are",
    "limit_mb": "limit, MB",
    "end": "end",
    "rate": "images/s",
    "memory_mb": "peak memory, MB",
}


def generate(folder: Path, count: int) -> None:
    """Writes the photographs that are missing, a tenth of them as folder/test/<class>/*.jpg, the others as folder/train."""
    from PIL import Image

    for number in range(count):
        part = "test" if number % round(1 / TEST) == 0 else "train"
        file = folder / part / f"{number // round(1 / TEST) % CLASSES:02}" / f"{number:06}.jpg"
        if file.is_file():
            continue
        rng = np.random.default_rng(number)
        width, height = map(int, rng.integers(*SIDES, 2))
        coarse = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
        coarse[..., number % 3] //= 1 + number // round(1 / TEST) % CLASSES
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, quality=90)


def ours(folder: str, side: int, stream: str = "on", augment: str = "none") -> Iterator:
    """Returns the batches of keras_mgnet."""
    from keras_mgnet.augmentations import AUGMENTATIONS
    from keras_mgnet.training.data.dataset import load
    from keras_mgnet.training.data.pipeline import train_batches

    cropped = (3,) if AUGMENTATIONS[augment].crop else ()
    data = load(f"folder:{folder}", image_size=side, stream=stream, cropped=cropped)
    form = {"mean": data.mean, "std": data.std, "seed": 0, "epochs": 1000}
    return iter(train_batches(data.train, BATCH, augment=augment, **form))


def stock_keras(folder: str, side: int) -> Iterator:
    """Returns the batches of Keras' image_dataset_from_directory, normalised and prefetched."""
    import keras
    import tensorflow as tf

    form = {"image_size": (side, side), "batch_size": BATCH, "seed": 0, "verbose": False}
    batches = keras.utils.image_dataset_from_directory(f"{folder}/train", **form)
    normalised = batches.map(lambda images, labels: (images / 127.5 - 1, labels), num_parallel_calls=tf.data.AUTOTUNE)
    return iter(normalised.repeat().prefetch(tf.data.AUTOTUNE))


def torchvision(folder: str, side: int, random: bool = False) -> Iterator:
    """Returns the batches of torchvision's ImageFolder and PyTorch's DataLoader, with a process for each core."""
    import torch
    from torchvision import datasets, transforms

    crop = (
        [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip()]
        if random
        else [transforms.Resize((side, side))]
    )
    steps = [*crop, transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    photos = datasets.ImageFolder(f"{folder}/train", transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(
        photos, BATCH, shuffle=True, num_workers=os.cpu_count(), persistent_workers=True
    )
    while True:
        yield from loader


PIPELINES: dict[str, tuple[Callable[..., Iterator], dict]] = {
    "keras_mgnet, in memory": (ours, {"stream": "off"}),
    "keras_mgnet, streamed": (ours, {}),
    "Keras, image_dataset_from_directory": (stock_keras, {}),
    "torchvision": (torchvision, {}),
    "keras_mgnet, scale and aspect": (ours, {"augment": "scale_aspect_flip"}),
    "torchvision, RandomResizedCrop": (torchvision, {"random": True}),
}


def rate(name: str, folder: str, side: int, seconds: float) -> dict:
    """Returns the row of a pipeline of `PIPELINES`."""
    make, options = PIPELINES[name]
    if make is torchvision and find_spec("torchvision") is None:
        return {"pipeline": name, "note": "torchvision is not installed"}
    batches = make(folder, side, **options)
    for _ in range(WARM):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images, _ = next(batches)
        count += len(images)
    return {"pipeline": name, "rate": count / (time.perf_counter() - start), "memory_mb": peak_memory(), "note": ""}


def limited(stream: str, folder: str, side: int, limit: int, out: str) -> dict:
    """Trains one epoch while the process may allocate at most `limit` more MB. Returns the row of the run."""
    import keras

    from keras_mgnet.training import TrainConfig, train

    keras.layers.Dense(1)(np.ones((1, 1), "float32"))  # starts TensorFlow's threads
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # of data and stacks
    most = pages * resource.getpagesize() + limit * 10**6
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    network = {"nu": [1, 1, 1], "channels": 4, "stem": "imagenet"}
    form = {"dataset": f"folder:{folder}", "image_size": side, "set": network, "epochs": 1, "batch_size": BATCH}
    row = {"images": IMAGES[stream], "limit_mb": limit}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = train(TrainConfig(**form, stream=stream, out=out, log="none"))
    except (MemoryError, RuntimeError) as error:
        return row | {"end": type(error).__name__, "memory_mb": peak_memory()}
    seconds, images = run.record["result"]["seconds"], run.record["data"]["train"] + run.record["data"]["test"]
    return row | {"end": run.record["result"]["status"], "rate": images / seconds, "memory_mb": peak_memory()}


def alone(function: Callable[..., dict], stream: str, *arguments) -> dict:
    """Returns the row of a run in a process that may die of its limit."""
    try:
        return in_process(function, stream, *arguments)
    except BrokenProcessPool:
        return {"images": IMAGES[stream], "limit_mb": arguments[2], "end": "the process died"}


def tables(folder: Path, side: int, seconds: float, limit: int, out: Path) -> Iterable[list[dict]]:
    """Yields the rows of both tables."""
    yield [in_process(rate, name, str(folder), side, seconds) for name in PIPELINES]
    yield [alone(limited, stream, str(folder), side, limit, str(out / f"run-{stream}")) for stream in ("on", "off")]


def main(
    photos: Annotated[Path, typer.Option(help="folder for the photographs; those that it has are not made again")],
    out: Annotated[Path, typer.Option(help="folder for streamed.json, streamed.md and the runs")] = Path(),
    count: Annotated[int, typer.Option(min=400, help="number of photographs")] = 20_000,
    side: Annotated[int, typer.Option(help="side of the images in pixels")] = 224,
    seconds: Annotated[float, typer.Option(help="length of the measurement of a pipeline")] = 30.0,
    limit: Annotated[int, typer.Option(help="MB that a training run may allocate")] = 1500,
) -> None:
    """Compares input pipelines on a generated folder of photographs, and trains on it under a limit of memory."""
    generate(photos, count)
    decoded = count * side * side * 3 / 1e6
    rates, runs = tables(photos, side, seconds, limit, out)
    told = f"{count:,} photographs; decoded at {side} x {side} they would take {decoded:,.0f} MB."
    record = {"count": count, "side": side, "decoded_mb": decoded, "pipelines": rates, "runs": runs}
    text = f"{told}\n\n{markdown(rates, RATES)}\n\n{markdown(runs, RUNS)}"
    write(out, "streamed", record | {"environment": environment(*PACKAGES)}, text)


if __name__ == "__main__":
    typer.run(main)
