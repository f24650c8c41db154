"""The table of analyses: what each one computes and draws, and which networks it applies to."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mgnet.analysis.class_activation import SHOWN, activation_maps, classifier_head, plot_activation_maps
from keras_mgnet.analysis.differential_operators import moments, plot_moments
from keras_mgnet.analysis.eigenvalues import plot_stability, stability, stepping_levels
from keras_mgnet.analysis.fourier import plot_spectra, smoothing_levels, spectra
from keras_mgnet.analysis.influence_functions import diffusion_level, influence, plot_influence
from keras_mgnet.analysis.iterative_estimation import estimation, plot_estimation
from keras_mgnet.analysis.lesion import lesions, plot_lesions
from keras_mgnet.analysis.multilevel_learning import check_resolution, plot_resolution, resolution
from keras_mgnet.analysis.pooling_block import plot_pooling, pooling, strided_convolutions
from keras_mgnet.analysis.random_labels import plot_randomization, randomization
from keras_mgnet.analysis.residual_paths import euler_levels, paths, plot_paths
from keras_mgnet.analysis.result import to_json
from keras_mgnet.analysis.rewiring import modules
from keras_mgnet.analysis.signal_propagation import initialization, plot_initialization
from keras_mgnet.analysis.smaller_steps import one_step_levels, plot_refinement, refinement
from keras_mgnet.analysis.smoothing import plot_residuals, residuals
from keras_mgnet.analysis.states import grid_levels, recorded_levels
from keras_mgnet.analysis.two_step import coefficients, plot_coefficients
from keras_mgnet.errors import check_known, required
from keras_mgnet.files import write_json


@dataclass(frozen=True, eq=False)
class Subject:
    """What is analysed: a model, images and labels."""

    model: keras.Model
    images: np.ndarray  # (N, H, W, C), normalised; noisy grey values for a denoiser
    labels: np.ndarray  # (N,) classes; the images without noise for a denoiser
    class_names: tuple[str, ...] | None = None  # name of each class; None for numbers
    seed: int = 0  # of all random draws


@dataclass(frozen=True)
class Analysis:
    """One entry of `ANALYSES`."""

    # Both functions are called with those fields of `Subject` that are among their parameters. `plot` first gets the result
    # and the path of a PNG.
    compute: Callable[..., Any]  # returns a dataclass of numbers with a one-line `summary()`
    plot: Callable[..., None]
    check: Callable[[keras.Model], Any]  # raises a ValueError that says why, if the analysis does not apply
    help: str  # one sentence


def _of_classes(model: keras.Model) -> None:
    """Raises ValueError unless a network is a classifier, which returns (N, classes)."""
    required(model, "a classifier", len(model.output_shape) == 2)


ANALYSES = {
    "residuals": Analysis(residuals, plot_residuals, grid_levels, "||f - A(u)|| per level and iteration"),
    "k_values": Analysis(
        coefficients, plot_coefficients, coefficients, "learned coefficients, compared with the Chebyshev method"
    ),
    "lesion": Analysis(lesions, plot_lesions, modules, "test error with modules deleted or exchanged"),
    "estimation": Analysis(
        estimation, plot_estimation, recorded_levels, "how well the states of a level estimate its last state"
    ),
    "paths": Analysis(paths, plot_paths, euler_levels, "number of paths by length, and the gradient along them"),
    "spectra": Analysis(
        spectra, plot_spectra, smoothing_levels, "Fourier symbol of I - A B: does the learned B smooth?"
    ),
    "moments": Analysis(moments, plot_moments, moments, "3x3 kernels as differential operators"),
    "stability": Analysis(
        stability, plot_stability, stepping_levels, "eigenvalues of Jacobians and the stability region of the scheme"
    ),
    "refinement": Analysis(
        refinement, plot_refinement, one_step_levels, "output with smaller steps and as many more of them"
    ),
    "resolution": Analysis(
        resolution, plot_resolution, check_resolution, "accuracy at half and twice the resolution, without retraining"
    ),
    "pooling": Analysis(pooling, plot_pooling, strided_convolutions, "what convolutions with stride 2 read"),
    "initialization": Analysis(
        initialization,
        plot_initialization,
        _of_classes,
        "variances and gradients in fresh copies, with norms and without",
    ),
    "randomization": Analysis(
        randomization,
        plot_randomization,
        _of_classes,
        "fresh copies trained on true and on random labels, with regularisers",
    ),
    "influence": Analysis(
        lambda model, images, labels: influence(model, images, labels),
        plot_influence,
        diffusion_level,
        "filters and influence functions of a denoiser, stage by stage",
    ),
    "cam": Analysis(
        lambda model, images, labels: activation_maps(model, images[:SHOWN], labels[:SHOWN]),
        plot_activation_maps,
        classifier_head,
        "where in the images the predicted class is seen",
    ),
}


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError unless all names are keys of `ANALYSES`.

    Example:
        >>> check_names(["lesions"])
        Traceback (most recent call last):
            ...
        ValueError: unknown analysis 'lesions'; did you mean 'lesion'? Expected one of: residuals, ... Received: 'lesions'
    """
    for name in names:
        check_known("analysis", name, ANALYSES)


def inapplicable(model: keras.Model) -> dict[str, str]:
    """Returns the analyses that do not apply to a network, each with the reason.

    Example:
        >>> from keras_mgnet import MgNet
        >>> sorted(inapplicable(MgNet((1,), 4, input_shape=(8, 8, 1))))
        ['influence', 'k_values', 'paths', 'pooling', 'refinement']
    """
    reasons = {}
    for name, analysis in ANALYSES.items():
        try:
            analysis.check(model)
        except ValueError as error:
            reasons[name] = str(error)
    return reasons


def analyze(subject: Subject, name: str, directory: str | Path, about: dict[str, Any] | None = None) -> Any:
    """Runs one analysis, writes the files NAME.json and NAME.png, and returns the result.

    Each file is written completely or not at all.

    Args:
        subject: the model, images and labels to analyse.
        name: a key of `ANALYSES`.
        directory: folder to write to.
        about: the entry "about" of the JSON file.

    Raises:
        ValueError: if the name is unknown, or the analysis does not apply to the network. The error is raised before anything is
            computed.
    """
    check_names([name])
    analysis = ANALYSES[name]
    analysis.check(subject.model)
    result = _of_subject(analysis.compute, subject)()
    content = {"analysis": name, "summary": result.summary(), "about": about or {}, "result": to_json(result)}
    write_json(Path(directory) / f"{name}.json", content)
    _of_subject(analysis.plot, subject)(result, Path(directory) / f"{name}.png")
    return result


def _of_subject(function: Callable, subject: Subject) -> Callable:
    needed = inspect.signature(function).parameters
    return partial(function, **{name: value for name, value in vars(subject).items() if name in needed})
