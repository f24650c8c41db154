"""The published rows: every network of He2019 Tables 2-4 and of the MgNet tables, with its exact and its published size."""

from keras_mgnet.registry import ModelInfo

IMAGES = {  # data set -> (input_shape, classes, stem)
    "mnist": ((28, 28, 1), 10, "mnist"),
    "cifar10": ((32, 32, 3), 10, "cifar"),
    "imagenet": ((224, 224, 3), 1000, "imagenet"),
}

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

# The suffix, share_A and share_B of the four modes of He2019: A^{l,i}-B^{l,i}, A^l-B^{l,i}, A^{l,i}-B^l, A^l-B^l.
SHARED = {"": (False, False), "a": (True, False), "b": (False, True), "ab": (True, True)}

# family, depth, mode, data set, exact parameters under rule P, under rule F ("published_size"), He2019 table, published
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


def _images(dataset: str) -> dict:
    input_shape, classes, stem = IMAGES[dataset]
    return {"input_shape": input_shape, "classes": classes, "stem": stem}


def _mgnet(name, nu, channels, share_B, dataset, params, recipe, source, reported) -> ModelInfo:
    kwargs = {"nu": nu, "channels": channels, "share_B": share_B, **_images(dataset)}
    return ModelInfo(name, "MgNet", kwargs, params, source, reported, recipe)


def _resnet(family, depth, mode, dataset, params, table, reported, rule) -> ModelInfo:
    words = [{"ResNet": "resnet", "PreActResNet": "preact_resnet"}[family] + str(depth)]
    words += [f"shared_{mode}"] if mode else []
    words += [] if dataset == "cifar10" else [dataset]
    words += [] if rule is True else [rule]
    shares = (rule if shared else False for shared in SHARED[mode])
    kwargs = {"depth": depth, **dict(zip(("share_A", "share_B"), shares, strict=True)), **_images(dataset)}
    recipe = f"he2019_{dataset}" if dataset in ("mnist", "imagenet") else f"he2019_resnet{depth}"
    return ModelInfo("_".join(words), family, kwargs, params, f"He2019 Table {table}", reported, recipe)


def presets() -> list[ModelInfo]:
    """Returns all rows: MgNet, then He2019's, each under rule P and, where it shares, under rule F."""
    rows = [_mgnet(*row) for row in MGNET]
    for family, depth, mode, dataset, params, params_F, table, reported in RESNET:
        rows.append(_resnet(family, depth, mode, dataset, params, table, reported, True))
        if params_F is not None:
            rows.append(_resnet(family, depth, mode, dataset, params_F, table, reported, "published_size"))
    return rows
