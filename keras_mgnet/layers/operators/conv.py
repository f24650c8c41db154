"""The papers' convolution: without bias, padded on both sides as in PyTorch, with initialisers chosen by name."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.initializers import VarianceScaling

from keras_mgnet import compat
from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.serialization import serializable


class PartialIdentity(VarianceScaling):
    """Makes the first filters the identity, one for each input channel. The other filters are uniform, as in "torch_default"."""

    def __init__(self) -> None:
        super().__init__(scale=1 / 3, mode="fan_in", distribution="uniform")

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        height, width, channels, filters = shape
        n = min(channels, filters)
        same = np.zeros(shape)
        same[height // 2, width // 2, range(n), range(n)] = 1
        values = super().__call__(shape, dtype)
        return ops.where(np.arange(filters) < n, ops.cast(same, values.dtype), values)


INITIALIZERS: dict[str, Callable[[], keras.initializers.Initializer]] = {
    "he_fan_out": partial(VarianceScaling, scale=2.0, mode="fan_out", distribution="untruncated_normal"),
    "torch_default": partial(VarianceScaling, scale=1 / 3, mode="fan_in", distribution="uniform"),
    "xavier": partial(VarianceScaling, scale=1.0, mode="fan_in", distribution="uniform"),
    "identity": PartialIdentity,
}


def initializer(init: str) -> keras.initializers.Initializer:
    """Returns a kernel initialiser by its name.

    - "he_fan_out": normal with variance 2 / (k^2 c_out) for a k x k kernel with c_out output channels (He et al. 2015).
    - "torch_default": uniform in +-1/sqrt(fan_in), PyTorch's default. The released MgNet code keeps this default.
    - "xavier": uniform in +-sqrt(3/fan_in), as in Caffe.
    - "identity": the first filters copy the input channels, the others are those of "torch_default", as in airbench.

    Example:
        >>> initializer("he_fan_out").mode
        'fan_out'
    """
    check_known("initialisation", init, INITIALIZERS)
    return INITIALIZERS[init]()


PADDINGS = ("zeros", "periodic", "reflect")


def pad(x: Tensor, margins: Sequence[int], padding: str = "zeros") -> Tensor:
    """Continues x (N, H, W, C) by `margins` (rows, columns) on both sides.

    `padding` is "zeros", "periodic", or "reflect" for a mirror in the outermost points, which are not repeated.
    """
    rows, columns = margins
    if padding == "periodic":
        x = ops.concatenate([x[:, -rows:], x, x[:, :rows]], axis=1) if rows else x
        return ops.concatenate([x[:, :, -columns:], x, x[:, :, :columns]], axis=2) if columns else x
    mode = "constant" if padding == "zeros" else padding
    return ops.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode)


_applications: ContextVar[list[tuple[keras.layers.Layer, int | None]] | None] = ContextVar("applications", default=None)


@contextmanager
def recorded_applications() -> Iterator[list[tuple[keras.layers.Layer, int | None]]]:
    """Records the convolutions that run or are traced inside this context.

    Each call of a convolution appends a pair to the list: the layer and its multiply-adds per image. The number is None if the
    height or width is unknown.

    Example:
        >>> with recorded_applications() as applications:
        ...     _ = Conv(8)(ops.ones((1, 4, 4, 3)))
        >>> applications[0][1]
        3456
    """
    applications: list[tuple[keras.layers.Layer, int | None]] = []
    token = _applications.set(applications)
    try:
        yield applications
    finally:
        _applications.reset(token)


def record(layer: keras.layers.Layer, grid: Shape, kernel_shape: Shape) -> None:
    """Notes that a layer applies a kernel at every point of a grid (H, W), for `recorded_applications`."""
    applications = _applications.get()
    if applications is not None:
        applications.append((layer, None if None in grid else math.prod(grid) * math.prod(kernel_shape)))


@serializable
class Conv(keras.layers.Conv2D):
    """k x k convolution without bias, padded by (k - 1) // 2 on both sides, by default with zeros.

    Maps (N, H, W, c) to (N, ceil(H/s), ceil(W/s), filters).

    With stride 2 the kernel is centred at the pixels 0, 2, 4 and so on, as in multigrid and in the papers' code. On images
    of even size, Keras' padding "same" would centre a kernel with k > 1 at the pixels 1, 3, 5 and so on.

    Args:
        filters: output channels.
        kernel_size: k or (k_h, k_w), odd with s = 1.
        strides: s, 1 or 2.
        groups: number of groups of input channels. Each group is convolved to filters / groups channels.
        padded: what surrounds the image: True for zeros, "periodic" or "reflect" (see `pad`), or False for nothing. With False
            the output has the height (H - k) // s + 1.
        init: kernel initialiser, a key of `INITIALIZERS`.

    Example:
        >>> tuple(Conv(8, strides=2)(ops.ones((1, 7, 7, 3))).shape)
        (1, 4, 4, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int] = 3,
        *,
        strides: int = 1,
        groups: int = 1,
        padded: bool | str = True,
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        self._begin(filters, kernel_size, strides, padded, init, groups=groups, use_bias=False, name=name, dtype=dtype)

    def _begin(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int,
        padded: bool | str,
        init: str,
        **options: Any,
    ) -> None:
        """Initialises the layer. `options` are further arguments of `keras.layers.Conv2D`."""
        self.continued = "zeros" if isinstance(padded, bool) else padded
        check_known("padding", self.continued, PADDINGS)
        by_keras = bool(padded) and strides == 1 and self.continued == "zeros"
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding="same" if by_keras else "valid",
            data_format="channels_last",
            kernel_initializer=initializer(init),
            **options,
        )
        own = padded and not by_keras
        self.margins = tuple((k - 1) // 2 if own else 0 for k in self.kernel_size)

    def call(self, x: Tensor) -> Tensor:
        record(self, self.compute_output_shape(tuple(x.shape))[1:3], self.kernel.shape)
        return super().call(pad(x, self.margins, self.continued) if any(self.margins) else x)

    def adjoint(self, y: Tensor, grid: Sequence[int]) -> Tensor:
        """Applies the adjoint of the convolution: <conv x, y> = <x, adjoint y> for every x on `grid`.

        The convolution must have no groups and no bias, and zeros or nothing around the image.

        Args:
            y: (N, h, w, filters).
            grid: (H, W) of x. The shape of y does not determine it, because several (H, W) map to the same (h, w).
        """
        record(self, tuple(y.shape)[1:3], self.kernel.shape)
        x = ops.conv_transpose(y, self.kernel, self.strides, "valid", data_format="channels_last")
        margins = [k // 2 for k in self.kernel_size] if self.padding == "same" else self.margins
        unread = [max(s - 1 - m, 0) for s, m in zip(self.strides, margins, strict=True)]  # after the last kernel
        x = ops.pad(x, ((0, 0), *((0, n) for n in unread), (0, 0))) if any(unread) else x
        rows, columns = (slice(m, m + size) for m, size in zip(margins, grid, strict=True))
        return x[:, rows, columns]

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves the inputs with the kernel, possibly in groups.

        TensorFlow's grouped convolution has no gradients on some machines. There the groups are convolved one at a time.
        """
        if self.groups == 1:
            return super().convolution_op(inputs, kernel)
        if self.groups == inputs.shape[-1]:
            kernel = ops.reshape(kernel, (*self.kernel_size, inputs.shape[-1], -1))
            return ops.depthwise_conv(inputs, kernel, self.strides, self.padding, data_format="channels_last")
        if keras.backend.backend() != "tensorflow":
            return super().convolution_op(inputs, kernel)
        if differentiates_groups(keras.backend.standardize_dtype(inputs.dtype)):
            return _unfused(inputs, kernel, self.strides, self.padding)
        pairs = zip(ops.split(inputs, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([super(Conv, self).convolution_op(*pair) for pair in pairs], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        n, h, w, c = input_shape
        rows, columns = self.margins
        return super().compute_output_shape((n, h and h + 2 * rows, w and w + 2 * columns, c))


@serializable
class Affine(Conv):
    """A convolution with bias and activation: sigma(W * x + b). With a 1x1 kernel on a 1x1 grid, the layer is a dense layer.

    Args:
        filters, kernel_size, strides, padded, init: as in `Conv`.
        bias: initial value of b; None for uniform numbers in +-1/sqrt(fan_in), PyTorch's default.
        activation: sigma, or None.

    Example:
        >>> Affine(2, 1, bias=3.0)(keras.ops.zeros((1, 1, 1, 4))).numpy().tolist()
        [[[[3.0, 3.0]]]]
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        strides: int = 1,
        padded: bool | str = True,
        bias: float | None = 0.0,
        activation: Activation = None,
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        initial = None if bias is None else keras.initializers.Constant(bias)
        options = {"bias_initializer": initial, "activation": activation, "name": name, "dtype": dtype}
        self._begin(filters, kernel_size, strides, padded, init, **options)

    def build(self, input_shape: Shape) -> None:
        if self.bias_initializer is None:  # type: ignore[has-type]
            bound = 1 / math.sqrt(math.prod(self.kernel_size) * input_shape[-1])
            self.bias_initializer = keras.initializers.RandomUniform(-bound, bound)
        super().build(input_shape)


def _unfused(x: Tensor, kernel: Tensor, strides: Any, padding: Any) -> Tensor:
    """Convolves in groups. Keeps Grappler, TensorFlow's graph optimiser, from fusing the convolution with a norm.

    The fused operation would need oneDNN on every machine that runs the graph.
    """
    import tensorflow as tf

    y = tf.nn.conv2d(x, kernel, strides, padding.upper())
    return tf.ensure_shape(y, y.shape)


def differentiates_groups(dtype: str) -> bool:
    """Returns whether TensorFlow can compute the gradient of a grouped convolution.

    TensorFlow can on a GPU in any `dtype`, and on a CPU with oneDNN in float32 or bfloat16. Without oneDNN the error is
    "Gradients for grouped convolutions are not supported on CPU".
    """
    import tensorflow as tf

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return on_gpu or (dtype in ("float32", "bfloat16") and compat.uses_onednn())
