"""FractalNet's level: columns of different depth, joined by the mean of their outputs."""

from collections.abc import Iterable, Sequence
from functools import partial

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Shape, Tensor
from keras_mgnet.layers import steps
from keras_mgnet.layers.operators.conv import Affine
from keras_mgnet.layers.operators.norm import Norm, norm_layer
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.layers.transfers.transfer import coarser
from keras_mgnet.serialization import serializable


@serializable
class Join(keras.layers.Layer):
    """Returns the mean of its inputs. In training drop-path leaves some inputs out (Larsson, Maire, Shakhnarovich 2017).

    In a training step each input is dropped with probability p. If all inputs would be dropped, one input stays, chosen at random
    (the authors' fractal_join_layer).

    Call the layer with the inputs, all of equal shape, and optionally with a vector that has an entry for each input. If an entry
    is 1, a training step uses only the input of this entry. If all entries are 0, drop-path applies as above.

    Args:
        drop_path: p.
        seed: seed of the random draws; None for a random seed.

    Example:
        >>> Join(0.15)([ops.ones((1, 2, 2, 1)), 3 * ops.ones((1, 2, 2, 1))])[0, 0, 0].numpy().tolist()
        [2.0]
    """

    def __init__(
        self, drop_path: float = 0.15, *, seed: int | None = None, name: str | None = None, dtype: DType = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.drop_path = drop_path
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, states_shape: Sequence[Shape], chosen_shape: Shape | None = None) -> Shape:
        return states_shape[0]

    def call(self, states: Sequence[Tensor], chosen: Tensor | None = None, training: bool | None = None) -> Tensor:
        if not training or len(states) == 1:
            return steps.join(states, [1.0] * len(states))
        draws = keras.random.uniform((len(states),), dtype="float32", seed=self.seed_generator)
        live = draws >= ops.minimum(self.drop_path, ops.max(draws))  # the largest draw always stays
        if chosen is not None:
            live = ops.where(ops.any(chosen), ops.cast(chosen, "bool"), live)
        return steps.join(states, ops.cast(live, states[0].dtype))


@serializable
class GlobalPath(keras.layers.Layer):
    """Draws the column that the whole network uses in a training step.

    Returns a vector (C,) that is one at the index of the column, or all zeros if the step uses all columns. Every training step
    draws a new vector, in a compiled graph, too. In inference the vector is all zeros. The layer does not use the values of its
    input.

    Args:
        columns: C.
        probability: probability that a training step uses only one column. All columns are equally likely.
        seed: seed of the random draws; None for a random seed.

    Example:
        >>> GlobalPath(3)(ops.ones((1, 8, 8, 3))).numpy().tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        columns: int,
        probability: float = 0.5,
        *,
        seed: int | None = None,
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.columns, self.probability = columns, probability
        self.seed_generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (self.columns,)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return ops.zeros((self.columns,), dtype=self.compute_dtype)
        edges = ops.linspace(0.0, self.probability, self.columns + 1, dtype="float32")
        draw = keras.random.uniform((), dtype="float32", seed=self.seed_generator)
        return ops.cast((edges[:-1] <= draw) & (draw < edges[1:]), self.compute_dtype)


@serializable
class FractalLevel(keras.layers.Layer):
    """A level of FractalNet, f_C(x), with a max pooling at its end (Larsson, Maire, Shakhnarovich 2017).

    Maps (N, H, W, c) to (N, ceil(H/2), ceil(W/2), channels). f_C has C columns: f_1 = conv and
    f_{C+1} = join(conv, f_C o f_C), where o is the composition of functions.

    Column c = 0, ..., C-1 is a chain of 2^c layers sigma(n(dropout(K * x + b))), where n is the norm without gamma and beta.
    Where several columns end a layer at the same depth, a `Join` takes the mean of their outputs. Each of these columns goes on
    from the mean. Before the last join every column is max-pooled over 2x2 blocks.

    Call the level with x. If the network has a `GlobalPath`, also pass the vector that the `GlobalPath` returns.

    Args:
        channels: output channels of every layer.
        columns: C.
        column: index of the only column of this level; None for all columns.
        dropout: dropout rate after each convolution.
        drop_path: as in `Join`.
        activation, norm, init: as in `Chain`.

    Example:
        >>> level = FractalLevel(4, columns=3)
        >>> tuple(level(ops.ones((1, 8, 8, 3))).shape), [conv.name for conv in level.K]
        ((1, 4, 4, 4), ['K2_1', 'K1_2', 'K2_2', 'K2_3', 'K0_4', 'K1_4', 'K2_4'])
    """

    method = Method(
        "Runge-Kutta",
        "x_{n+1} = k_1 x_n + k_2 y + f_2(y), y = k_3 x_n + f_1(x_n)",
        "2 with k_1 = k_2 = 1/2, k_3 = 1, f_1 = 2 f_2 (Heun)",
        "x' = f_1(x)",
    )

    def __init__(
        self,
        channels: int,
        columns: int,
        *,
        column: int | None = None,
        dropout: float = 0.0,
        drop_path: float = 0.15,
        activation: Activation = "relu",
        norm: str | None = "batch",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        policy = self.dtype_policy
        self.channels, self.nu = channels, 2 ** (columns - 1)
        self.ends = ends(range(columns) if column is None else [column], self.nu)
        places = [f"{c}_{n}" for n, ending in self.ends for c in ending]
        self.K = [Affine(channels, init=init, name=f"K{place}", dtype=policy) for place in places]
        make = partial(Norm, learned=False) if norm == "batch" else partial(norm_layer, norm)
        self.s = [make(activation, name=f"s{place}", dtype=policy) for place in places]
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=policy)
        self.join = Join(drop_path, name="join", dtype=policy)

    def build(self, x_shape: Shape, chosen_shape: Shape | None = None) -> None:
        inner, begun = (*x_shape[:-1], self.channels), set()
        for conv, norm in zip(self.K, self.s, strict=True):
            column = conv.name.partition("_")[0]
            conv.build(inner if column in begun else x_shape)
            norm.build(inner)
            begun.add(column)

    def compute_output_shape(self, x_shape: Shape, chosen_shape: Shape | None = None) -> Shape:
        return coarser(x_shape, self.channels)

    def call(self, x: Tensor, chosen: Tensor | None = None, training: bool | None = None) -> Tensor:
        states: dict[int, Tensor] = {}
        layers, joined = zip(self.K, self.s, strict=True), x
        for n, ending in self.ends:
            ended = [self._layer(*next(layers), states.get(c, x)) for c in ending]
            if n == self.nu:
                ended = [ops.max_pool(state, 2, 2, "same", "channels_last") for state in ended]
            only = None if chosen is None else ops.stack([chosen[c] for c in ending])
            joined = self.join(ended, only, training=training)
            states.update(dict.fromkeys(ending, joined))
        return joined

    def _layer(self, conv: Affine, norm: Norm, x: Tensor) -> Tensor:
        return norm(self.dropout(conv(x)))


def ends(columns: Iterable[int], nu: int) -> list[tuple[int, list[int]]]:
    """Returns pairs of a depth n = 1, ..., nu and the columns that end a layer at depth n. Depths without a column are left out.

    The depth counts the layers of a column with nu layers. Column c ends a layer at the multiples of nu / 2^c.

    Example:
        >>> ends([0, 1, 2], 4)
        [(1, [2]), (2, [1, 2]), (3, [2]), (4, [0, 1, 2])]
    """
    table = [(n, [c for c in columns if n % (nu >> c) == 0]) for n in range(1, nu + 1)]
    return [(n, ending) for n, ending in table if ending]
