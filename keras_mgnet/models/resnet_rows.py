"""The published ResNets and pre-activation ResNets: He2019's tables, Lu2018's tables and the XuTeam README."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from keras_mgnet.layers.sharing import PUBLISHED_SIZE
from keras_mgnet.models.datasets import CIFAR10, CIFAR100, DATASETS, IMAGENET
from keras_mgnet.models.family import Published, Row, errors

# depth, what is shared, table, exact parameters as the text shares and as "published_size" does, printed size, accuracies
RESNET_HE2019 = (
    (18, "", 2, 11_172_810, None, "11M", {"mnist": 99.56}),
    (18, "a", 2, 8_039_370, 8_076_234, "8.0M", {"mnist": 99.58}),
    (18, "", 3, 11_173_962, None, "11M", {"cifar10": 93.45, "cifar100": 74.45}),
    (18, "a", 3, 8_040_522, 8_077_386, "8.1M", {"cifar10": 93.54, "cifar100": 74.46}),
    (18, "b", 3, 11_137_098, 9_625_674, "9.7M", {"cifar10": 93.35, "cifar100": 72.78}),
    (18, "ab", 3, 8_003_658, 6_529_098, "6.6M", {"cifar10": 93.32, "cifar100": 72.56}),
    (34, "", 3, 21_282_122, None, "21M", {"cifar10": 94.71, "cifar100": 77.20}),
    (34, "a", 3, 13_098_314, 13_172_042, "13M", {"cifar10": 94.84, "cifar100": 77.24}),
    (34, "b", 3, 16_194_890, 14_720_330, "15M", {"cifar10": 93.94, "cifar100": 75.31}),
    (34, "ab", 3, 8_011_082, 6_610_250, "6.7M", {"cifar10": 93.79, "cifar100": 74.79}),
    (18, "", 4, 11_689_512, None, "11.7M", {"imagenet": 70.23}),
    (18, "a", 4, 8_556_072, 8_592_936, "8.6M", {"imagenet": 69.45}),
)
PREACT_HE2019 = (
    (18, "", 2, 11_169_994, None, "11M", {"mnist": 99.61}),
    (18, "a", 2, 8_036_554, 8_073_418, "8.0M", {"mnist": 99.64}),
    (18, "", 3, 11_171_146, None, "11M", {"cifar10": 93.75, "cifar100": 74.33}),
    (18, "a", 3, 8_037_706, 8_074_570, "8.1M", {"cifar10": 93.83, "cifar100": 74.51}),
    (18, "b", 3, 11_134_282, 9_622_858, "9.7M", {"cifar10": 93.80, "cifar100": 72.67}),
    (18, "ab", 3, 8_000_842, 6_526_282, "6.6M", {"cifar10": 93.45, "cifar100": 72.81}),
    (34, "", 3, 21_279_306, None, "21M", {"cifar10": 94.76, "cifar100": 77.25}),
    (34, "a", 3, 13_095_498, 13_169_226, "13M", {"cifar10": 94.84, "cifar100": 77.40}),
    (34, "b", 3, 16_192_074, 14_717_514, "15M", {"cifar10": 93.94, "cifar100": 75.36}),
    (34, "ab", 3, 8_008_266, 6_607_434, "6.7M", {"cifar10": 93.75, "cifar100": 75.82}),
    (18, "", 4, 11_686_824, None, "11.7M", {"imagenet": 70.46}),
    (18, "a", 4, 8_553_384, 8_590_248, "8.6M", {"imagenet": 69.78}),
)
HUNDRED = 90 * (512 + 1)  # parameters that 100 classes need beyond those of 10; Table 3 prints the sizes of 100
OTHER_RULE = "the table prints the size of the network ..._published_size"
README = "XuTeam README"
QUOTED = {  # figures in that README
    "resnet18": (
        Published(README, CIFAR10, "11.2M", 95.28, recipe="xuteam"),
        Published(README, CIFAR100, "11.2M", 77.54, recipe="xuteam"),
    ),
    "resnet18_imagenet": (Published(README, IMAGENET, "11.2M", 72.12, note="should read 11.7M", recipe="xuteam"),),
}


def he2019_rows(prefix: str, lines: Sequence[tuple[Any, ...]]) -> Iterator[Row]:
    """Yields the networks of He2019's tables.

    A network that shares A or B comes twice: with the sharing that the text of He2019 describes, and with "published_size", the
    sharing that gives the printed sizes.
    """
    for depth, shared, table, as_text, as_printed, size, figures in lines:
        dataset = DATASETS[next(iter(figures))]
        on_cifar = dataset is CIFAR10
        for rule, params in ((True, as_text), (PUBLISHED_SIZE, as_printed)):
            if params is None:
                continue
            words = [f"{prefix}{depth}", shared and f"shared_{shared}", "" if on_cifar else dataset.name]
            name = "_".join(filter(None, [*words, "" if rule is True else PUBLISHED_SIZE]))
            kwargs = {"depth": depth, "share_A": "a" in shared and rule, "share_B": "b" in shared and rule}
            note = OTHER_RULE if rule is True and "b" in shared else None
            exact = params + HUNDRED if on_cifar else None
            printed = (
                Published(f"He2019 Table {table}", DATASETS[key], size, accuracy, exact=exact, note=note)
                for key, accuracy in figures.items()
            )
            recipe = f"he2019_resnet{depth}" if on_cifar else f"he2019_{dataset.name}"
            yield Row(name, kwargs, params, (*printed, *QUOTED.get(name, ())), dataset=dataset, recipe=recipe)


TABLE2, TABLE4 = "Lu2018 Table 2", "Lu2018 Table 4"
SCALED = "1.7M (ResNet110) times 27/18; a ResNet164 of bottlenecks has 1.7M"
RESNET1001 = "a pre-activation ResNet1001 has 10.3M"
cifar100_row = partial(Row, recipe="lu2018_cifar100")
imagenet_row = partial(Row, dataset=IMAGENET, recipe="lu2018_imagenet")
by_chance = partial(Row, recipe="stochastic_depth")


def table3(error: float, top5_error: float) -> tuple[Published]:
    """Returns the errors on ImageNet, in percent, as Lu2018 Table 3 prints them."""
    return (Published("Lu2018 Table 3", IMAGENET, error=error, top5_error=top5_error),)


OPTION_B = {20: 272_474, 32: 466_906, 44: 661_338, 56: 855_770, 110: 1_730_714}
RESNET_ROWS = (
    *he2019_rows("resnet", RESNET_HE2019),
    Row("resnet20", {"depth": 20}, 269_722, errors(TABLE2, "0.27M", cifar10=8.75)),
    Row("resnet32", {"depth": 32}, 464_154, errors(TABLE2, "0.46M", cifar10=7.51)),
    Row("resnet44", {"depth": 44}, 658_586, errors(TABLE2, "0.66M", cifar10=7.17)),
    Row("resnet56", {"depth": 56}, 853_018, errors(TABLE2, "0.85M", cifar10=6.97)),
    Row("resnet110", {"depth": 110}, 1_727_962, errors(TABLE4, cifar10=6.61)),
    Row("resnet1202", {"depth": 1202}, 19_421_274, source="He et al. 2015"),
    *(
        Row(f"resnet{n}_projection", {"depth": n, "shortcut": "projection"}, params, source="He et al. 2015, option B")
        for n, params in OPTION_B.items()
    ),
    by_chance("resnet56_stochastic_depth", {"depth": 56, "survival": 0.8}, 853_018, errors(TABLE4, cifar10=5.66)),
    by_chance("resnet110_stochastic_depth", {"depth": 110, "survival": 0.5}, 1_727_962, errors(TABLE4, cifar10=5.25)),
    by_chance(
        "resnet1202_stochastic_depth", {"depth": 1202, "survival": 0.5}, 19_421_274, errors(TABLE4, cifar10=4.91)
    ),
    imagenet_row("resnet34_imagenet", {"depth": 34}, 21_797_672, source="He et al. 2015"),
    imagenet_row("resnet50", {"depth": 50}, 25_557_032, table3(24.7, 7.8)),
    imagenet_row("resnet101", {"depth": 101}, 44_549_160, table3(23.6, 7.1)),
    imagenet_row("resnet152", {"depth": 152}, 60_192_808, table3(23.0, 6.7)),
)
PREACT110 = (
    *errors(TABLE2, "1.7M", cifar10=6.37),
    Published(TABLE2, CIFAR100, "1.7M", error=27.76, recipe="lu2018_cifar100"),
    *errors(TABLE4, cifar10=6.37),
)
PREACT164 = (Published(TABLE2, CIFAR100, "2.55M", error=24.33, note=SCALED),)
PREACT1001 = (
    Published(TABLE2, CIFAR100, "18.88M", error=22.71, note=RESNET1001),
    Published(README, CIFAR10, "10.2M", 95.08, note=RESNET1001, recipe="xuteam"),
    Published(README, CIFAR100, "10.2M", 77.29, note=RESNET1001, recipe="xuteam"),
)
PREACT56 = errors(TABLE4, cifar10=5.55)
PREACT_ROWS = (
    *he2019_rows("preact_resnet", PREACT_HE2019),
    Row("preact_resnet110", {"depth": 110}, 1_727_962, PREACT110),
    Row("preact_resnet110_projection", {"depth": 110, "shortcut": "projection"}, 1_730_522, source="He et al. 2016"),
    cifar100_row("preact_resnet164", {"depth": 164}, 1_703_258, PREACT164),
    cifar100_row("preact_resnet1001", {"depth": 1001}, 10_327_706, PREACT1001),
    by_chance("preact_resnet56_stochastic_depth", {"depth": 56, "survival": 0.8}, 853_018, PREACT56),
    imagenet_row("preact_resnet50", {"depth": 50}, 25_549_352, source="fb.resnet.torch"),
    imagenet_row("preact_resnet101", {"depth": 101}, 44_541_480, source="fb.resnet.torch"),
)
