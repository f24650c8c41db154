"""The package's normalisation layer: with the papers' constants, TensorFlow's fused kernel, and the form that exporters need."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import Activation, DType, Tensor
from keras_mgnet.errors import is_known, unknown
from keras_mgnet.layers.separable import is_separable, scaled
from keras_mgnet.serialization import serializable

MOMENTUM = 0.9  # weight of the old statistic; PyTorch's 0.1 is the weight of the new one
EPSILON = 1e-5


@serializable
class Norm(keras.layers.BatchNormalization):
    """Batch normalisation followed by an activation: y = sigma(gamma (x - mean) / sqrt(var + 1e-5) + beta).

    The moving variance averages the unbiased batch variance, as in PyTorch, so PyTorch weights have the same meaning here. On
    TensorFlow a fused kernel computes the layer. In float64 and on other backends `keras.ops` computes the layer.

    Args:
        activation: sigma, any Keras activation; None for the identity.
        foldable: whether an export converter may fold the scale of the norm into the kernel before this layer. Set False if the
            kernel is shared, because each fold stores a copy of the kernel. With False, `separable_scales` prevents the fold.
        learned: whether gamma and beta are trained. If not, gamma = 1 and beta = 0.

    Example:
        >>> tuple(Norm("relu")(ops.ones((2, 4, 4, 3))).shape)
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        activation: Activation = None,
        *,
        foldable: bool = True,
        learned: bool = True,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(momentum=MOMENTUM, epsilon=EPSILON, center=learned, scale=learned, name=name, dtype=dtype)
        self.activation = keras.activations.get(activation)
        self.foldable = foldable

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        if is_separable() and not self.foldable:
            scale, shift = self.affine()
            y = scaled(x, scale) + ops.cast(shift, x.dtype)
        elif training and self.trainable:
            y = self._normalize_by_batch(x)
        else:
            y = self._normalize_by_moving(x)
        return self.activation(y)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        if (least := float(ops.min(self.moving_variance))) < 0:
            raise ValueError(f"expected moving variances >= 0 of {self.path}. Received: {least:g}")

    def affine(self) -> tuple[Tensor, Tensor]:
        """Returns (scale, shift), each (C,): in inference y = scale x + shift."""
        gamma, beta = self._gamma_and_beta()
        scale = gamma / ops.sqrt(self.moving_variance + self.epsilon)
        return scale, beta - self.moving_mean * scale

    def _gamma_and_beta(self) -> tuple[Tensor, Tensor]:
        if self.scale:
            return self.gamma, self.beta
        shape, dtype = self.moving_mean.shape, self.moving_mean.dtype
        return ops.ones(shape, dtype), ops.zeros(shape, dtype)

    def _normalize_by_batch(self, x: Tensor) -> Tensor:
        moving = self.moving_mean, self.moving_variance
        if _has_fused_kernel(x) and not self.synchronized:
            y, *moved = _fused(x, *self._gamma_and_beta(), *moving, is_training=True)
        else:
            mean, variance, count = _moments(_wide(x), _sum_over_replicas if self.synchronized else list)
            y = self._normalize(x, mean, variance)
            unbiased = variance * count / ops.maximum(count - 1, 1)
            moved = [MOMENTUM * old + (1 - MOMENTUM) * new for old, new in zip(moving, (mean, unbiased), strict=True)]
        for old, new in zip(moving, moved, strict=True):
            old.assign(new)
        return y

    def _normalize_by_moving(self, x: Tensor) -> Tensor:
        if _has_fused_kernel(x):
            moving = self.moving_mean, self.moving_variance
            return _fused(x, *self._gamma_and_beta(), *moving, is_training=False)[0]
        return self._normalize(x, self.moving_mean, self.moving_variance)

    def _normalize(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        wide = _wide(x)
        statistics = mean, variance, *self._gamma_and_beta()
        mean, variance, gamma, beta = (ops.cast(value, wide.dtype) for value in statistics)
        y = ops.batch_normalization(wide, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=self.epsilon)
        return ops.cast(y, x.dtype)


NORMS = ("batch", None)


def norm_layer(
    norm: str | None,
    activation: Activation = None,
    *,
    foldable: bool = True,
    name: str | None = None,
    dtype: DType = None,
) -> keras.layers.Layer:
    """Returns a `Norm` if `norm` is "batch", or only the activation if `norm` is None. Other arguments as in `Norm`.

    Example:
        >>> norm_layer(None, "relu")(ops.array([-1.0, 1.0])).numpy().tolist()
        [0.0, 1.0]
    """
    if not is_known(norm, NORMS):
        raise unknown("norm", norm, ["batch", "None"])
    if norm is None:
        return keras.layers.Activation(activation, name=name, dtype=dtype)
    return Norm(activation, foldable=foldable, name=name, dtype=dtype)


def synchronize_norms(model: keras.Model) -> None:
    """Makes the norms of a model use the statistics of the global batch under a TensorFlow strategy, as on one device.

    By default each replica uses the statistics of its part of the batch. XLA cannot compile synchronised norms. The file of a
    model does not store the setting. On the JAX backend norms always use the global batch, so this function changes nothing.

    Args:
        model: the model, before its training step is traced.

    Example:
        >>> from keras_mgnet import MgNet
        >>> synchronize_norms(MgNet((1,), 4, input_shape=(8, 8, 1)))
    """
    if keras.backend.backend() == "tensorflow":
        for layer in compat.flatten_layers(model):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True


def _moments(x: Tensor, total: Callable[[list[Tensor]], Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns mean, variance and number of values per channel. `total` adds the sums of all replicas.

    The variance needs a second pass over x. The formula E[x^2] - E[x]^2, which `keras.ops.moments` uses when synchronised, loses
    all digits of a variance that is small compared with the square of the mean.
    """
    count = ops.cast(ops.prod(ops.shape(x)[:-1]), x.dtype)
    axes = (0, 1, 2)
    sums, count = total([ops.sum(x, axes), count])
    mean = sums / count
    (squares,) = total([ops.sum(ops.square(x - mean), axes)])
    return mean, squares / count, count


def _sum_over_replicas(values: list[Tensor]) -> list[Tensor]:
    import tensorflow as tf  # norms are synchronised only under its strategies

    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _wide(x: Tensor) -> Tensor:
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def _has_fused_kernel(x: Tensor) -> bool:
    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.backend.backend() == "tensorflow" and len(x.shape) == 4 and dtype != "float64"


def _fused(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, is_training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Runs TensorFlow's fused kernel and returns (y, mean, variance).

    In training, y is normalised by the statistics of the batch. The returned mean and variance are the updated moving statistics.
    In inference, y is normalised by the given statistics.
    """
    import tensorflow as tf  # imported here, because the library imports a backend only if it is in use

    names = ("scale", "offset", "mean", "variance")
    values = (tf.cast(tf.convert_to_tensor(v), tf.float32) for v in (gamma, beta, mean, variance))
    mode = {"is_training": is_training, "exponential_avg_factor": 1 - MOMENTUM if is_training else 1.0}
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, **dict(zip(names, values, strict=True)), epsilon=EPSILON, **mode
    )
    return y, mean, variance
