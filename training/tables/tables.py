"""The papers' tables as data: the networks and data sets of each table."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from keras_mgnet.errors import check_known
from keras_mgnet.models.family import Published
from keras_mgnet.registry import ModelInfo, all_models, model_info

# Suffix of networks with the other reading of He2019's sharing rule, see `table_rows`.
OTHER_READING = "_published_size"


@dataclass(frozen=True)
class Row:
    """One network on one data set, as a table prints it. Values that are not printed are None."""

    key: str  # name of the row in its table, and of its directory
    model: str  # a name of `list_models`
    dataset: str  # a key of `models.datasets.DATASETS`
    recipe: str  # a key of `RECIPES`
    published: float | None  # top-1 accuracy in percent
    top5: float | None  # top-5 accuracy in percent
    size: str | None  # number of parameters as printed
    size_matches: bool | None  # whether the printed size is the exact size, rounded or truncated
    note: str | None  # why the printed size cannot be reproduced


@dataclass(frozen=True)
class Table:
    """A published table: the results that a source prints for networks on some data sets."""

    title: str
    source: str  # the field `table` of the results, see `Published`
    datasets: tuple[str, ...]  # keys of `models.datasets.DATASETS`, in the order of the table
    models: str = "*"  # shell pattern of its networks
    remarks: tuple[str, ...] = ()  # what a reader of the report must know


CIFAR = ("cifar10", "cifar100")
UNSTATED = "the source does not say how the networks it compares with were trained; here they have the recipe of its own networks"
TABLES = {
    "he2019:1": Table("He2019 Table 1: the 16 schemes of FB-ResNet", "He2019 Table 1", ("cifar10",)),
    "he2019:2": Table("He2019 Table 2: ResNet18 with shared A on MNIST", "He2019 Table 2", ("mnist",)),
    "he2019:3": Table("He2019 Table 3: ResNet18 and ResNet34 with shared A and B on CIFAR", "He2019 Table 3", CIFAR),
    "he2019:4": Table("He2019 Table 4: ResNet18 with shared A on ImageNet", "He2019 Table 4", ("imagenet",)),
    "lu2018:2": Table("Lu2018 Table 2: LM-ResNet and LM-ResNeXt on CIFAR", "Lu2018 Table 2", CIFAR),
    "lu2018:3": Table("Lu2018 Table 3: LM-ResNet on ImageNet", "Lu2018 Table 3", ("imagenet",)),
    "lu2018:4": Table("Lu2018 Table 4: stochastic depth on CIFAR-10", "Lu2018 Table 4", ("cifar10",)),
    "lu2017:6": Table("Lu2017 Fig. 6: weights shared over time", "Lu2017 Fig. 6", ("cifar10",)),
    "xuteam:cifar": Table(
        "XuTeam README: MgNet on CIFAR",
        "XuTeam README",
        CIFAR,
        remarks=("printed, but not in this package: AlexNet, VGG19, WideResNet 28x10", UNSTATED),
    ),
    "xuteam:imagenet": Table(
        "XuTeam README: MgNet on ImageNet",
        "XuTeam README",
        ("imagenet",),
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
    "multi-resnet:cifar": Table("Multi-ResNet README: CIFAR", "masabdi/multi-resnet README", CIFAR),
    "poly-mgnet:cifar": Table("Poly-MgNet on CIFAR-10", "vanbetteray/Poly-MgNet", ("cifar10",)),
    "polynet:cifar": Table("PolyNet modules on CIFAR-10", "Lu2018 section 2.1", ("cifar10",)),
    "polynet:imagenet": Table("Very Deep PolyNet on ImageNet", "CUHK-MMLAB/polynet", ("imagenet",)),
    "resnext:cifar": Table("ResNeXt29, as Lu2018 Table 2 prints it", "Lu2018 Table 2", ("cifar100",), "*resnext29*"),
    "revnet:cifar": Table("RevNet on CIFAR-10", "renmengye/revnet-public", ("cifar10",)),
    "shake-shake:cifar": Table("Shake-Shake README: CIFAR", "xgastaldi/shake-shake", CIFAR),
}


def table(name: str) -> Table:
    """Returns the table with this key in `TABLES`.

    Example:
        >>> table("he2019:2").datasets
        ('mnist',)
    """
    check_known("table", name, TABLES)
    return TABLES[name]


def table_rows(name: str) -> list[Row]:
    """Returns the rows of a table, ordered by data set, then by family.

    He2019's rule for sharing kernels can be read in two ways. If the rule in the text does not give the printed size, the
    network has two rows: one with the rule in the text, and one named "..._published_size" with the other rule.

    Example:
        >>> [(row.key, row.published) for row in table_rows("he2019:2")][:2]
        [('resnet18_mnist', 99.56), ('resnet18_shared_a_mnist', 99.58)]
    """
    chosen = table(name)
    return [
        _row(chosen, info, printed)
        for dataset in chosen.datasets
        for info in all_models().values()
        for printed in info.published
        if (printed.table, printed.dataset.name) == (chosen.source, dataset) and _belongs(info, chosen)
    ]


def _belongs(info: ModelInfo, chosen: Table) -> bool:
    base = info.name.removesuffix(OTHER_READING)
    needed = base == info.name or model_info(base).size_matches is False
    return needed and fnmatchcase(info.name, chosen.models)


def _row(chosen: Table, info: ModelInfo, printed: Published) -> Row:
    return Row(
        key=info.name if len(chosen.datasets) == 1 else f"{info.name}-{printed.dataset.name}",
        model=info.name,
        dataset=printed.dataset.name,
        recipe=printed.recipe or info.recipe,
        published=printed.figure,
        top5=printed.top5,
        size=printed.size,
        size_matches=printed.size_matches(info.params),
        note=printed.note,
    )
