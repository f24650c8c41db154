"""The time-stepping schemes of residual networks, the argument `scheme` of `ResNet`, `ResNeXt`, `PolyNet` and `MultiResNet`."""

from collections.abc import Callable

from keras_mgnet.annotations import Activation, Tensor
from keras_mgnet.layers import Euler, Field, Heun, Level, LinearMultistep, Scheme

SCHEMES: dict[str, Callable[..., Scheme]] = {"euler": Euler, "heun": Heun, "linear_multistep": LinearMultistep}


def iterated(scheme: str, field: Field, x: Tensor, name: str, activation: Activation = None) -> Tensor:
    """Returns the last state of a level that iterates a scheme from x.

    Args:
        scheme: a key of `SCHEMES`. "linear_multistep" begins with a step of "euler".
        field: the blocks of the level.
        x: the first state, (N, H, W, c).
        name: name of the level.
        activation: applied to each new state; None for the identity.
    """
    policy = field.dtype_policy
    given = (field.uses,) if SCHEMES[scheme] is LinearMultistep else ()
    rule = SCHEMES[scheme](*given, activation=activation, dtype=policy)
    state = Level(rule, field, name=name, dtype=policy)(x)
    return state[0] if given else state
