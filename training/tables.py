"""The papers' tables as data: which presets, on which data sets, are the rows of each."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from keras_mgnet.errors import check_known
from keras_mgnet.models.presets import presets  # in the order of the papers, which `list_models` sorts
from keras_mgnet.models.presets.rows import IMAGES, errors
from keras_mgnet.registry import ModelInfo, model_info

# Ends the names of the other reading of He2019's sharing rule, which gives the printed size where the text does not.
OTHER_READING = "_published_size"
DATASETS = {  # as the tables name them -> the TFDS name, training images
    "mnist": ("mnist", 60_000),
    "cifar10": ("cifar10", 50_000),
    "cifar100": ("cifar100", 50_000),
    "imagenet": ("imagenet2012", 1_281_167),
}
# Where the recipe of a preset is another data set's.
RECIPES_BY_DATASET = {("lu2018_cifar10", "cifar100"): "lu2018_cifar100"}


@dataclass(frozen=True)
class Row:
    """One network on one data set, as a table prints it; None where nothing is printed."""

    key: str  # name of the row within its table, and of its directory
    model: str  # of `list_models`
    dataset: str  # of `DATASETS`
    recipe: str  # of `RECIPES`
    published: float | None  # top-1 accuracy in percent
    size: str | None  # parameters as printed
    size_matches: bool | None  # whether that is our size, rounded or cut
    note: str | None  # why it is not


@dataclass(frozen=True)
class Table:
    """A published table: the presets of its source, on its data sets."""

    title: str
    source: str  # what the `source` of its presets begins with
    datasets: tuple[str, ...]  # of `DATASETS`, in the order of the table
    models: str = "*"  # shell pattern of its presets
    # Networks of another source that it compares with -> data sets on which it does.
    quoted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # Networks for which it prints other numbers than their own source -> these numbers.
    printed: dict[str, dict] = field(default_factory=dict)
    recipe: str | None = None  # of the networks in `printed`; None for their own
    remarks: tuple[str, ...] = ()  # what a reader of the report must know


CIFAR = ("cifar10", "cifar100")
UNSTATED = "the source does not say how the networks that it compares with were trained; here it is as its own"
TABLES = {
    "he2019:1": Table("He2019 Table 1: the 16 schemes of FB-ResNet", "He2019 Table 1", ("cifar10",)),
    "he2019:2": Table("He2019 Table 2: ResNet18 with shared A on MNIST", "He2019 Table 2", ("mnist",)),
    "he2019:3": Table("He2019 Table 3: ResNet18 and ResNet34 with shared A and B on CIFAR", "He2019 Table 3", CIFAR),
    "he2019:4": Table("He2019 Table 4: ResNet18 with shared A on ImageNet", "He2019 Table 4", ("imagenet",)),
    "lu2018:2": Table(
        "Lu2018 Table 2: LM-ResNet and LM-ResNeXt on CIFAR",
        "Lu2018 Table 2",
        CIFAR,
        quoted={"densenet_100_24": ("cifar100",), "densenet_bc_190_40": ("cifar100",)},
        printed={"preact_resnet110": errors("1.7M", cifar100=27.76)},
    ),
    "lu2018:3": Table("Lu2018 Table 3: LM-ResNet on ImageNet", "Lu2018 Table 3", ("imagenet",)),
    "lu2018:4": Table(
        "Lu2018 Table 4: stochastic depth on CIFAR-10",
        "Lu2018 Table 4",
        ("cifar10",),
        quoted={"preact_resnet110": ("cifar10",)},
    ),
    "lu2017:6": Table("Lu2017 Fig. 6: weights shared over time", "Lu2017 Fig. 6", ("cifar10",)),
    "xuteam:cifar": Table(
        "XuTeam README: MgNet on CIFAR",
        "XuTeam README",
        CIFAR,
        printed={
            "resnet18": {"params": "11.2M", "cifar10": 95.28, "cifar100": 77.54},
            "preact_resnet1001": {"params": "10.2M", "cifar10": 95.08, "cifar100": 77.29},
        },
        recipe="xuteam",
        remarks=("printed, but not in this package: AlexNet, VGG19, WideResNet 28x10", UNSTATED),
    ),
    "xuteam:imagenet": Table(
        "XuTeam README: MgNet on ImageNet",
        "XuTeam README",
        ("imagenet",),
        printed={"resnet18_imagenet": {"params": "11.2M", "imagenet": 72.12, "params_note": "should read 11.7M"}},
        recipe="xuteam",
        remarks=(
            "printed, but not in this package: AlexNet, VGG19, pre-activation ResNet200, WideResNet 50x2",
            UNSTATED,
            "how the networks were trained on ImageNet was not found; the recipe is that of CIFAR",
        ),
    ),
    "densenet:cifar": Table("DenseNet README: CIFAR", "DenseNet README", CIFAR),
    "densenet:imagenet": Table("DenseNet README: ImageNet", "DenseNet README", ("imagenet",)),
    "fractalnet:cifar": Table(
        "FractalNet, as Lu2018 Table 2 prints it", "Lu2018 Table 2", ("cifar100",), "fractalnet*"
    ),
    "hamiltonian:cifar": Table("Hamiltonian networks on CIFAR-10", "LiliMeng/hamiltonian-revnet", ("cifar10",)),
    "multi-resnet:cifar": Table("Multi-ResNet README: CIFAR", "masabdi/multi-resnet", CIFAR),
    "poly-mgnet:cifar": Table("Poly-MgNet on CIFAR-10", "vanbetteray/Poly-MgNet", ("cifar10",)),
    "polynet:cifar": Table("PolyNet modules on CIFAR-10", "Lu2018 section 2.1", ("cifar10",)),
    "polynet:imagenet": Table("Very Deep PolyNet on ImageNet", "CUHK-MMLAB/polynet", ("imagenet",)),
    "resnext:cifar": Table("ResNeXt29, as Lu2018 Table 2 prints it", "Lu2018 Table 2", ("cifar100",), "*resnext29*"),
    "revnet:cifar": Table("RevNet on CIFAR-10", "renmengye/revnet-public", ("cifar10",)),
    "shake-shake:cifar": Table("Shake-Shake README: CIFAR", "xgastaldi/shake-shake", CIFAR),
}


def table(name: str) -> Table:
    """Returns the table of a key of `TABLES`.

    Example:
        >>> table("he2019:2").datasets
        ('mnist',)
    """
    check_known("table", name, TABLES)
    return TABLES[name]


def table_rows(name: str) -> list[Row]:
    """Returns the rows of a table: a data set after the other, the presets of the source first.

    Where He2019's text does not give the printed size, both readings of the row are there: the text's and "..._published_size".

    Example:
        >>> [(row.key, row.published) for row in table_rows("he2019:2")][:2]
        [('resnet18_mnist', 99.56), ('resnet18_shared_a_mnist', 99.58)]
    """
    chosen = table(name)
    own = [(info, info.reported, None) for info in presets() if _belongs(info, chosen)]
    quoted = [
        (info, {key: value for key, value in info.reported.items() if key not in DATASETS or key in datasets}, None)
        for info, datasets in ((model_info(name), datasets) for name, datasets in chosen.quoted.items())
    ]
    printed = [(model_info(key), numbers, chosen.recipe) for key, numbers in chosen.printed.items()]
    return [
        _row(chosen, info, numbers, recipe, dataset)
        for dataset in chosen.datasets
        for info, numbers, recipe in [*own, *quoted, *printed]
        if dataset in (set(numbers) & set(DATASETS) or {_own_dataset(info)})
    ]


def _belongs(info: ModelInfo, chosen: Table) -> bool:
    base = info.name.removesuffix(OTHER_READING)
    needed = base == info.name or model_info(base).size_matches is False
    return needed and info.source.startswith(chosen.source) and fnmatchcase(info.name, chosen.models)


def _own_dataset(info: ModelInfo) -> str:
    kind = (info.input_shape[-1], info.classes)
    return next(name for name, (shape, classes, _) in IMAGES.items() if (shape[-1], classes) == kind)


def _row(chosen: Table, info: ModelInfo, numbers: dict, recipe: str | None, dataset: str) -> Row:
    recipe = recipe or RECIPES_BY_DATASET.get((info.recipe, dataset), info.recipe)
    return Row(
        key=info.name if len(chosen.datasets) == 1 else f"{info.name}-{dataset}",
        model=info.name,
        dataset=dataset,
        recipe=recipe,
        published=numbers.get(dataset),
        size=numbers.get("params"),
        size_matches=info.size_matches if numbers.get("params") == info.reported.get("params") else None,
        note=numbers.get("params_note"),
    )
