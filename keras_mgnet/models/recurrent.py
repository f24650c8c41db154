"""Recurrent residual networks: a ResNet whose kernels are the same at all times (Liao & Poggio 2016)."""

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
    """The states of a network: number of grids, states on each grid, channels of the first grid, steps on each grid."""

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
    """Recurrent ResNet: the same kernels at all times, x_i^{t+1} = x_i^t + sum_j K_ij(x_j^t): forward Euler, autonomous.

    K is s conv s conv with 3x3 kernels, where s is norm and sigma. A last norm comes before the classifier. Where grids change, a
    bare 3x3 convolution with stride 2 leads from state to state. Source: Lu2017, Fig. 6, after Liao & Poggio 2016.

    Args:
        states: 1 is one state of 64 channels with 10 steps. 2 is two of them that drive themselves and each other; the image
            drives the first, and the classifier reads the second. 3 is one state on each of three grids, of 16, 32 and 64
            channels, with 3 steps each.
        steps: steps on each grid, instead of those.
        base_width: channels of the first grid, instead of those.
        share_K: whether the kernels are shared over time. False is the feed-forward twin.
        share_norms: whether the norms are shared over time. False makes them time-specific.

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
