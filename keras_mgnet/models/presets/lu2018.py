"""The rows of Lu2018, Tables 2 to 4, and of the networks that they compare with."""

from keras_mgnet.models.presets.rows import errors, row
from keras_mgnet.registry import ModelInfo

SCALED = "1.7M (ResNet110) times 27/18; a ResNet164 of bottlenecks has 1.7M"
RESNET1001 = "a pre-activation ResNet1001 has 10.3M"

# name, family, arguments, exact parameters (10 classes), source, published
CIFAR = [
    ("resnet20", "ResNet", {"depth": 20}, 269_722, "Lu2018 Table 2", errors("0.27M", cifar10=8.75)),
    ("resnet32", "ResNet", {"depth": 32}, 464_154, "Lu2018 Table 2", errors("0.46M", cifar10=7.51)),
    ("resnet44", "ResNet", {"depth": 44}, 658_586, "Lu2018 Table 2", errors("0.66M", cifar10=7.17)),
    ("resnet56", "ResNet", {"depth": 56}, 853_018, "Lu2018 Table 2", errors("0.85M", cifar10=6.97)),
    ("resnet110", "ResNet", {"depth": 110}, 1_727_962, "Lu2018 Table 4", errors("1.7M", cifar10=6.61)),
    ("resnet1202", "ResNet", {"depth": 1202}, 19_421_274, "He et al. 2015", {}),
    ("resnet20_projection", "ResNet", {"depth": 20, "shortcut": "projection"}, 272_474, "He et al. 2015, option B", {}),
    ("resnet32_projection", "ResNet", {"depth": 32, "shortcut": "projection"}, 466_906, "He et al. 2015, option B", {}),
    ("resnet44_projection", "ResNet", {"depth": 44, "shortcut": "projection"}, 661_338, "He et al. 2015, option B", {}),
    ("resnet56_projection", "ResNet", {"depth": 56, "shortcut": "projection"}, 855_770, "He et al. 2015, option B", {}),
    ("resnet110_projection", "ResNet", {"depth": 110, "shortcut": "projection"}, 1_730_714, "He et al. 2015, option B", {}),
    ("preact_resnet110", "PreActResNet", {"depth": 110}, 1_727_962, "Lu2018 Table 2", errors("1.7M", cifar10=6.37)),
    ("preact_resnet110_projection", "PreActResNet", {"depth": 110, "shortcut": "projection"}, 1_730_522,
     "He et al. 2016", {}),
    ("preact_resnet164", "PreActResNet", {"depth": 164}, 1_703_258, "Lu2018 Table 2",
     errors("2.55M", cifar100=24.33) | {"params_note": SCALED}),
    ("preact_resnet1001", "PreActResNet", {"depth": 1001}, 10_327_706, "Lu2018 Table 2",
     errors("18.88M", cifar100=22.71) | {"params_note": RESNET1001}),
    ("lm_resnet20", "LMResNet", {"depth": 20}, 272_384, "Lu2018 Table 2", errors("0.27M", cifar10=8.33)),
    ("lm_resnet32", "LMResNet", {"depth": 32}, 466_822, "Lu2018 Table 2", errors("0.46M", cifar10=7.18)),
    ("lm_resnet44", "LMResNet", {"depth": 44}, 661_260, "Lu2018 Table 2", errors("0.66M", cifar10=6.66)),
    ("lm_resnet56", "LMResNet", {"depth": 56}, 855_698, "Lu2018 Table 2",
     errors("0.85M", cifar10=6.31)),
    ("lm_resnet110", "LMResNet", {"depth": 110}, 1_730_669, "Lu2018 Table 2", errors("1.7M", cifar100=25.87)),
    ("lm_resnet164", "LMResNet", {"depth": 164}, 1_703_725, "Lu2018 Table 2",
     errors("2.55M", cifar100=22.90) | {"params_note": SCALED}),
    ("resnet56_stochastic_depth", "ResNet", {"depth": 56, "survival": 0.8}, 853_018, "Lu2018 Table 4", errors(cifar10=5.66)),
    ("preact_resnet56_stochastic_depth", "PreActResNet", {"depth": 56, "survival": 0.8}, 853_018, "Lu2018 Table 4",
     errors(cifar10=5.55)),
    ("resnet110_stochastic_depth", "ResNet", {"depth": 110, "survival": 0.5}, 1_727_962, "Lu2018 Table 4",
     errors(cifar10=5.25)),
    ("resnet1202_stochastic_depth", "ResNet", {"depth": 1202, "survival": 0.5}, 19_421_274, "Lu2018 Table 4",
     errors(cifar10=4.91)),
    ("lm_resnet56_stochastic_depth", "LMResNet", {"depth": 56, "survival": 0.8}, 855_698, "Lu2018 Table 4",
     errors(cifar10=5.14)),
    ("lm_resnet110_stochastic_depth", "LMResNet", {"depth": 110, "survival": 0.5}, 1_730_669, "Lu2018 Table 4",
     errors(cifar10=4.80)),
    ("resnext29_8x64d", "ResNeXt", {"cardinality": 8}, 34_426_698, "Lu2018 Table 2", errors("34.4M", cifar100=17.77)),
    ("resnext29_16x64d", "ResNeXt", {"cardinality": 16}, 68_155_210, "Lu2018 Table 2", errors("68.1M", cifar100=17.31)),
    ("preact_resnext29_8x64d", "ResNeXt", {"cardinality": 8, "preactivation": True}, 34_423_114, "Lu2018", {}),
    ("preact_resnext29_16x64d", "ResNeXt", {"cardinality": 16, "preactivation": True}, 68_151_626, "Lu2018 Table 2",
     errors("68.1M", cifar100=17.65)),
    ("lm_resnext29_8x64d", "LMResNeXt", {"cardinality": 8}, 35_078_483, "Lu2018 Table 2", errors("35.1M", cifar100=17.49)),
    ("lm_resnext29_16x64d", "LMResNeXt", {"cardinality": 16}, 68_806_995, "Lu2018 Table 2",
     errors("68.8M", cifar100=16.79)),
    ("shake_shake_26_2x32d", "ShakeShake", {"width": 32}, 2_923_162, "xgastaldi/shake-shake", errors(cifar10=3.55)),
    ("shake_shake_26_2x64d", "ShakeShake", {"width": 64}, 11_653_978, "xgastaldi/shake-shake", errors(cifar10=2.98)),
    ("shake_shake_26_2x96d", "ShakeShake", {"width": 96}, 26_192_922, "xgastaldi/shake-shake", errors(cifar10=2.86)),
    ("shake_shake_26_2x112d", "ShakeShake", {"width": 112}, 35_640_442, "xgastaldi/shake-shake", {}),
]  # fmt: skip

# name, family, depth, exact parameters, source, published (top-1)
IMAGENET = [
    ("resnet34_imagenet", "ResNet", 34, 21_797_672, "He et al. 2015", {}),
    ("resnet50", "ResNet", 50, 25_557_032, "Lu2018 Table 3", errors(imagenet=24.7)),
    ("resnet101", "ResNet", 101, 44_549_160, "Lu2018 Table 3", errors(imagenet=23.6)),
    ("resnet152", "ResNet", 152, 60_192_808, "Lu2018 Table 3", errors(imagenet=23.0)),
    ("preact_resnet50", "PreActResNet", 50, 25_549_352, "fb.resnet.torch", {}),
    ("preact_resnet101", "PreActResNet", 101, 44_541_480, "fb.resnet.torch", {}),
    ("lm_resnet50", "LMResNet", 50, 25_549_364, "Lu2018 Table 3", errors(imagenet=23.8)),
    ("lm_resnet101", "LMResNet", 101, 44_541_509, "Lu2018 Table 3", errors(imagenet=22.6)),
]


def rows() -> list[ModelInfo]:
    """Returns the networks on CIFAR and on ImageNet."""
    networks = [row(*entry, _recipe(entry[1], entry[2], entry[5])) for entry in CIFAR]
    for name, family, depth, params, source, reported in IMAGENET:
        kwargs = {"depth": depth}
        networks.append(row(name, family, kwargs, params, source, reported, "lu2018_imagenet", "imagenet"))
    aggregated = {"depth": 29, "width": 64, "cardinality": 4}
    source, reported = "xgastaldi/shake-shake", errors(cifar100=15.85)
    name = "shake_shake_29_2x4x64d"
    networks.append(row(name, "ShakeShake", aggregated, 34_529_700, source, reported, "shake_shake", "cifar100"))
    return networks


def _recipe(family: str, kwargs, reported) -> str:
    if family in ("ResNeXt", "LMResNeXt"):
        return "lu2018_resnext"
    if family == "ShakeShake":
        return "shake_shake"
    if "survival" in kwargs:
        return "stochastic_depth"
    return "lu2018_cifar100" if "cifar100" in reported else "lu2018_cifar10"
