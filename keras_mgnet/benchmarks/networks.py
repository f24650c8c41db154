"""The networks of the races, for images of 32x32x3 and ten classes."""

from typing import Any, NamedTuple

IMAGE = (32, 32, 3)
CLASSES = 10


class Raced(NamedTuple):
    """A network in our version and in those of its peers.

    Attributes:
        preset: name of our version.
        torch: class in `torch_networks`, and its arguments.
        stock: function in `stock_networks`, and its arguments; None if stock layers cannot make the network.
        torch_ours: class in `torch_networks` that computes in this library's form; None if the form is the same.
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
