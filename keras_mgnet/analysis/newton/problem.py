"""The training problem with a differential equation as constraint, Lu2017: block coordinate descent, and SGD for comparison."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from keras_mgnet.analysis.newton.flow import Flow
from keras_mgnet.analysis.newton.methods import Block, inverse
from keras_mgnet.analysis.newton.points import Points
from keras_mgnet.annotations import Tensor
from keras_mgnet.multigrid.iteration import compiled
from keras_mgnet.multigrid.prolongation import interpolated


@dataclass(frozen=True)
class Report:
    """The state of a training."""

    steps: int  # steps on each block of variables, or epochs of SGD
    products: int  # products of the network's Jacobian, for all training points, with a vector, and of its transpose
    seconds: float  # of CPU time, with compilation
    value: float  # of the function to minimise
    train: float  # accuracy on the training points
    test: float  # accuracy on the test points


class Training:
    """Minimises the sum of the mean cross-entropy of [Y_N, 1] V, alpha / 2 <theta, Q theta> and beta / 2 |V|^2.

    Y_N is the last state of a `Flow` with the layers theta = (K, b), and Q its `smoothness` over the depth. V = [W; mu] is the
    classifier. `newton` and `sgd` continue from the current theta and V.

    Args:
        flow: the network. It gets the two coordinates of a point, and zeros in its other channels.
        train, test: points with their classes.
        alpha, beta: weights of the two regularisers.
        seed: seed of the initial theta, and of the order of the points in SGD. V is initially zero.

    Attributes:
        theta, V: the variables, as tensors in float64; on JAX in float32, unless 64 bits are enabled.
        reports: the initial state, and the state after each step.

    Example:
        >>> from keras_mgnet.analysis.newton.points import ellipses
        >>> points = ellipses(40, np.random.default_rng(0))
        >>> training = Training(Flow("verlet", depth=2, width=3), points, points)
        >>> training.newton(2)
        >>> training.reports[-1].value < training.reports[0].value
        True
    """

    def __init__(
        self, flow: Flow, train: Points, test: Points, *, alpha: float = 1e-5, beta: float = 1e-3, seed: int = 0
    ) -> None:
        self.flow, self.train, self.test, self.alpha, self.beta, self.seed = flow, train, test, alpha, beta, seed
        classes = int(train[1].max()) + 1
        self.Y, self.labels = self._filled(train[0]), _tensor(np.eye(classes)[train[1]])
        self.theta, self.V = _tensor(flow.start(seed)), _tensor(np.zeros((flow.width + 1, classes)))
        Q, smooth = _tensor(alpha * flow.smoothness()), inverse(alpha * flow.smoothness())
        self.features = compiled(lambda Y, theta: _with_one(flow(Y, theta)), False)

        def bound(F: Tensor) -> Tensor:  # of the Hessian for V: each block of S'' is at most 1 / 2
            return ops.transpose(F) @ F / (2 * F.shape[0]) + beta * ops.eye(F.shape[1], dtype=F.dtype)

        self.classifier = Block(
            lambda V, F: F @ V, self.labels, lambda V: beta * V, lambda r, F: ops.solve(bound(F), r)
        )
        self.layers = Block(
            lambda theta, V: _with_one(flow(self.Y, theta)) @ V,
            self.labels,
            lambda theta: ops.tensordot(ops.cast(Q, theta.dtype), theta, 1),
            lambda r, V: smooth(r),
        )
        self.reports = [self.report(0, 0, 0.0)]

    def newton(self, steps: int, report: Callable[[Report], None] = lambda report: None) -> None:
        """Block coordinate descent: each step is one step of Newton's method for V, then one of Gauss-Newton for theta.

        Conjugate gradients solve the Newton equations. Their preconditioners are Q for theta, and a bound of the Hessian for V.
        `report` gets each new `Report`.
        """
        for _ in range(steps):
            begun = time.process_time()
            self.V, _ = self.classifier.step(self.V, self.features(self.Y, self.theta))
            self.theta, products = self.layers.step(self.theta, self.V)
            self._note(1 + 2 * products, begun, report)

    def sgd(
        self,
        epochs: int,
        optimizer: keras.optimizers.Optimizer,
        batch: int = 32,
        report: Callable[[Report], None] = lambda report: None,
    ) -> None:
        """Stochastic gradients of theta and V together, in float32, with an optimiser of Keras."""
        keras.utils.set_random_seed(self.seed)
        network = _Network(self)
        network.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
        for _ in range(epochs):
            begun = time.process_time()
            network.fit(self.Y, self.labels, batch, verbose=0)
            self.theta, self.V = map(_tensor, network.trainable_variables)
            self._note(1, begun, report)

    def deeper(self) -> "Training":
        """Returns the training of a network of twice the depth and half the step size, which continues from this one.

        The layers are interpolated over the depth (multilevel training). Steps, products and seconds are counted on.
        """
        finer = Training(
            replace(self.flow, depth=2 * self.flow.depth),
            self.train,
            self.test,
            alpha=self.alpha,
            beta=self.beta,
            seed=self.seed,
        )
        finer.theta, finer.V = _tensor(interpolated(ops.convert_to_numpy(self.theta))), self.V
        last = self.reports[-1]
        finer.reports = [finer.report(last.steps, last.products, last.seconds)]
        return finer

    def accuracy(self, points: np.ndarray, classes: np.ndarray) -> float:
        """Returns the share of points that are classified correctly."""
        logits = ops.convert_to_numpy(self.features(self._filled(points), self.theta) @ self.V)
        return float(np.mean(logits.argmax(1) == classes))

    def _note(self, products: int, begun: float, report: Callable[[Report], None]) -> None:
        last, seconds = self.reports[-1], time.process_time() - begun
        self.reports.append(self.report(last.steps + 1, last.products + products, last.seconds + seconds))
        report(self.reports[-1])

    def report(self, steps: int, products: int, seconds: float) -> Report:
        """Returns a report on the training as it stands, after so many steps, products and seconds."""
        value = float(self.layers.value(self.theta, self.V)) + self.beta / 2 * float(ops.sum(self.V**2))
        accuracies = self.accuracy(*self.train), self.accuracy(*self.test)
        return Report(steps, products, seconds, value, *accuracies)

    def _filled(self, points: np.ndarray) -> Tensor:
        return _tensor(np.pad(points, ((0, 0), (0, self.flow.width - points.shape[1]))))


class _Network(keras.Model):
    """The network of a training as a Keras model, with the regularisers as its losses."""

    def __init__(self, training: Training) -> None:
        super().__init__(name="points", dtype="float32")
        self.flow, self.blocks = training.flow, (training.layers, training.classifier)
        self.theta, self.V = (
            self.add_weight(x.shape, initializer=lambda shape, dtype, x=x: ops.cast(x, dtype))
            for x in (training.theta, training.V)
        )

    def call(self, Y: Tensor) -> Tensor:
        for block, x in zip(self.blocks, self.trainable_variables, strict=True):
            x = ops.convert_to_tensor(x)
            self.add_loss(ops.sum(x * block.Q(x)) / 2)
        return _with_one(self.flow(Y, ops.convert_to_tensor(self.theta))) @ ops.convert_to_tensor(self.V)


def _with_one(Y: Tensor) -> Tensor:
    return ops.concatenate([Y, ops.ones_like(Y[:, :1])], axis=1)


def _tensor(values: np.ndarray | keras.Variable) -> Tensor:
    return ops.cast(values, "float64")
