"""Learns solution operators with MgNO, a U-Net and the Fourier neural operator of `neuraloperator`, all of about one size.

    pip install '.[bench,solve]' neuraloperator
    python -m keras_mgnet.benchmarks.operators --out docs/records/operators

Each network trains on the same pairs, for the same epochs, with batches of 8, Adam, a rate of one cycle and the relative H1 error
as loss, each in its own process. Errors are means over the test pairs after the last epoch.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from keras_mgnet.benchmarks.report import environment, in_process, markdown, write

BATCH, ANSWERS = 8, 50
RATES = {"MgNO": 5e-4, "U-Net": 1e-3, "FNO": 2e-3}  # the highest rate of the cycle
COLUMNS = {
    "problem": "problem",
    "network": "network",
    "params": "parameters, real numbers",
    "seed": "seed",
    "l2": "relative L2, %",
    "h1": "relative H1, %",
    "epoch": "s an epoch",
    "answer": "ms an answer",
}


def unet(shape: tuple[int, int, int], width: int = 20) -> Any:
    """Returns a U-Net on three grids with `width`, 2 `width` and 3 `width` channels, and normalisers as those of MgNO."""
    import keras
    from keras import layers

    from keras_mgnet.layers.operators.grid_norm import Normalizer

    def block(x, channels):
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", activation="gelu")(x)
        return x

    inputs = keras.Input(shape)
    x, kept = Normalizer("scalar", name="encode")(inputs), []
    for channels in (width, 2 * width):
        kept.append(block(x, channels))
        x = layers.AveragePooling2D(2)(kept[-1])
    x = block(x, 3 * width)
    for skip in reversed(kept):
        x = block(layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(x), skip]), skip.shape[-1])
    x = layers.Conv2D(1, 1)(x)
    return keras.Model(inputs, Normalizer("scalar", inverse=True, name="decode")(x), name="unet")


def mgno(shape: tuple[int, int, int]) -> Any:
    """Returns an MgNO with 12 channels; the authors' has 24."""
    from keras_mgnet import create_model

    return create_model("mgno_darcy_rough", channels=12, input_shape=shape)


def train_keras(name: str, pairs: dict[str, np.ndarray], epochs: int, seed: int) -> dict[str, Any]:
    """Trains MgNO or the U-Net, and returns its parameters, errors and times."""
    import keras

    from keras_mgnet import adapt_normalizers, count_params
    from keras_mgnet.recipes import recipe
    from keras_mgnet.relative_errors import RelativeH1

    keras.utils.set_random_seed(seed)
    model = {"MgNO": mgno, "U-Net": unet}[name](pairs["x"].shape[1:])
    adapt_normalizers(model, pairs["x"], pairs["y"])
    steps = -(-len(pairs["x"]) // BATCH)
    rate = replace(recipe("mgno"), learning_rate=RATES[name]).schedule(steps, epochs)
    model.compile(keras.optimizers.Adam(rate), RelativeH1())
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    ends: list[float] = []
    model.fit(pairs["x"], pairs["y"], batch_size=BATCH, epochs=epochs, callbacks=[watch], verbose=0)
    found = model.predict(pairs["x_test"], batch_size=BATCH, verbose=0)
    answer = _milliseconds(lambda: model.predict_on_batch(pairs["x_test"][:1]))
    return {"params": count_params(model), **_errors(pairs["y_test"], found), "epoch": _epoch(ends), "answer": answer}


def train_fno(name: str, pairs: dict[str, np.ndarray], epochs: int, seed: int) -> dict[str, Any]:
    """Trains the Fourier neural operator in PyTorch, and returns its parameters, errors and times."""
    import torch
    from neuralop.models import FNO

    from keras_mgnet.relative_errors import frequency_weights

    torch.manual_seed(seed)
    x, y, x_test = (torch.from_numpy(pairs[key].transpose(0, 3, 1, 2)) for key in ("x", "y", "x_test"))
    mean, std, middle, scale = x.mean(), x.std(), y.mean(), y.std()
    model = FNO(n_modes=(12, 12), in_channels=1, out_channels=1, hidden_channels=14, n_layers=4)
    weights = torch.from_numpy(frequency_weights(*x.shape[2:], 1.0, 20)).float().sqrt()

    def answer(functions):
        return model((functions - mean) / std) * scale + middle

    def norm(error):
        return (weights * torch.fft.fft2(error)).abs().square().sum((1, 2, 3)).sqrt()

    steps, ends = -(-len(x) // BATCH), []
    optimizer = torch.optim.Adam(model.parameters(), RATES[name])
    cycle = {"pct_start": 0.2, "div_factor": 2, "final_div_factor": 100}
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[name], steps * epochs, **cycle)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            (norm(answer(x[chosen]) - y[chosen]) / norm(y[chosen])).mean().backward()
            optimizer.step()
            rate.step()
        ends.append(time.perf_counter())
    with torch.no_grad():
        found = torch.cat([answer(part) for part in x_test.split(BATCH)]).numpy().transpose(0, 2, 3, 1)
        milliseconds = _milliseconds(lambda: answer(x_test[:1]))
    params = sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())
    return {"params": params, **_errors(pairs["y_test"], found), "epoch": _epoch(ends), "answer": milliseconds}


def _errors(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    from keras_mgnet.relative_errors import mean_relative_l2, relative_h1

    return {"l2": 100 * mean_relative_l2(truth, found), "h1": 100 * float(np.mean(relative_h1(truth, found)))}


def _epoch(ends: list[float]) -> float:
    return float(np.median(np.diff(ends))) if len(ends) > 1 else float("nan")


def _milliseconds(step: Any) -> float:
    times = []
    for _ in range(ANSWERS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


PROGRAMS = {"MgNO": train_keras, "U-Net": train_keras, "FNO": train_fno}


def main(
    out: Annotated[Path, typer.Option(help="folder for operators.json and operators.md")] = Path(),
    problem: Annotated[list[str], typer.Option(help="problems of `keras-mgnet generate`")] = ["darcy", "darcy_rough"],  # noqa: B006
    network: Annotated[list[str], typer.Option(help=", ".join(PROGRAMS))] = list(PROGRAMS),  # noqa: B006
    epochs: int = 40,
    seeds: int = 1,
    grid: int = 64,
    pairs: int = 1250,
) -> None:
    """Learns solution operators with several networks, and writes a table of their errors."""
    from keras_mgnet.training.data.functions import load_pairs

    rows = []
    record = {"settings": {"epochs": epochs, "grid": grid, "pairs": pairs, "rates": RATES}, "rows": rows}
    record["environment"] = environment("tensorflow", "keras", "torch", "neuraloperator", "keras-mgnet")
    for name in problem:
        data = load_pairs(f"pde:{name}", grid=grid, pairs=pairs)
        arrays = {"x": data.train.x, "y": data.train.y, "x_test": data.test.x, "y_test": data.test.y}
        for seed in range(1, seeds + 1):
            for kind in network:
                result = in_process(PROGRAMS[kind], kind, arrays, epochs, seed)
                rows.append({"problem": name, "network": kind, "seed": seed, **result})
                print(markdown(rows[-1:], COLUMNS).splitlines()[-1], flush=True)
                write(out, "operators", record, markdown(rows, COLUMNS))


if __name__ == "__main__":
    typer.run(main)
