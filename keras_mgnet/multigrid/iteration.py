"""Iterates a solver up to a tolerance, and computes its asymptotic convergence factor."""

import warnings
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_mgnet.errors import check_known
from keras_mgnet.layers import StencilField
from keras_mgnet.models.checks import is_integer, is_real
from keras_mgnet.multigrid.conjugate_gradients import conjugate_direction, inner, steepest
from keras_mgnet.multigrid.defaults import suited

ACCELERATIONS = ("none", "cg")
HOPELESS = 1e6
COMPILED_FROM = 127  # points per side below which compiling takes longer than it saves


class Iteration:
    """Iterates a solver. One compiled cycle serves all right-hand sides of one shape.

    Args:
        model: a model that `solver` returned.
        jit_compile: on TensorFlow, whether XLA compiles the cycle. None for XLA from 127 points per side on.
        accelerate: as in `solve`.

    Example:
        >>> from keras_mgnet.multigrid import solver
        >>> iteration = Iteration(solver(15))
        >>> [len(iteration(np.full((1, 15, 15, 1), value))[1]) - 1 for value in (1.0, 5.0)]
        [18, 18]
    """

    def __init__(self, model: keras.Model, jit_compile: bool | None = None, accelerate: str | None = None):
        check_solver(model)
        self.accelerate = _acceleration(model) if accelerate is None else accelerate
        check_known("acceleration", self.accelerate, ACCELERATIONS)
        self.model = model
        jit = model.inputs[0].shape[1] >= COMPILED_FROM if jit_compile is None else jit_compile
        residual = model.get_layer("residual")

        def norms(u, f):
            return ops.sqrt(ops.sum(ops.square(residual(f, u)), axis=(1, 2, 3)))

        def stationary(f, u):
            u = model([u, f], training=False)
            return (u,), norms(u, f)

        def conjugate(f, u, r, before, p, zr):
            z = model([ops.zeros_like(r), r], training=False)
            p = conjugate_direction(z, r, before, p, zr)
            u = steepest(u, r, p, residual.A(p))
            following = residual(f, u)
            return (u, following, r, p, inner(z, r)), ops.sqrt(ops.sum(ops.square(following), axis=(1, 2, 3)))

        def begin(f, u):
            if self.accelerate == "none":
                return (u,)
            r = residual(f, u)
            return u, r, r, ops.zeros_like(r), ops.ones_like(r[:, :1, :1])

        self._norms = norms  # computed alone only once per solve, which is not worth a trace
        self._begin = begin
        self._step = compiled(stationary if self.accelerate == "none" else conjugate, jit)

    def __call__(self, f, u=None, *, tolerance: float = 1e-8, cycles: int = 100) -> tuple[np.ndarray, np.ndarray]:
        """Iterates until the residual of every right-hand side is small. Arguments and result as in `solve`."""
        self._check(f, u)
        f = ops.convert_to_tensor(f, dtype=self.model.inputs[1].dtype)
        u = ops.zeros_like(f) if u is None else ops.convert_to_tensor(u, dtype=f.dtype)
        scale = ops.convert_to_numpy(ops.sqrt(ops.sum(ops.square(f), axis=(1, 2, 3))))
        scale = np.where(scale > 0, scale, 1.0)
        history = [ops.convert_to_numpy(self._norms(u, f)) / scale]
        state = self._begin(f, u)
        while len(history) <= cycles and not (history[-1] <= tolerance).all() and not _diverges(history):
            state, norms = self._step(f, *state)
            history.append(ops.convert_to_numpy(norms) / scale)
        return ops.convert_to_numpy(state[0]), np.stack(history)

    def _check(self, f, u) -> None:
        shape = tuple(self.model.inputs[1].shape[1:])
        for name, value in (("f", f), *([] if u is None else [("u", u)])):
            if np.shape(value)[1:] != shape or np.shape(value) != np.shape(f):
                expected = f"(N, {', '.join(map(str, shape))})"
                raise ValueError(f"expected f and u of shape {expected}. Received: {name} of shape {np.shape(value)}")
            if not np.isfinite(ops.convert_to_numpy(value)).all():
                raise ValueError(f"expected finite numbers in {name}. Received: NaN or infinity")


def check_solver(model: keras.Model) -> None:
    """Raises ValueError unless a model comes from `solver`."""
    is_model = isinstance(model, keras.Model) and len(model.inputs) == 2
    if not is_model or all(layer.name != "residual" for layer in model.layers):
        raise ValueError(f"expected a model of keras_mgnet.multigrid.solver. Received: {model!r}")


def _diverges(history: list[np.ndarray]) -> bool:
    """Returns whether a relative residual is not finite, or exceeds `HOPELESS` times the larger of 1 and its initial value."""
    return not np.isfinite(history[-1]).all() or bool((history[-1] > HOPELESS * np.maximum(history[0], 1.0)).any())


def _acceleration(model: keras.Model) -> str:
    """Returns "cg" for variable coefficients if A is symmetric, else "none"."""
    A = model.get_layer("residual").A
    return suited(ops.convert_to_numpy(A.kernel)).accelerate if isinstance(A, StencilField) else "none"


def solve(
    model: keras.Model, f, u=None, *, tolerance: float = 1e-8, cycles: int = 100, accelerate: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Iterates a solver until the relative residual of every right-hand side is at most `tolerance`.

    The iteration stops early if it diverges. Warns if a residual is above the tolerance at the end.

    Args:
        model: a model that `solver` returned.
        f: (N, n, n, 1), h^2 times the right-hand side.
        u: the initial guess, of the same shape; None for zero.
        tolerance: bound for ||f - A * u|| / ||f|| in the Euclidean norm. If f = 0, the bound is for ||A * u||.
        cycles: largest number of cycles.
        accelerate: "none" repeats the cycle. "cg" makes the cycle the preconditioner of conjugate gradients, for a symmetric A,
            with one cycle per iteration. None for "cg" if A is symmetric with variable coefficients, else "none".

    Returns:
        u, (N, n, n, 1), and the relative residuals before the first cycle and after each cycle, (cycles + 1, N).

    Raises:
        ValueError: if f or u has the wrong shape or is not finite, or if the tolerance is not positive.

    Example:
        >>> from keras_mgnet.multigrid import solver
        >>> u, history = solve(solver(15, smoother="red_black"), np.ones((2, 15, 15, 1)))
        >>> u.shape, len(history) - 1, bool((history[-1] < 1e-8).all())
        ((2, 15, 15, 1), 9, True)
    """
    if not (is_real(tolerance) and tolerance > 0):
        raise ValueError(f"expected tolerance > 0. Received: tolerance={tolerance!r}")
    if not (is_integer(cycles) and cycles >= 0):
        raise ValueError(f"expected cycles to be an integer >= 0. Received: cycles={cycles!r}")
    u, history = Iteration(model, accelerate=accelerate)(f, u, tolerance=tolerance, cycles=cycles)
    if not (history[-1] <= tolerance).all():
        warnings.warn(
            f"the residual is {history[-1].max():.3g} after {len(history) - 1} cycles, and not below {tolerance:g}",
            stacklevel=2,
        )
    return u, history


def convergence_factor(model: keras.Model, n: int, cycles: int = 30, seed: int = 0) -> float:
    """Returns the asymptotic factor by which one cycle reduces the error.

    This factor is the spectral radius of the cycle with f = 0. Arnoldi's method computes it from the errors after all cycles.
    After 30 cycles the result is exact to 0.001. The quotient of the last two errors would still be 0.01 too small.

    Args:
        model: a model that `solver` returned, for n points per side.
        n: number of points per side.
        cycles: number of cycles.
        seed: seed of the random initial error.

    Raises:
        ValueError: if the model does not have n points per side, or `cycles` is less than 1.

    Example:
        >>> from keras_mgnet.multigrid import solver
        >>> round(convergence_factor(solver(15), 15), 2)
        0.35
    """
    check_solver(model)
    if tuple(model.inputs[0].shape[1:3]) != (n, n):
        raise ValueError(f"expected n={model.inputs[0].shape[1]}, like the model. Received: n={n!r}")
    if not (is_integer(cycles) and cycles >= 1):
        raise ValueError(f"expected cycles >= 1. Received: cycles={cycles!r}")
    f = ops.zeros((1, *model.inputs[1].shape[1:]), dtype=model.inputs[1].dtype)
    step = compiled(lambda u: model([u, f], training=False), False)

    def cycle(v: np.ndarray) -> np.ndarray:
        u = ops.convert_to_tensor(v.reshape(f.shape), dtype=f.dtype)
        return ops.convert_to_numpy(step(u)).astype("float64").ravel()

    return spectral_radius(cycle, np.random.default_rng(seed).normal(size=n * n), cycles)


def spectral_radius(apply: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int) -> float:
    """Returns the largest |Ritz value| of the linear map `apply` after `steps` steps of Arnoldi's method from `start`."""
    return float(np.abs(arnoldi(apply, start, steps, tolerance=1e-14)[0]).max())


def arnoldi(
    apply: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int, tolerance: float = 1e-7
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the Ritz values of the linear map `apply` after `steps` steps of Arnoldi's method, and their residual norms.

    Ritz values approximate eigenvalues. The method stops early if the Krylov space is invariant up to the relative `tolerance`.
    The default is the round-off of a map in float32.

    Example:
        >>> values, residuals = arnoldi(lambda v: np.array([1.0, 2.0, 3.0]) * v, np.ones(3), 5)
        >>> sorted(values.real.round(9).tolist())
        [1.0, 2.0, 3.0]
    """
    steps = min(steps, start.size)
    Q, H = np.zeros((steps + 1, start.size)), np.zeros((steps + 1, steps))
    Q[0] = start / np.linalg.norm(start)
    scale = 0.0
    for j in range(steps):
        w = apply(Q[j]).astype(np.float64)
        scale = max(scale, float(np.linalg.norm(w)))
        for _ in range(2):  # orthogonalising twice is enough
            h = Q[: j + 1] @ w
            w -= h @ Q[: j + 1]
            H[: j + 1, j] += h
        H[j + 1, j] = np.linalg.norm(w)
        if H[j + 1, j] <= tolerance * scale:
            steps = j + 1
            break
        Q[j + 1] = w / H[j + 1, j]
    values, vectors = np.linalg.eig(H[:steps, :steps])
    return values.astype(complex), np.abs(H[steps, steps - 1] * vectors[-1]) if steps < start.size else np.zeros(steps)


def compiled(function: Callable, jit_compile: bool) -> Callable:
    """Returns a function of tensors that the backend, TensorFlow or JAX, compiles to one program.

    On TensorFlow `jit_compile` decides whether XLA compiles the program. On other backends the function is returned unchanged.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False, reduce_retracing=True, jit_compile=jit_compile or None)
    return function
