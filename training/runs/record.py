"""The content of run.json, as types. The file may have further fields: those of later versions, and all of a configuration."""

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, StringConstraints
from typing_extensions import TypedDict

from keras_mgnet.images import is_scale
from keras_mgnet.schema import open_ended
from keras_mgnet.training.runs.measure import MEASURES

Name = Annotated[str, StringConstraints(min_length=1)]
BEGUN = "running"  # the status of a run that has not ended, or was killed


@open_ended
class Config(TypedDict):
    """The fields of a configuration that are used as they are. `inference` checks the others."""

    dataset: Name
    model: Name
    set: dict[str, Any]
    batch_size: PositiveInt
    seed: NonNegativeInt


@open_ended
class Data(TypedDict):
    """The data set."""

    input_shape: Annotated[list[PositiveInt | None], Field(min_length=3, max_length=3)]
    class_names: list[str]
    mean: list[float]
    std: list[float]
    train: PositiveInt
    test: PositiveInt
    val: NotRequired[PositiveInt]
    sha256: NotRequired[str]


@open_ended
class Model(TypedDict):
    """The network."""

    family: Name
    params: PositiveInt
    config: dict[str, Any]


@open_ended
class Result(TypedDict):
    """How the run ended."""

    status: Name
    seconds: NotRequired[NonNegativeFloat]
    epochs: NotRequired[NonNegativeInt]
    best_epoch: NotRequired[PositiveInt]
    last_validation_accuracy: NotRequired[float]
    best_validation_accuracy: NotRequired[float]
    last_validation_loss: NotRequired[float | None]
    last_test_accuracy: NotRequired[float]
    best_test_accuracy: NotRequired[float]
    last_test_psnr: NotRequired[float]
    best_test_psnr: NotRequired[float]
    last_test_l2: NotRequired[float]
    best_test_l2: NotRequired[float]
    last_test_loss: NotRequired[float | None]
    reason: NotRequired[str]
    hint: NotRequired[str]


def _scaled(data: Data) -> Data:
    *size, channels = data["input_shape"]
    if channels is None or (data["class_names"] and None in size):
        raise ValueError(f"a height, a width and channels are expected, not {data['input_shape']}")
    if not len(data["mean"]) == len(data["std"]) == channels or not is_scale(data["mean"], data["std"]):
        raise ValueError(f"{channels} means and as many positive deviations are expected")
    return data


def _complete(result: Result) -> Result:
    wanted = [] if result["status"] == BEGUN else ["seconds", "epochs"]
    if result["status"] == "diverged":
        wanted += ["reason", "hint"]
    if result.get("epochs") or result["status"] == "finished":
        key = next((measure.key for measure in MEASURES if f"last_test_{measure.key}" in result), MEASURES[0].key)
        judges = {"validation"} if f"last_validation_{key}" in result else {"test"}
        judges |= {"test"} if result["status"] == "finished" else set()
        wanted += [f"{which}_{images}_{key}" for images in sorted(judges) for which in ("last", "best")] + [
            "best_epoch"
        ]
    if result["status"] == "finished" and result.get("epochs") == 0:
        raise ValueError("a finished run has an epoch")
    if missing := [key for key in wanted if key not in result]:
        raise ValueError(f"{', '.join(missing)} is missing for the status {result['status']!r}")
    return result


@open_ended
class Trained(TypedDict):
    """The weights that the package has of a run, and their figures on all test images."""

    sha256: Name
    bytes: PositiveInt
    accuracy: float
    loss: float
    calibration_error: float


@open_ended
class Record(TypedDict):
    """The content of run.json."""

    created: str
    command: str
    versions: dict[str, str | None]
    config: Config
    recipe: str
    training: NotRequired[dict[str, Any]]
    data: Annotated[Data, AfterValidator(_scaled)]
    model: Model
    result: Annotated[Result, AfterValidator(_complete)]
    resumed: NotRequired[list[str]]
    trained: NotRequired[Trained]
