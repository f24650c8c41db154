"""The networks that `race` times in several libraries, for images of 32x32x3 and ten classes."""

from typing import Any, NamedTuple

IMAGE = (32, 32, 3)
CLASSES = 10


class Raced(NamedTuple):
    """One network in keras_mgnet, PyTorch and stock Keras.

    Attributes:
        preset: name of the network in keras_mgnet.
        torch: (class in `torch_networks`, arguments), in the form of the paper.
        stock: (function in `stock_networks`, arguments); None if stock layers cannot make the network.
        torch_ours: class in `torch_networks` in the residual form that keras_mgnet computes; None if there is no such form.
    """

    preset: str
    torch: tuple[str, dict[str, Any]]
    stock: tuple[str, dict[str, Any]] | None
    torch_ours: str | None = None


WIDE, SHARED = {"channels": 256}, {"share_A": True}
NETWORKS = {
    "MgNet[2,2,2,2]-64": Raced("mgnet_2222_c64_shared_b", ("MgNet", {}), ("mgnet", {}), "ResidualFormMgNet"),
    "MgNet[2,2,2,2]-256": Raced("mgnet_2222_c256_shared_b", ("MgNet", WIDE), ("mgnet", WIDE), "ResidualFormMgNet"),
    "PreActResNet18": Raced("preact_resnet18", ("PreActResNet18", {}), ("preact_resnet18", {})),
    "PreActResNet18-A": Raced("preact_resnet18_shared_a", ("PreActResNet18", SHARED), ("preact_resnet18", SHARED)),
    "LM-ResNet56": Raced("lm_resnet56", ("LMResNet56", {}), None),
}
