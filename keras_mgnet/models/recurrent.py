"""Recurrent residual networks: ResNets whose steps share the same kernels (Liao & Poggio 2016)."""

from typing import NamedTuple, Unpack

from keras_mgnet.errors import unknown
from keras_mgnet.layers import Conv, EulerSystem, Level, Recurrent
from keras_mgnet.layers.sharing import check_share
from keras_mgnet.models.checks import is_integer, positive_integer
from keras_mgnet.models.family import EITHER, Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import added, one_state
from keras_mgnet.serialization import serializable


class States(NamedTuple):
    """The numbers of a network: grids, states on each grid, channels of the first grid, and steps on each grid."""

    grids: int
    states: int
    width: int
    steps: int


STATES = {1: States(1, 1, 64, 10), 2: States(1, 2, 64, 10), 3: States(3, 1, 16, 3)}


FIGURE = "Lu2017 Fig. 6"
ROWS = (
    Row("recurrent_resnet1", {"states": 1}, 78_794, source=FIGURE),
    Row("recurrent_resnet1_shared_norms", {"states": 1, "share_norms": True}, 76_490, source=FIGURE),
    Row("recurrent_resnet1_unshared", {"states": 1, "share_K": False}, 742_346, source=FIGURE),
    Row("recurrent_resnet2", {"states": 2}, 306_634, source=FIGURE),
    Row("recurrent_resnet3", {"states": 3}, 122_362, source=FIGURE),
    Row("recurrent_resnet3_unshared", {"states": 3, "share_K": False}, 315_898, source=FIGURE),
)


@serializable
class RecurrentResNet(Network):
    """Recurrent ResNet: all steps on a grid share their kernels, x_i^{t+1} = x_i^t + sum_j K_ij(x_j^t).

    x_i^t is state i after t steps. K_ij is a pre-activation branch of two 3x3 convolutions. With share_norms=True the network is
    forward Euler for an autonomous equation; by default each step has norms of its own. Between two grids there is a 3x3
    convolution with stride 2, without a norm or activation. A norm and the activation come before the classifier. Source:
    Lu2017, Fig. 6, after Liao & Poggio 2016.

    Args:
        states: the states of Lu2017, Fig. 6. 1 is one state of 64 channels with 10 steps. 2 is two such states on one grid, each
            updated from both. The first of them starts from the image, and the classifier reads the second. 3 is one state on
            each of three grids, with 16, 32 and 64 channels and 3 steps on each grid.
        steps: number of steps on each grid; None for the number that `states` gives.
        base_width: number of channels of the first grid; None for the number that `states` gives.
        share_K: whether all steps share the kernels. With False every step has its own kernels.
        share_norms: whether all steps share the norms. With False every step has its own norms.

    Example:
        >>> RecurrentResNet(3).count_params() < RecurrentResNet(3, share_K=False).count_params()
        True
    """

    family = Family(
        recipe="lu2018_cifar10",
        small={"steps": 1, "base_width": 2},
        picture=one_state(added("K")),
        space=Space("base_width", None, choices={"states": (1, 2, 3), "steps": (2, 4, 8), "share_K": EITHER}),
        rows=ROWS,
    )

    def __init__(
        self,
        states: int = 1,
        steps: int | None = None,
        *,
        base_width: int | None = None,
        share_K: bool = True,
        share_norms: bool = False,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        if not is_integer(states) or states not in STATES:
            raise unknown("number of states", states, map(str, STATES))
        plan = STATES[states]
        steps = positive_integer("steps", plan.steps if steps is None else steps)
        width = positive_integer("base_width", plan.width if base_width is None else base_width)
        check_share("share_K", share_K)
        check_share("share_norms", share_norms)

        with Frame(**arguments) as frame:
            options = frame.common
            x = frame.begin(width, plan.grids, normalize=False)
            for level in range(1, plan.grids + 1):
                channels = width * 2 ** (level - 1)
                if level > 1:
                    x = Conv(channels, strides=2, init=frame.init, name=f"transfer{level}", dtype=options["dtype"])(x)
                sharing = {"share_K": share_K, "share_norms": share_norms, **options}
                field = Recurrent(channels, steps, plan.states, name="f", **sharing)
                x = Level(EulerSystem(dtype=options["dtype"]), field, name=f"level{level}", dtype=options["dtype"])(x)
            x = frame.end(x)
        super().__init__(frame, x, name=f"recurrent_resnet{states}")
