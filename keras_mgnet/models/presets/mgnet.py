"""The rows of the MgNet tables."""

from keras_mgnet.models.presets.rows import row
from keras_mgnet.registry import ModelInfo

# name, nu, channels, share_B, data set, exact parameters, recipe, source, published
MGNET = [
    ("mgnet_2222_c256_shared_b", (2, 2, 2, 2), 256, True, "cifar10", 8_278_794, "xuteam", "XuTeam README",
     {"params": "8.2M", "cifar10": 96.00, "cifar100": 79.94}),
    ("mgnet_3463_c128_256_512_1024", (3, 4, 6, 3), (128, 256, 512, 1024), False, "imagenet", 71_270_504, "xuteam",
     "XuTeam README", {"params": "71.3M", "imagenet": 78.59}),
    ("mgnet_1111_c64_shared_b", (1, 1, 1, 1), 64, True, "cifar10", 520_394, "kaust", "KAUST lecture MG_MgNet", {}),
    ("mgnet_2222_c256_shared_b_mnist", (2, 2, 2, 2), 256, True, "mnist", 8_274_186, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c256_mnist", (2, 2, 2, 2), 256, False, "mnist", 10_633_482, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c256", (2, 2, 2, 2), 256, False, "cifar10", 10_638_090, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c128_shared_b", (2, 2, 2, 2), 128, True, "cifar10", 2_075_018, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c128", (2, 2, 2, 2), 128, False, "cifar10", 2_664_842, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c64_shared_b", (2, 2, 2, 2), 64, True, "cifar10", 521_418, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c64", (2, 2, 2, 2), 64, False, "cifar10", 668_874, "xuteam", "XuTeam code", {}),
    ("mgnet_2222_c64_128_256_512_shared_b", (2, 2, 2, 2), (64, 128, 256, 512), True, "cifar10", 9_381_706, "xuteam",
     "XuTeam code", {}),
    ("mgnet_2222_c64_128_256_512", (2, 2, 2, 2), (64, 128, 256, 512), False, "cifar10", 12_515_146, "xuteam",
     "XuTeam code", {}),
]  # fmt: skip


def rows() -> list[ModelInfo]:
    """Returns the networks of the authors' README, code and lecture."""
    return [
        row(
            name,
            "MgNet",
            {"nu": nu, "channels": channels, "share_B": share_B},
            params,
            source,
            reported,
            recipe,
            dataset,
        )
        for name, nu, channels, share_B, dataset, params, recipe, source, reported in MGNET
    ]
