"""ResNeXt: residual bottlenecks of aggregated transformations (Xie, Girshick, Dollar, Tu, He 2017)."""

from keras_mgnet.layers import Norm
from keras_mgnet.models.layout import aggregated
from keras_mgnet.models.network import Graph, Network, family
from keras_mgnet.models.resnet import residual_level


@family
class ResNeXt(Network):
    """ResNeXt on CIFAR: x_{n+1} = s(x_n + sum_{g=1}^C T_g(x_n)), the C transformations as one grouped convolution: forward Euler.

    Source: facebookresearch/ResNeXt resnext.lua; form C, equal to the explicit sum (form B).

    Args:
        depth: 9n + 2.
        cardinality: C, the number of groups.
        group_width: channels of a group on the first grid.
        preactivation: norm and sigma before each convolution, no sigma behind the sum; as Lu2018 compares.

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Example:
        >>> ResNeXt(11, cardinality=2, group_width=4, input_shape=(8, 8, 1)).name
        'resnext11_2x4d'
    """

    @classmethod
    def graph(cls, frame, depth=29, *, cardinality=8, group_width=64, preactivation=False):
        plan = aggregated(depth, cardinality, group_width)
        x = frame.begin(plan.stem, len(plan.blocks), normalize=not preactivation)
        for stage in plan.stages():
            x = residual_level(plan, stage, frame, preactivation=preactivation)(x)
        if preactivation:
            x = Norm(frame.activation, name="s", dtype=frame.common["dtype"])(x)
        name = f"{'preact_' if preactivation else ''}resnext{depth}_{cardinality}x{group_width}d"
        return Graph(x, name, "lu2018_resnext")
