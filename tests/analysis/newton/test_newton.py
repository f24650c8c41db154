"""Newton's methods for the training problem: against dense matrices and finite differences of a network in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mgnet.analysis.newton.flow import SCHEMES, Flow
from keras_mgnet.analysis.newton.methods import SUFFICIENT, armijo, pcg
from keras_mgnet.analysis.newton.points import SETS
from keras_mgnet.analysis.newton.problem import Training
from keras_mgnet.layers.autodiff import jvp, vjp
from keras_mgnet.multigrid.prolongation import interpolated
from support.numerics import normal


def points(name="ellipses", count=30, seed=0):
    return SETS[name](count, np.random.default_rng(seed))


def training(scheme="verlet", depth=3, width=3, **options):
    made = Training(Flow(scheme, depth, width, 2.0), points(), points(seed=1), **options)
    made.V = normal(*made.V.shape)
    return made


def moved(scheme, Y, theta, h):
    """The network in NumPy, from the formulas of its docstring."""
    Z = np.zeros_like(Y)
    for layer in theta:
        K, b = layer[:-1], layer[-1]
        if scheme == "verlet":
            Z = Z - h * np.tanh(Y @ K.T + b)
            Y = Y + h * np.tanh(Z @ K + b)
        else:
            Y = Y + h * np.tanh(Y @ (K if scheme == "euler" else (K - K.T) / 2) + b)
    return Y


def logits(made, theta, V):
    Y = moved(made.flow.scheme, np.array(made.Y), theta, made.flow.h)
    return np.hstack([Y, np.ones((len(Y), 1))]) @ V


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def dense(J, logits, labels, Q):
    """The matrix J^T S'' J / s + Q and the data part of the gradient, for J of shape (s, classes, variables)."""
    p, count = softmax(logits), len(logits)
    S = np.einsum("sc,cd->scd", p, np.eye(p.shape[1])) - np.einsum("sc,sd->scd", p, p)
    return np.einsum("sci,scd,sdj->ij", J, S, J) / count + Q, np.einsum("sci,sc->i", J, p - labels) / count


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_network_is_that_of_its_formulas(scheme):
    made = training(scheme)
    computed = made.flow(made.Y, made.theta)
    np.testing.assert_allclose(computed, moved(scheme, np.array(made.Y), np.array(made.theta), made.flow.h), rtol=1e-13)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_products_with_the_jacobian_are_adjoint(scheme):
    made = training(scheme)
    f = lambda theta: made.flow(made.Y, theta)  # noqa: E731
    v, w = normal(*made.theta.shape), normal(*made.Y.shape)
    Jv, (Jw,) = jvp(f, made.theta, v)[1], vjp(f, made.theta)[1](w)
    np.testing.assert_allclose(np.sum(np.array(w) * Jv), np.sum(np.array(Jw) * v), rtol=1e-13)
    theta, t = np.array(made.theta), 1e-6
    ahead, behind = (moved(scheme, np.array(made.Y), theta + s * t * np.array(v), made.flow.h) for s in (1, -1))
    np.testing.assert_allclose(Jv, (ahead - behind) / (2 * t), atol=1e-8)


def test_a_gauss_newton_step_is_that_of_dense_matrices():
    made = training(alpha=1e-3)
    theta, V, t = np.array(made.theta), np.array(made.V), 1e-6
    units = np.eye(theta.size).reshape(-1, *theta.shape)
    J = [(logits(made, theta + t * e, V) - logits(made, theta - t * e, V)) / (2 * t) for e in units]
    h, depth = made.flow.h, made.flow.depth
    steps = np.eye(depth, k=1)[:-1] - np.eye(depth)[:-1]
    Q = 1e-3 * np.kron(h * np.eye(depth) + steps.T @ steps / h, np.eye(theta[0].size))
    H, gradient = dense(np.stack(J, -1), logits(made, theta, V), np.array(made.labels), Q)
    gradient = gradient + Q @ theta.ravel()
    p, slope, _ = made.layers.direction(made.theta, made.V, 500, 1e-12)
    expected = -np.linalg.solve(H, gradient)
    np.testing.assert_allclose(np.ravel(p), expected, atol=1e-6 * abs(expected).max())
    np.testing.assert_allclose(slope, gradient @ expected, rtol=1e-6)


def test_a_newton_step_for_the_classifier_is_that_of_the_exact_hessian():
    made = training(beta=1e-2)
    F, V = np.array(made.features(made.Y, made.theta)), np.array(made.V)
    J = np.einsum("si,cd->scid", F, np.eye(2)).reshape(len(F), 2, -1)  # V is (inputs, classes)
    H, gradient = dense(J, F @ V, np.array(made.labels), 1e-2 * np.eye(V.size))
    p, _, _ = made.classifier.direction(made.V, ops.convert_to_tensor(F), 100, 1e-12)
    expected = -np.linalg.solve(H, gradient + 1e-2 * V.ravel())
    np.testing.assert_allclose(np.ravel(p), expected, atol=1e-10 * abs(expected).max())


def test_conjugate_gradients_solve_with_any_preconditioner():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 12))
    A, M = A @ A.T + np.eye(12), np.diag(rng.uniform(1, 5, 12))
    f = rng.normal(size=12)
    x, count = pcg(lambda x: A @ np.array(x), f, lambda r: M @ np.array(r), 40, 1e-12)
    np.testing.assert_allclose(x, np.linalg.solve(A, f), rtol=1e-8)
    assert pcg(lambda x: A @ np.array(x), f, lambda r: np.linalg.solve(A, r), 40, 1e-12)[1] == 1 < count


def test_armijo_takes_the_longest_step_that_decreases_enough():
    value = lambda x: float(np.sum(x**4 - x**2))  # noqa: E731
    x = np.array([1.5])
    slope = 4 * 1.5**3 - 2 * 1.5
    p = np.array([-slope])
    y = armijo(value, x, p, -(slope**2))
    t = (y - x)[0] / p[0]
    sufficient = lambda t: value(x + t * p) <= value(x) - SUFFICIENT * t * slope**2  # noqa: E731
    assert t < 1 and sufficient(t) and not sufficient(2 * t)
    assert armijo(value, x, -p, -(slope**2)) is x  # upwards


def test_each_step_decreases_the_function_and_counts_its_products():
    made = Training(Flow("verlet", 4, 3, 4.0), points(count=60), points(count=60, seed=1))
    made.newton(8)
    values = [report.value for report in made.reports]
    assert np.all(np.diff(values) < 0)
    assert (
        made.report(0, 0, 0.0).value - np.log(2) < 1e-4 and made.reports[-1].train == 1.0
    )  # from guessing to a separation
    assert 8 * 3 <= made.reports[-1].products <= 8 * 41


def test_sgd_minimises_the_same_function():
    """One step for all points, with momentum 0, is one along the gradient of finite differences."""
    made = training(alpha=1e-2, beta=1e-1)
    theta, V, t = np.array(made.theta), np.array(made.V), 1e-6
    Q, labels = 1e-2 * made.flow.smoothness(), np.array(made.labels)

    def value(theta, V):
        fit = -np.mean(np.sum(labels * np.log(softmax(logits(made, theta, V))), axis=1))
        return fit + np.einsum("iab,ij,jab->", theta, Q, theta) / 2 + 0.05 * np.sum(V**2)

    np.testing.assert_allclose(made.report(0, 0, 0.0).value, value(theta, V), rtol=1e-12)
    made.sgd(1, keras.optimizers.SGD(0.1), batch=30)
    of_V = [(value(theta, V + t * e) - value(theta, V - t * e)) / (2 * t) for e in np.eye(8).reshape(8, 4, 2)]
    np.testing.assert_allclose(np.ravel(made.V), V.ravel() - 0.1 * np.array(of_V), atol=1e-6)
    e = np.zeros_like(theta)
    e[1, 2, 0] = t
    slope = (value(theta + e, V) - value(theta - e, V)) / (2 * t)
    np.testing.assert_allclose(made.theta[1, 2, 0], theta[1, 2, 0] - 0.1 * slope, atol=1e-6)


def test_more_layers_change_the_network_by_the_error_of_its_scheme():
    theta, Y, results = Flow("euler", 8, 2).start() * np.linspace(1, 2, 8)[:, None, None], normal(5, 2), []
    for depth in (8, 16, 32, 64):
        results.append(np.array(Flow("euler", depth, 2)(Y, theta)))
        theta = interpolated(theta)
    changes = np.abs(np.diff(results, axis=0)).max((1, 2))
    assert 1.5 < changes[0] / changes[1] < 2.5 and 1.5 < changes[1] / changes[2] < 2.5


def test_a_deeper_training_goes_on():
    coarse = training(depth=2)
    coarse.newton(1)
    finer = coarse.deeper()
    assert (finer.flow.depth, finer.flow.time) == (4, coarse.flow.time)
    assert finer.reports[0].products == coarse.reports[-1].products
    np.testing.assert_array_equal(finer.V, coarse.V)
    np.testing.assert_array_equal(finer.theta, interpolated(np.array(coarse.theta)))


@pytest.mark.parametrize(("name", "classes"), [("ellipses", 2), ("swiss_roll", 2), ("peaks", 5)])
def test_points_have_their_classes_in_equal_parts(name, classes):
    x, labels = points(name, 500)
    assert np.bincount(labels).tolist() == [500 // classes] * classes and np.abs(x).max() <= 1.2
    again, _ = points(name, 500)
    np.testing.assert_array_equal(x, again)
    if name == "ellipses":
        radius = np.hypot(x[:, 0], x[:, 1] / 0.7)
        assert radius[labels == 0].max() <= 0.5 and radius[labels == 1].min() >= 0.7 and radius.max() <= 1
    if name == "swiss_roll":  # the angle tells the radius
        radius, turn = np.hypot(*x.T) - 0.2 * labels, np.arctan2(x[:, 1], x[:, 0]) / (4 * np.pi)
        turns = 2 * (radius - turn)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
