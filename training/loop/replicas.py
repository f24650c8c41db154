"""Strategies on TensorFlow: every device holds a replica of the model. Every replica gets its part of each global batch.

Keras' own train step fails with several workers. It also compiles all replicas together with XLA, which TensorFlow refuses. Here
XLA compiles only the forward and backward pass of each replica. The all-reduce and the update run outside XLA.
"""

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import Any

import keras
import tensorflow as tf
from keras.optimizers import LossScaleOptimizer

from keras_mgnet import compat
from keras_mgnet.layers import Shake
from keras_mgnet.training.loop.strategy import Cluster, Strategy

STREAM = 2**32  # larger than any seed
LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


@cache
def split_cpu(count: int) -> None:
    """Splits the CPU into `count` devices and hides all others. Raises RuntimeError if TensorFlow has already computed."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_visible_devices([cpu])
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def connect_devices(cluster: Cluster | None) -> Strategy:
    """Returns the strategy over the workers of a cluster, or over this machine's devices if `cluster` is None."""
    return Replicas("multiworker" if cluster else "mirrored", _connected(bool(cluster)), cluster)


@cache  # two strategies in one process would give collective operations the same numbers, and TensorFlow mixes them up
def _connected(several_workers: bool) -> tf.distribute.Strategy:
    if several_workers:
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


class Replicas(Strategy):
    """A `tf.distribute` strategy that averages losses, gradients and metrics over the images of the global batch."""

    def __init__(self, name: str, strategy: tf.distribute.Strategy, cluster: Cluster | None):
        super().__init__(name, strategy.num_replicas_in_sync, cluster)
        self._strategy = strategy
        # Every replica has images in every step (see `check`), so the workers need not confer before each step.
        strategy.extended.experimental_enable_get_next_as_optional = False

    def scope(self) -> AbstractContextManager:
        return self._strategy.scope()

    def install(self, model: keras.Model, jit_compile: bool | str) -> None:
        jit = _resolve(model, jit_compile)
        _separate_streams(self._strategy, model)
        model.train_function = self._function(model, _train_step(model, self.replicas, jit))
        model.test_function = self._function(model, _test_step(model, self.replicas, jit))
        model.average_statistics = tf.function(partial(self._strategy.run, _averaging(model)), autograph=False)
        model.get_metrics_result = dict  # empty: Keras then logs what the step has summed, and does not sum it again
        compat.build_by(model, self._first_share)

    def distribute(self, batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
        """Splits each global batch into nearly equal parts, one per replica. Sample weights correct for unequal sizes."""
        local = self.replicas // self.workers

        def shares(context: tf.distribute.InputContext) -> tf.data.Dataset:
            first = context.input_pipeline_id * local

            def split(images, labels, count=None):
                places = tf.data.Dataset.range(first, first + local, output_type=tf.int32)
                return places.map(lambda place: _share(images, labels, count, first, place, self.replicas))

            return batches.flat_map(split)

        distributed = self._strategy.distribute_datasets_from_function(shares)
        compat.set_steps(distributed, batches.cardinality().numpy())
        return distributed

    def outcome(self, model: keras.Model, sync_norms: bool) -> str:
        if not sync_norms and _norms(model):
            return (
                "norms use only their replica's part of a batch, so the result differs from that of one device; --sync-norms or "
                "KERAS_BACKEND=jax gives the result of one device"
            )
        draws = ", except for the draws of dropout and shake-shake" if _layers_that_draw_per_image(model) else ""
        return super().outcome(model, sync_norms) + draws + (", without XLA" if sync_norms else "")

    def average_statistics(self, model: keras.Model) -> None:
        with self.reports_lost_workers():
            model.average_statistics()

    def _any(self, asked: bool) -> bool:
        return bool(self._count(tf.constant(float(asked))) > 0)

    @tf.function(autograph=False)  # outside a graph, TensorFlow warns and starts a thread pool on every call
    def _count(self, asked: tf.Tensor) -> tf.Tensor:
        def count():
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(asked))

        return self._strategy.experimental_local_results(self._strategy.run(count))[0]

    def _function(self, model: keras.Model, replica_step: Callable[..., None]) -> Callable[[Any], dict[str, tf.Tensor]]:
        @tf.function(autograph=False, reduce_retracing=True)
        def step(iterator):
            with self._strategy.scope():
                self._strategy.run(replica_step, args=(*iterator.get_next(),))
                return type(model).get_metrics_result(model)  # summed over the replicas

        def function(iterator):
            with self.reports_lost_workers():
                return step(iterator)

        return function

    def _first_share(self, iterator: Any) -> Any:
        _, _, batches = next(iter(iterator))
        return tf.nest.map_structure(lambda part: self._strategy.experimental_local_results(part)[0], next(batches))

    @contextmanager
    def reports_lost_workers(self) -> Iterator[None]:
        try:
            yield
        except LOST_WORKER as error:
            if self.workers == 1:
                raise
            traceback.clear_frames(error.__traceback__)  # they hold a thread pool that would report its end after ours
            raise ConnectionError(
                f"expected an answer from all {self.workers} workers; restart all of them with --resume. "
                f"Received: {_reason(error)}"
            ) from error


def _reason(error: tf.errors.OpError) -> str:
    """Returns the worker that TensorFlow's report names, or else the first line of the report.

    Text in double braces is ignored, because it names this process.
    """
    report = re.sub(r"{{.*?}} *", "", error.message)
    worker = re.search(r"/job:\w+(/replica:\d+)?/task:\d+", report)
    return f"no answer from {worker[0]}" if worker else report.splitlines()[0]


def _averaging(model: keras.Model) -> Callable[[], None]:
    statistics = [variable for norm in _norms(model) for variable in (norm.moving_mean, norm.moving_variance)]

    def average():
        own = [tf.identity(variable.value) for variable in statistics]
        means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, own) if own else []
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    return average


def _share(
    images: tf.Tensor, labels: tf.Tensor, count: tf.Tensor | None, first: int, place: tf.Tensor, replicas: int
) -> tuple[tf.Tensor, ...]:
    """Returns the images, labels and sample weights of replica `place`.

    `count` is the number of images in the batch of all workers, of which the images are those of the replicas from `first` on.
    None means that they are the whole batch. With the weights, the mean over the replicas equals the mean over the batch.
    """
    begin = 0 if count is None else first * count // replicas
    count = tf.shape(images)[0] if count is None else count
    start, stop = place * count // replicas - begin, (place + 1) * count // replicas - begin
    weight = tf.cast(replicas * (stop - start), tf.float32) / tf.cast(count, tf.float32)
    return images[start:stop], labels[start:stop], tf.fill([stop - start], weight)


def _train_step(model: keras.Model, replicas: int, jit: bool) -> Callable[..., None]:
    optimizer = model.optimizer

    def forward_backward(images, labels, weights):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = model.compute_loss(images, labels, logits, weights, training=True)  # this replica's part of the sum
            scaled = optimizer.scale_loss(loss)
        return logits, loss, tape.gradient(scaled, [variable.value for variable in model.trainable_variables])

    forward_backward = _compiled(forward_backward, jit)

    def step(images, labels, weights):
        logits, loss, gradients = forward_backward(images, labels, weights)
        if isinstance(optimizer, LossScaleOptimizer):
            gradients = _finite_everywhere(gradients)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        _record(model, replicas, images, labels, weights, logits, loss)

    return step


def _test_step(model: keras.Model, replicas: int, jit: bool) -> Callable[..., None]:
    def forward(images, labels, weights):
        logits = model(images, training=False)
        return logits, model.compute_loss(images, labels, logits, weights, training=False)

    forward = _compiled(forward, jit)

    def step(images, labels, weights):
        _record(model, replicas, images, labels, weights, *forward(images, labels, weights))

    return step


def _record(model, replicas, images, labels, weights, logits, loss) -> None:
    """Updates the metrics with one replica's part. The losses of all parts sum to the batch's loss, the weights to its size."""
    batch_size = tf.cast(replicas * tf.shape(images)[0], tf.float32) / weights[0]
    mean_loss, *_ = model.metrics
    mean_loss.update_state(loss * replicas, sample_weight=batch_size / replicas)
    model.compute_metrics(images, labels, logits)


def _finite_everywhere(gradients: list[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Sets all gradients on all replicas to NaN if any overflows. Keras checks each replica alone, so replicas would differ."""
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients if g is not None])
    overflows = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.float32))
    return [
        None if g is None else tf.where(overflows > 0, tf.fill(tf.shape(g), tf.cast(float("nan"), g.dtype)), g)
        for g in gradients
    ]


def _compiled(function: Callable, jit: bool) -> Callable:
    return tf.function(function, jit_compile=True, autograph=False, reduce_retracing=True) if jit else function


def _resolve(model: keras.Model, jit_compile: bool | str) -> bool:
    if jit_compile != "auto":
        return jit_compile
    layers = compat.flatten_layers(model)
    return bool(tf.config.list_logical_devices("GPU")) and all(
        layer.supports_jit and not getattr(layer, "synchronized", False) for layer in layers
    )


def _separate_streams(strategy: tf.distribute.Strategy, model: keras.Model) -> None:
    """Gives every replica its own random numbers in layers that draw per image. Layers that draw per batch keep their seed."""
    layers = _layers_that_draw_per_image(model)

    def separate():
        place = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)
        for layer in layers:
            seed, counter = tf.unstack(layer.seed_generator.state.value)
            layer.seed_generator.state.assign(tf.stack([seed % STREAM + place * STREAM, counter]))

    tf.function(partial(strategy.run, separate), autograph=False)()


def _norms(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in compat.flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]


def _layers_that_draw_per_image(model: keras.Model) -> list[keras.layers.Layer]:
    return [
        layer
        for layer in compat.flatten_layers(model)
        if isinstance(layer, keras.layers.Dropout) or (isinstance(layer, Shake) and layer.mode == "image")
    ]
