"""FractalNet: self-similar blocks without shortcuts (Larsson, Maire, Shakhnarovich 2017; Lu2018)."""

from collections.abc import Sequence
from typing import Unpack

from keras_mgnet.layers import FractalLevel, GlobalPath
from keras_mgnet.layers.transfers.stem import STEMS
from keras_mgnet.models.checks import is_integer, positive_integer, positive_integers, within
from keras_mgnet.models.datasets import CIFAR100
from keras_mgnet.models.family import Family, Published, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, Picture
from keras_mgnet.serialization import serializable

TABLE, SOURCE = "Lu2018 Table 2", "Lu2018 Table 2, gustavla/fractalnet"
CHANNELS = (
    "no five blocks with doubling or equal channels have this size; our channels are those of the released generator"
)
PRINTED = {
    3: Published(TABLE, CIFAR100, "38.6M", error=23.30, note=CHANNELS),
    4: Published(TABLE, CIFAR100, "22.9M", error=22.49, note=CHANNELS),
}
ROWS = (
    Row("fractalnet20", {"columns": 3, "init": "xavier"}, 33_714_314, (PRINTED[3],), SOURCE),
    Row("fractalnet40", {"columns": 4, "init": "xavier"}, 76_084_554, (PRINTED[4],), SOURCE),
)
PICTURE = Picture(
    ("x",),
    (
        *(Edge(("x", t / 4), ("x", (t + 1) / 4), "K") for t in range(4)),
        *(Edge(("x", t / 2), ("x", (t + 1) / 2), "K", 0.5) for t in range(2)),
        Edge(("x", 0), ("x", 1), "K", 1.0),
    ),
    segments=((1, 1),),
    stretch=3.6,
)


@serializable
class FractalNet(Network):
    """FractalNet: blocks of parallel columns of convolutions, which are joined by their mean.

    A block f_C has C columns. conv is a convolution with a norm and the activation, o is the composition of functions, and join
    is a mean:

        f_1 = conv
        f_{C+1} = join(conv, f_C o f_C)

    All columns that end at the same depth have equal weights in one mean, such as 1/3 each for three columns, as in the released
    code. Lu2018 prints f_{C+1} = conv / 2 + (f_C o f_C) / 2, which gives three columns the weights 1/2, 1/4 and 1/4. For two
    columns both are the same. Each block ends with 2x2 max pooling. Convolutions have biases, and norms have no gamma and beta.
    Source: gustavla/fractalnet. Lu2018, section 2.1, reads a block of three columns as a Runge-Kutta step.

    In training, drop-path leaves out inputs of the means at random. In some training steps only one column of the whole network
    is used. So each column also works as a network on its own, see `column_network`.

    Args:
        columns: number C of columns. The deepest column has 2^(C-1) layers in each block.
        channels: number of channels of each block. The length of `channels` is the number of blocks.
        column: index of the only column to build, 0 for the shallowest; None for all columns.
        dropout: dropout rate of the last block. The rate grows linearly from 0 in the first block.
        drop_path: probability that an input of a mean is left out.
        global_drop_path: probability that a training step uses only one column.

    The paper uses init="xavier". Small images have no stem: stem="cifar" and "mnist" mean that there is none.

    Example:
        >>> model = FractalNet(3, (4, 8), input_shape=(8, 8, 1))
        >>> model.name, model.column_network(0).name
        ('fractalnet8', 'fractalnet8_column0')
    """

    family = Family(
        recipe="larsson2017",
        small={"columns": 1, "channels": (2,)},
        picture=PICTURE,
        space=Space("channels", None, choices={"columns": (2, 3, 4)}),
        rows=ROWS,
    )

    def __init__(
        self,
        columns: int = 3,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        *,
        column: int | None = None,
        dropout: float = 0.4,
        drop_path: float = 0.15,
        global_drop_path: float = 0.5,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        channels, columns = positive_integers("channels", channels), positive_integer("columns", columns)
        if column is not None and not (is_integer(column) and 0 <= column < columns):
            raise ValueError(f"expected column to be None or from 0 to {columns - 1}. Received: column={column!r}")
        dropout = within("dropout", dropout, 0, 1)
        drop_path = within("drop_path", drop_path, 0, 1)
        global_drop_path = within("global_drop_path", global_drop_path, 0, 1)

        with Frame(**arguments) as frame:
            options = {"column": column, "drop_path": drop_path, **frame.common}
            grids = len(channels) + 1
            x = frame.begin(channels[0], grids) if STEMS[frame.stem].reduction > 1 else frame.image(grids)
            chosen = []
            if column is None and global_drop_path:
                chosen = [GlobalPath(columns, global_drop_path, name="global_path", dtype=options["dtype"])(x)]
            for block, width in enumerate(channels):
                rate = dropout * block / max(len(channels) - 1, 1)
                x = FractalLevel(width, columns, dropout=rate, name=f"level{block + 1}", **options)(x, *chosen)
        name = f"fractalnet{len(channels) * 2 ** (columns - 1)}"
        super().__init__(frame, x, name=name if column is None else f"{name}_column{column}")

    def column_network(self, column: int) -> "FractalNet":
        """Returns one column as a separate network with a copy of its weights. Column 0 is the shallowest.

        Raises ValueError if the network was built with `column`.
        """
        config = self.get_config()
        if config["column"] is not None:
            raise ValueError(f"expected a network of all columns. Received: column={config['column']}")
        alone = type(self).from_config(config | {"column": column, "name": f"{self.name}_column{column}"})
        values = {variable.path: variable for variable in self.weights}
        for variable in alone.weights:
            variable.assign(values[variable.path])
        return alone
