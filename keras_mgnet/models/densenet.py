"""DenseNet, plain and with bottlenecks and compression (Huang, Liu, van der Maaten, Weinberger 2017)."""

from keras_mgnet.errors import unknown
from keras_mgnet.layers import Dense, DenseStates, DenseTransition, Level, Norm
from keras_mgnet.models.checks import positive_integer, positive_integers, within
from keras_mgnet.models.network import Graph, Network, family


@family
class DenseNet(Network):
    """DenseNet: x_{n+1} = f_n([x_0, ..., x_n]), f_n = K s or, with bottlenecks, A s B s: a multistep scheme over all states.

    Source: liuzhuang13/DenseNet densenet.lua. The published sizes are those of a stem of 16 channels without bottlenecks and of
    2 growth channels with them. On three grids no norm follows the stem.

    Args:
        depth: 3n + 4, or 6n + 4 with bottlenecks: n iterations on each of three grids.
        growth: k, the channels of each new state.
        bottleneck: whether a 1x1 convolution to 4 growth channels stands before each 3x3; "BC" together with `reduction`.
        blocks: iterations per grid, in place of the depth's; (6, 12, 24, 16) is DenseNet-121.
        reduction: theta, what a transition leaves of the channels, in (0, 1]; None for 0.5 with bottlenecks, else 1.
        dropout: rate behind each convolution but the stem's; 0.2 in the source where the images are not augmented.

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Example:
        >>> DenseNet(10, 4, bottleneck=True, input_shape=(8, 8, 1)).name
        'densenet_bc_10_4'
    """

    @classmethod
    def graph(cls, frame, depth=40, growth=12, *, bottleneck=False, blocks=None, reduction=None, dropout=0.0):
        if not isinstance(bottleneck, bool):
            raise unknown("bottleneck", bottleneck, ["True", "False"])
        nu = _iterations(depth, bottleneck) if blocks is None else positive_integers("blocks", blocks)
        growth = positive_integer("growth", growth)
        theta = within("reduction", (0.5 if bottleneck else 1.0) if reduction is None else reduction, 0, 1)
        dropout = within("dropout", dropout, 0, 1)

        imagenet, options = frame.stem == "imagenet", {"dropout": dropout, **frame.common}
        x = frame.begin(2 * growth if bottleneck else 16, len(nu), normalize=imagenet)
        for level, n in enumerate(nu, start=1):
            if level > 1:
                x = DenseTransition(max(int(theta * x.shape[-1]), 1), name=f"transfer{level}", **options)(x)
            field = DenseStates(growth, n, bottleneck=bottleneck, name="f", **options)
            x = Level(Dense(dtype=field.dtype_policy), field, name=f"level{level}", dtype=field.dtype_policy)(x)
        x = Norm(frame.activation, name="s", dtype=options["dtype"])(x)
        words = [
            "densenet",
            *(["bc"] if bottleneck else []),
            depth if blocks is None else "x".join(map(str, nu)),
            growth,
        ]
        return Graph(x, "_".join(map(str, words)), "densenet_imagenet" if imagenet else "densenet")


def _iterations(depth: int, bottleneck: bool) -> tuple[int, ...]:
    per_grid = 6 if bottleneck else 3
    if positive_integer("depth", depth) <= 4 or (depth - 4) % per_grid:
        raise ValueError(f"expected depth to be {per_grid}n + 4. Received: depth={depth!r}")
    return ((depth - 4) // per_grid,) * 3
