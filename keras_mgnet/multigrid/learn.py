"""Learned smoothers: trains B in u <- u + B * (f - A * u) by back-propagation through cycles. B also works on other grids."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
from keras import ops
from pydantic import Field, PositiveFloat

from keras_mgnet.configuration import Count, option
from keras_mgnet.layers import CoefficientStencil, CycleLevel, KernelChain, StencilField
from keras_mgnet.layers.operators.learned_stencil import taps
from keras_mgnet.layers.schemes.smoothers import ResidualCorrection, Weighted
from keras_mgnet.loading import load_checked
from keras_mgnet.multigrid.defaults import Components
from keras_mgnet.multigrid.experiment import SolveConfig, build
from keras_mgnet.multigrid.grids import Grid, assigned, diagonal, grid_count, neighbours
from keras_mgnet.multigrid.smoothers import Smoother
from keras_mgnet.multigrid.solvers import cycle_levels

KERNELS = {"poisson": "cross", "anisotropic": "column column:2 column:4 column:8"}
EXPECTED_FILE = "the smoother.keras of --learn"
SINGLE = {"dtype": "float32", "cycle_dtype": None}
RENEWED = 4  # in each step, an error is replaced by a new random error with probability 1 / RENEWED


@dataclass(frozen=True)
class LearnConfig(SolveConfig):
    """The options of `keras-mgnet solve`: a problem, and with `learn` the training of a smoother for this problem."""

    learn: bool = option(False, "train a smoother first, and compare it with the fixed smoothers")
    kernels: str | None = option(
        None,
        "kernels of the smoother B, one after the other: point, row, column, cross or square, dilated as in column:4 [default: "
        "cross; anisotropic: column column:2 column:4 column:8; jumps: stencils that a network computes from the coefficients]",
    )
    channels: Annotated[int, Field(ge=1, le=8)] | None = option(
        None, "channels between the kernels [default: 1], or inside the network for jumps [default: 8]"
    )
    share_B: bool = option(False, "use one B for all grids")
    train_n: Annotated[int, Field(ge=3)] = option(31, "points per side of the grid to train on, 2^k - 1")
    steps: Count = option(300, "number of training steps")
    unrolled: Count = option(3, "number of cycles in a training step")
    errors: Count = option(16, "number of errors in a training step")
    problems: Count = option(8, "number of jumps problems to train on; the problem to solve is not among them")
    learning_rate: PositiveFloat = option(0.02, "initial learning rate of Adam; the rate falls to 0 along a cosine")

    def __post_init__(self):
        super().__post_init__()
        if not self.learn:
            return
        grid_count(self.train_n)
        if self.cycle == "W":
            raise ValueError("expected cycle V or backslash with --learn. Received: cycle='W'")
        if self.levels is not None:
            raise ValueError(f"expected no --levels with --learn: it trains all grids. Received: levels={self.levels}")
        if self.problem == "jumps" and self.kernels:
            raise ValueError(
                "expected no kernels for jumps, because a network computes the stencils. Received: --kernels"
            )
        for kernel in self.chain():
            taps(kernel)

    def defaults(self, A: np.ndarray) -> Components:
        """Returns the components of the textbook if the smoother is a learned one. It alone is to cope with the problem."""
        if not (self.learn or (self.smoother or "").endswith(".keras")):
            return super().defaults(A)
        return Components("jacobi", "full_weighting", "galerkin" if A.ndim == 4 else "rediscretised", "none")

    def chain(self) -> tuple[str, ...]:
        """Returns the kernels of B, an empty tuple for jumps."""
        return tuple((self.kernels or KERNELS.get(self.problem, "")).split())


def learnable(config: LearnConfig) -> Smoother:
    """Returns the smoother to train, with one B per grid or one B for all grids, and a weight for each smoothing step."""
    made: list[keras.layers.Layer] = []

    def B(j: int, grid: Grid, dtype) -> keras.layers.Layer:
        A = grid.A
        if A.ndim == 4:
            net = made[0].net if config.share_B and made else None
            layer = CoefficientStencil(config.channels or 8, net=net, name="B", dtype=dtype)
            layer.build((None, len(A), len(A), 1))
            layer.assign(A)
        elif config.share_B and made:
            layer = made[0]
        else:
            options = {"scale": float(1 / diagonal(A)), "initial": 0.8, "name": "B", "dtype": dtype}
            layer = KernelChain(config.chain(), config.channels or 1, **options)
        made.append(layer)
        return layer

    return Smoother(B, _weighted)


def _weighted(nu: int, dtype) -> ResidualCorrection:
    return Weighted(nu, dtype=dtype) if nu else ResidualCorrection(nu, dtype=dtype)


def train(config: LearnConfig, report: Callable[[int, float], None] = lambda step, loss: None) -> keras.Model:
    """Trains B on grids of `train_n` points per side, in single precision.

    For f = 0 the solution is zero, so u is the error. A training step starts from errors of norm 1 and applies `unrolled` cycles.
    Adam minimises the mean logarithm of the error norms after these cycles.

    The next step on the same problem starts from the errors that are left after these cycles, scaled to norm 1. About a quarter
    of these errors is replaced by new random errors. Repeated cycles leave the errors that shrink most slowly, as in a power
    iteration. So the loss per cycle approaches the logarithm of the asymptotic convergence factor.

    Args:
        config: the problem and the training.
        report: a function that is called in each step with the number of the step and the loss per cycle.

    Returns:
        The solver on `train_n` points per side with the trained B. The model is trainable.
    """
    keras.utils.set_random_seed(config.seed)
    coarse = replace(config, n=config.train_n)
    model = build(coarse, smoother=learnable(coarse), **SINGLE)
    fields = _fields(coarse, model)
    trainer = _unrolled(model, config.unrolled)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.steps)
    trainer.compile(keras.optimizers.Adam(rate, clipnorm=1.0), _log_norm, jit_compile=False)
    rng = np.random.default_rng(config.seed)
    shape = (config.errors, config.train_n, config.train_n, 1)
    errors = [_unit(rng.normal(size=shape)) for _ in fields]
    for step in range(config.steps):
        problem = step % len(fields)
        for variable, value in zip(model.non_trainable_variables, fields[problem], strict=True):
            variable.assign(value)
        u = errors[problem]
        trainer.reset_metrics()  # else Keras before 3.15 returns the mean of all steps
        loss = float(trainer.train_on_batch(u, u)) / config.unrolled
        left = trainer.predict_on_batch(u)
        renewed = rng.random(config.errors) < 1 / RENEWED
        errors[problem] = _unit(np.where(renewed[:, None, None, None], rng.normal(size=shape), left))
        report(step, loss)
    return _unshared(model, coarse) if config.share_B else model


def _unshared(model: keras.Model, config: LearnConfig) -> keras.Model:
    """Returns the same model with a copy of B on each grid, because saved models cannot share a layer between levels."""
    own = build(config, smoother=learnable(replace(config, share_B=False)), **SINGLE)
    for level, source in zip(smoothed_levels(own), smoothed_levels(model), strict=True):
        for variable, value in zip(level.trainable_variables, source.trainable_variables, strict=True):
            variable.assign(value)
    return own


def _fields(config: LearnConfig, model: keras.Model) -> list[list[np.ndarray]]:
    """Returns the values of all fixed stencils, for each problem of the training."""
    if config.problem != "jumps":
        return [_values(model)]
    others = [replace(config, seed=config.seed + 1 + i) for i in range(config.problems)]
    return [_values(build(other, smoother=learnable(other), **SINGLE)) for other in others]


def _values(model: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in model.non_trainable_variables]


def _unrolled(model: keras.Model, cycles: int) -> keras.Model:
    start = u = keras.Input(model.inputs[0].shape[1:], dtype="float32")
    f = ops.zeros_like(start)
    for _ in range(cycles):
        u = model([u, f])
    return keras.Model(start, u)


def _log_norm(_, u):
    return ops.log(ops.sum(ops.square(u), axis=(1, 2, 3)) + 1e-30) / 2


def _unit(u: np.ndarray) -> np.ndarray:
    return (u / np.sqrt(np.square(u).sum((1, 2, 3), keepdims=True))).astype("float32")


def smoothed_levels(model: keras.Model) -> list[CycleLevel]:
    """Returns the levels of a solver from the finest to the coarsest, without the coarsest level."""
    return cycle_levels(model)[:-1]


def load_smoother(path: str | Path) -> keras.Model:
    """Loads a model that `train` returned, from a .keras file. Raises ValueError if the file contains another model."""
    model = load_checked(path, EXPECTED_FILE, lambda name: name == "Functional")
    if not any(isinstance(level.field.B[0], (KernelChain, CoefficientStencil)) for level in smoothed_levels(model)):
        raise ValueError(f"expected {EXPECTED_FILE}. Received: '{path}'")
    return model


def learned_solver(trained: keras.Model, config: SolveConfig) -> keras.Model:
    """Returns the solver of a configuration, with the smoothers of a model that `train` or `load_smoother` returned.

    Each grid takes the smoother that was trained on a grid of the same size. A grid that is larger than all grids of the training
    takes the smoother of the largest. For a problem with jumping coefficients, the trained network computes the stencils of the
    smoothers once, in this function.

    Raises:
        ValueError: if the smoothing steps of the configuration differ from the steps of the training.
    """
    sources, depth = smoothed_levels(trained), grid_count(config.n) - 1
    nu = (sources[0].nu, sources[0].post_nu)
    if nu != config.smoothing_steps:
        raise ValueError(
            f"expected nu={nu}, with which the smoother was trained. Received: nu={config.smoothing_steps}"
        )

    def source(j: int) -> CycleLevel:
        return sources[max(0, j - depth + len(sources))]

    smoother = Smoother(lambda j, grid, dtype: _transferred(source(j).field.B[0], grid.A, dtype), _weighted)
    model = build(config, smoother=smoother)
    for j, level in enumerate(smoothed_levels(model)):
        for scheme, of in ((level.scheme, source(j).scheme), (level.post_scheme, source(j).post_scheme)):
            scheme.set_weights(of.get_weights())
    return model


def _transferred(B, A: np.ndarray, dtype) -> keras.layers.Layer:
    """Returns the trained B as a layer for the grid of A."""
    n = A.shape[0]
    if isinstance(B, KernelChain):
        config = B.get_config() | {"scale": float(1 / diagonal(A)), "dtype": dtype}
        layer = KernelChain.from_config(config)
        layer.build((None, None, None, 1))
        layer.set_weights(B.get_weights())
        return layer
    stencils = CoefficientStencil(net=B.net, dtype=B.dtype_policy)
    stencils.build((None, n, n, 1))
    stencils.assign(A)
    S = ops.convert_to_numpy(stencils.field()).astype("float64")
    around = neighbours(diagonal(A), outside=1.0)
    return assigned(StencilField(3, name="B", dtype=dtype), S / around, (n, n))
