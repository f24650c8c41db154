"""The field of a level that gets and returns the data f of its grid, with maps A and B of their own in each iteration."""

from functools import partial
from typing import Any, NamedTuple

from keras_mgnet.annotations import DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.conv import Affine, Conv
from keras_mgnet.layers.operators.families import build_all
from keras_mgnet.serialization import serializable


@serializable
class DataSystem(Field):
    """The equations A_i u = f on one grid, with a smoother B_i each: iteration i is u <- u + B_i (f - A_i u), He, Liu, Xu 2024.

    A_i and B_i are 3x3 convolutions. A level with this field and the scheme `DataCorrection` gets f (N, H, W, c_f) and
    u (N, H, W, c_u), and returns the new u and the same f. `LinearSystem` is the field of levels that get and return the
    residual r = f - A u.

    Args:
        channels, channels_f: numbers of channels c_u of u and c_f of f.
        uses: number of iterations.
        from_zero: whether the level starts from u = 0. It then gets f alone, and its first iteration has no A.
        padded: what surrounds the grid, as in `Conv`.
        bias: whether A_i and B_i have a bias.
        init: kernel initialiser, a key of `conv.INITIALIZERS`.

    Example:
        >>> import keras
        >>> from keras_mgnet.layers import DataCorrection, Level
        >>> level = Level(DataCorrection(), DataSystem(4, 3, 2, from_zero=True))
        >>> u, f = level(keras.ops.ones((1, 8, 8, 3)))
        >>> tuple(u.shape), level.count_params() == 9 * 3 * 4 * 3
        ((1, 8, 8, 4), True)
    """

    def __init__(
        self,
        channels: int,
        channels_f: int,
        uses: int,
        *,
        from_zero: bool = False,
        padded: bool | str = True,
        bias: bool = False,
        init: str = "torch_default",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.channels, self.uses, self.first = channels, uses, int(from_zero)
        options: dict[str, Any] = {"padded": padded, "init": init, "dtype": self.dtype_policy}
        conv = partial(Affine, bias=None) if bias else Conv
        self.A = [conv(channels_f, name=f"A{i}", **options) for i in range(self.first, uses)]
        self.B = [conv(channels, name=f"B{i}", **options) for i in range(uses)]

    def build(self, f_shape: Shape) -> None:
        u_shape, f_shape = self.compute_output_shape(f_shape)
        build_all(u_shape, self.A)
        build_all(f_shape, self.B)

    def compute_output_shape(self, f_shape: Shape, u_shape: Shape | None = None) -> tuple[Shape, Shape]:
        return (*f_shape[:-1], self.channels), tuple(f_shape)

    def at(self, i: int) -> "DataEquation":
        return DataEquation(self, i)


class DataEquation(NamedTuple):
    """The equation A_i u = f of one iteration. u is None if u is zero."""

    system: DataSystem
    i: int

    def correction(self, u: Tensor | None, f: Tensor) -> Tensor:
        """Returns B_i * (f - A_i * u)."""
        r = steps.residual(f, u, lambda u: self.system.A[self.i - self.system.first](u))
        return self.system.B[self.i](r)
