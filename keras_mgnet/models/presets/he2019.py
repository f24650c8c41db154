"""The rows of He2019, Tables 2 to 4."""

from keras_mgnet.models.presets.rows import row
from keras_mgnet.registry import ModelInfo

# The suffix, share_A and share_B of the four modes of He2019: A^{l,i}-B^{l,i}, A^l-B^{l,i}, A^{l,i}-B^l, A^l-B^l.
SHARED = {"": (False, False), "a": (True, False), "b": (False, True), "ab": (True, True)}

# family, depth, mode, data set, exact parameters under rule P, under rule F ("published_size"), He2019 table, published.
# The sizes that Table 3 prints are those of 100 classes.
RESNET = [
    ("ResNet", 18, "", "mnist", 11_172_810, None, 2, {"params": "11M", "mnist": 99.56}),
    ("ResNet", 18, "a", "mnist", 8_039_370, 8_076_234, 2, {"params": "8.0M", "mnist": 99.58}),
    ("PreActResNet", 18, "", "mnist", 11_169_994, None, 2, {"params": "11M", "mnist": 99.61}),
    ("PreActResNet", 18, "a", "mnist", 8_036_554, 8_073_418, 2, {"params": "8.0M", "mnist": 99.64}),
    ("ResNet", 18, "", "cifar10", 11_173_962, None, 3, {"params": "11M", "cifar10": 93.45, "cifar100": 74.45}),
    ("ResNet", 18, "a", "cifar10", 8_040_522, 8_077_386, 3, {"params": "8.1M", "cifar10": 93.54, "cifar100": 74.46}),
    ("ResNet", 18, "b", "cifar10", 11_137_098, 9_625_674, 3, {"params": "9.7M", "cifar10": 93.35, "cifar100": 72.78}),
    ("ResNet", 18, "ab", "cifar10", 8_003_658, 6_529_098, 3, {"params": "6.6M", "cifar10": 93.32, "cifar100": 72.56}),
    ("PreActResNet", 18, "", "cifar10", 11_171_146, None, 3, {"params": "11M", "cifar10": 93.75, "cifar100": 74.33}),
    ("PreActResNet", 18, "a", "cifar10", 8_037_706, 8_074_570, 3,
     {"params": "8.1M", "cifar10": 93.83, "cifar100": 74.51}),
    ("PreActResNet", 18, "b", "cifar10", 11_134_282, 9_622_858, 3,
     {"params": "9.7M", "cifar10": 93.80, "cifar100": 72.67}),
    ("PreActResNet", 18, "ab", "cifar10", 8_000_842, 6_526_282, 3,
     {"params": "6.6M", "cifar10": 93.45, "cifar100": 72.81}),
    ("ResNet", 34, "", "cifar10", 21_282_122, None, 3, {"params": "21M", "cifar10": 94.71, "cifar100": 77.20}),
    ("ResNet", 34, "a", "cifar10", 13_098_314, 13_172_042, 3, {"params": "13M", "cifar10": 94.84, "cifar100": 77.24}),
    ("ResNet", 34, "b", "cifar10", 16_194_890, 14_720_330, 3, {"params": "15M", "cifar10": 93.94, "cifar100": 75.31}),
    ("ResNet", 34, "ab", "cifar10", 8_011_082, 6_610_250, 3, {"params": "6.7M", "cifar10": 93.79, "cifar100": 74.79}),
    ("PreActResNet", 34, "", "cifar10", 21_279_306, None, 3, {"params": "21M", "cifar10": 94.76, "cifar100": 77.25}),
    ("PreActResNet", 34, "a", "cifar10", 13_095_498, 13_169_226, 3,
     {"params": "13M", "cifar10": 94.84, "cifar100": 77.40}),
    ("PreActResNet", 34, "b", "cifar10", 16_192_074, 14_717_514, 3,
     {"params": "15M", "cifar10": 93.94, "cifar100": 75.36}),
    ("PreActResNet", 34, "ab", "cifar10", 8_008_266, 6_607_434, 3,
     {"params": "6.7M", "cifar10": 93.75, "cifar100": 75.82}),
    ("ResNet", 18, "", "imagenet", 11_689_512, None, 4, {"params": "11.7M", "imagenet": 70.23}),
    ("ResNet", 18, "a", "imagenet", 8_556_072, 8_592_936, 4, {"params": "8.6M", "imagenet": 69.45}),
    ("PreActResNet", 18, "", "imagenet", 11_686_824, None, 4, {"params": "11.7M", "imagenet": 70.46}),
    ("PreActResNet", 18, "a", "imagenet", 8_553_384, 8_590_248, 4, {"params": "8.6M", "imagenet": 69.78}),
]  # fmt: skip


HUNDRED = 90 * (512 + 1)  # what 100 classes have more than 10
OTHER_RULE = "the table's sizes follow the rule of the row ..._published_size"


def rows() -> list[ModelInfo]:
    """Returns each network under rule P and, where it shares, under rule F."""
    pairs = []
    for family, depth, mode, dataset, params, params_F, table, reported in RESNET:
        arguments = (family, depth, mode, dataset, table)
        other = {"params_note": OTHER_RULE} if "b" in mode else {}
        pairs.append(_row(*arguments, params, reported | other, True))
        if params_F is not None:
            pairs.append(_row(*arguments, params_F, reported, "published_size"))
    return pairs


def _row(family, depth, mode, dataset, table, params, reported, rule) -> ModelInfo:
    words = [{"ResNet": "resnet", "PreActResNet": "preact_resnet"}[family] + str(depth)]
    words += [f"shared_{mode}"] if mode else []
    words += [] if dataset == "cifar10" else [dataset]
    words += [] if rule is True else [rule]
    shares = (rule if shared else False for shared in SHARED[mode])
    kwargs = {"depth": depth, **dict(zip(("share_A", "share_B"), shares, strict=True))}
    if dataset == "cifar10":
        reported = reported | {"params_exact": params + HUNDRED}
    recipe = f"he2019_{dataset}" if dataset in ("mnist", "imagenet") else f"he2019_resnet{depth}"
    return row("_".join(words), family, kwargs, params, f"He2019 Table {table}", reported, recipe, dataset)
