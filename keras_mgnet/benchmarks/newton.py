"""Trains residual networks on points of the plane: block coordinate descent by Newton's methods, compared with SGD and Adam.

    python -m keras_mgnet.benchmarks.newton [--sets ellipses swiss_roll peaks] [--out FOLDER]

Every method minimises the same function from the same start. Of each set there are 1000 points to train on and 1000 to test. SGD
and Adam have the learning rate, of several, with the smallest final value. "multilevel" trains a quarter of the layers first,
then half of them and then all. Prints Markdown. With --out, writes Markdown, JSON and a picture.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from keras_mgnet.analysis.newton.flow import SCHEMES, Flow
from keras_mgnet.analysis.newton.points import SETS
from keras_mgnet.analysis.newton.problem import Report, Training
from keras_mgnet.benchmarks import report
from keras_mgnet.reporting import COLORS, finish, new_figure, save

GOAL = 0.99  # accuracy on the training points
SHARES = (1 / 4, 1 / 4)  # of the steps of `multilevel`, on a quarter and on half of the layers
FLOWS = {"ellipses": (16, 4, 4.0), "swiss_roll": (32, 4, 10.0), "peaks": (16, 8, 5.0)}  # depth, width, time
COLUMNS = {
    "set": "points", "method": "method", "steps": "steps or epochs", "products": "products with J, J^T", "seconds": "CPU s",
    "value": "loss + R", "train": "training accuracy", "test": "test accuracy", "goal": f"CPU s to {GOAL:.0%}",
}  # fmt: skip
PACKAGES = ("keras-mgnet", "keras", "tensorflow", "numpy")


@dataclass(frozen=True)
class Curve:
    """The reports of one method on one set."""

    set: str
    method: str
    reports: list[Report]

    def row(self) -> dict:
        """Returns the last report, and the seconds to `GOAL`."""
        reached = [f"{state.seconds:.3g}" for state in self.reports if state.train >= GOAL]
        return {"set": self.set, "method": self.method, "goal": reached[0] if reached else "-"} | asdict(
            self.reports[-1]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--scheme", choices=SCHEMES, default="verlet")
    parser.add_argument("--points", type=int, default=1000, help="points to train on, and as many to test")
    parser.add_argument("--steps", type=int, default=40, help="steps of Newton's methods")
    parser.add_argument("--epochs", type=int, default=100, help="epochs of SGD and of Adam")
    parser.add_argument("--alpha", type=float, default=1e-5, help="weight of the smoothness over the depth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    curves = [curve for name in options.sets for curve in measure(name, options)]
    text = report.markdown([curve.row() for curve in curves], COLUMNS)
    print(text)
    if options.out:
        record = {"environment": report.environment(*PACKAGES), "curves": [asdict(curve) for curve in curves]}
        report.write(options.out, "newton", record, text)
        plot(curves, options.out / "newton.png")


def measure(name: str, options: argparse.Namespace) -> list[Curve]:
    """Trains by all methods on one set."""
    rng = np.random.default_rng(options.seed)
    points = [SETS[name](options.points, rng) for _ in range(2)]
    depth, width, time = FLOWS[name]

    def training(depth: int = depth) -> Training:
        return Training(Flow(options.scheme, depth, width, time), *points, alpha=options.alpha, seed=options.seed)

    def best(optimizer: Callable[[float], keras.optimizers.Optimizer], rates: Sequence[float]) -> list[Report]:
        trainings = [training() for _ in rates]
        for one, rate in zip(trainings, rates, strict=True):
            one.sgd(options.epochs, optimizer(rate))
        return min((one.reports for one in trainings), key=lambda reports: np.nan_to_num(reports[-1].value, nan=np.inf))

    newton = training()
    newton.newton(options.steps)
    return [
        Curve(name, "Newton, Gauss-Newton", newton.reports),
        Curve(name, "the same, multilevel", multilevel(training(depth // 4), options.steps)),
        Curve(name, "SGD with momentum", best(lambda rate: keras.optimizers.SGD(rate, 0.9), (0.03, 0.1, 0.3))),
        Curve(name, "Adam", best(keras.optimizers.Adam, (0.003, 0.01, 0.03))),
    ]


def multilevel(coarse: Training, steps: int) -> list[Report]:
    """Trains a network, then one of twice and one of four times the depth, by `steps` steps together. Returns all reports."""
    counts = [round(share * steps) for share in SHARES]
    training, reports = coarse, []
    for count in (*counts, steps - sum(counts)):
        if reports:
            training = training.deeper()
        training.newton(count)
        reports += training.reports
    return reports


def plot(curves: Sequence[Curve], path: Path) -> None:
    """Draws the function values against seconds, one panel for each set, to a PNG."""
    sets = list(dict.fromkeys(curve.set for curve in curves))
    figure = new_figure(4.6 * len(sets), 4.2, "Loss + R of residual networks on points of the plane")
    for axes, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for color, curve in zip(COLORS, (curve for curve in curves if curve.set == name), strict=False):
            seconds, values = ([getattr(state, key) for state in curve.reports] for key in ("seconds", "value"))
            axes.plot(seconds, values, color=color, label=curve.method)
        finish(axes, title=name, xlabel="seconds of CPU time", ylabel="loss + R", yscale="log")
    save(figure, path)


if __name__ == "__main__":
    main()
