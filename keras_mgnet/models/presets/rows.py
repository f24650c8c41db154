"""What a row of the tables is made of."""

from typing import Any

from keras_mgnet.registry import ModelInfo

IMAGES = {  # data set -> (input_shape, classes, stem)
    "mnist": ((28, 28, 1), 10, "mnist"),
    "cifar10": ((32, 32, 3), 10, "cifar"),
    "cifar100": ((32, 32, 3), 100, "cifar"),
    "imagenet": ((224, 224, 3), 1000, "imagenet"),
}


def row(
    name: str,
    family: str,
    kwargs: dict[str, Any],
    params: int,
    source: str,
    reported: dict[str, Any],
    recipe: str,
    dataset: str = "cifar10",
) -> ModelInfo:
    """Returns the row of a network on the images of a data set; other images among `kwargs` come first."""
    input_shape, classes, stem = IMAGES[dataset]
    images = {"input_shape": input_shape, "classes": classes, "stem": stem}
    return ModelInfo(name, family, {**images, **kwargs}, params, source, reported, recipe)


def errors(params: str | None = None, **percent: float) -> dict[str, Any]:
    """Returns published errors in percent as the accuracies that `ModelInfo.reported` holds, with the published size.

    Example:
        >>> errors("0.27M", cifar10=8.33)
        {'params': '0.27M', 'cifar10': 91.67}
    """
    size = {} if params is None else {"params": params}
    return size | {dataset: round(100 - error, 2) for dataset, error in percent.items()}
