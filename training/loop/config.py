"""The configuration of a training run, with types. The fields are the options of `keras-mgnet train`."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.configuration import Count, Share, check, option
from keras_mgnet.files import expanded
from keras_mgnet.models.datasets import of_tfds
from keras_mgnet.recipes import RECIPES, Recipe
from keras_mgnet.registry import all_models
from keras_mgnet.schedules import SCHEDULES
from keras_mgnet.trained import trained_names, trained_record
from keras_mgnet.training.data.dataset import DENOISING, ON_CORRUPT, PDE, STREAM, form_of, is_denoising
from keras_mgnet.training.loop.strategy import STRATEGIES
from keras_mgnet.training.runs.run import open_run

_SETS = "digits, a TFDS name (mnist, cifar10, ...), npz:FILE"
CLASSES_HELP = f"{_SETS}, folder:DIR or tfrecord:FILES"
DATASET_HELP = f"{_SETS}, folder:DIR, tfrecord:FILES, denoise:DIR or pde:PROBLEM"
WEIGHTS_HELP = "PyTorch weights (.pth, .npz or .safetensors) or Keras weights (.weights.h5 or .keras)"
OF_FILES = (
    "npz",
    "folder",
    "tfrecord",
    DENOISING,
)  # a path follows the colon; after the name of a TFDS set, a version follows

CLASSIFIER, DENOISER, OPERATOR = DEFAULTS = "mgnet_2222_c64_shared_b", "tnrd5_5x5", "mgno_darcy_rough"
KINDS = "classifier", "denoiser", "network of functions"
JIT_COMPILE = {"auto": "auto", "on": True, "off": False}  # option -> argument of Keras' compile
SOFT = {"temperature": 4.0, "alpha": 0.9}  # the options of distillation and their defaults
NOISE = {"sigma": 25.0, "patch_size": 64, "greedy_epochs": 0}  # the options of denoising and their defaults
PROBLEM = {"grid": 64, "pairs": 1250}  # the options of pde:PROBLEM and their defaults


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run.

    A field that is None gets its value from the recipe, or the default that the help text of its option states.

    Example:
        >>> TrainConfig("digits", epochs=0)
        Traceback (most recent call last):
            ...
        ValueError: expected epochs >= 1. Received: epochs=0
    """

    dataset: str = option("digits", DATASET_HELP)
    model: str | None = option(
        None,
        "a name from `keras-mgnet list`; by default the model of the trained network that weights names; without one, "
        f"{CLASSIFIER}, {DENOISER} to denoise, or {OPERATOR} for pde:PROBLEM",
    )
    weights: str | None = option(
        None, f"weights to start from: a name from `keras-mgnet list --trained`, {WEIGHTS_HELP}"
    )
    prolong: str | None = option(
        None,
        "a .keras file of this HamiltonianNet with half the blocks and twice dt: start from it, with layers interpolated over "
        "the depth (multilevel training)",
    )
    recipe: Literal[*RECIPES] | None = option(None, "a recipe of `keras_mgnet.recipes`; by default the model's recipe")
    set: dict[str, Any] = option(None, "an argument of the model, such as nu=[2,2] or channels=16; may be repeated")
    out: str | None = option(None, "run directory, new or empty; by default runs/DATASET-MODEL-NUMBER")
    epochs: Count | None = option(None, "number of epochs; the milestones of a step schedule scale with it")
    batch_size: Count | None = option(None, "images per step")
    learning_rate: PositiveFloat | None = option(None, "peak learning rate")
    schedule: Literal[*SCHEDULES] | None = option(
        None, "step (divided by 10 at the recipe's milestones), cosine, constant, triangular or one_cycle"
    )
    warmup_epochs: NonNegativeFloat | None = option(
        None,
        "epochs in which the learning rate rises to its peak: linearly from 0, or from a fifth of the peak if the schedule is "
        "triangular; one_cycle rises from half of the peak along a cosine. By default the recipe's number, scaled with epochs",
    )
    momentum: NonNegativeFloat | None = option(None, "momentum of SGD")
    weight_decay: NonNegativeFloat | None = option(None, "coupled weight decay, on the variables that the recipe names")
    augment: Literal[*AUGMENTATIONS] | None = option(
        None, f"{', '.join(AUGMENTATIONS)}; by default from the recipe, but none for grey images and SVHN"
    )
    label_smoothing: Share | None = option(None, "share of each training label that is spread over all classes")
    ema: Share | None = option(
        None, "momentum of the average of the weights; the run evaluates and saves the average; 0 for no average"
    )
    clip_norm: PositiveFloat | None = option(
        None, "largest norm of the gradient of all weights together; a larger gradient is scaled down"
    )
    accumulate: Count = option(
        1,
        "number of steps whose mean gradient makes one update of the weights. Works on one device only. The statistics of norms "
        "are those of the images of one step",
    )
    teacher: str | None = option(
        None,
        "train on the soft targets of this network too: a run directory, or a name from `keras-mgnet list --trained`",
    )
    temperature: PositiveFloat | None = option(None, "with --teacher: temperature of the soft targets; by default 4")
    alpha: Share | None = option(None, "with --teacher: share of the soft targets in the loss; by default 0.9")
    seed: NonNegativeInt = option(0, "seed of the initial weights, the order of the images and the augmentation")
    validation: Annotated[float, Field(gt=0, le=0.5)] | None = option(
        None,
        "share of the training images of each class, held out to choose the best epoch; by default the "
        "validation images of the data set serve for it, or the test images if there are none",
    )
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = option(
        "float32", "float32, mixed_bfloat16 or mixed_float16"
    )
    jit_compile: Literal[*JIT_COMPILE] = option(
        "auto", "compile with XLA: on, off, or auto (on, except with TensorFlow on a CPU)"
    )
    steps_per_execution: Count = option(
        1, "steps that run without returning to Python; checkpoints and signals wait for the last of them"
    )
    strategy: Literal[*STRATEGIES] = option(
        "auto",
        "one (one device), mirrored (all devices of this machine), multiworker (the machines of TF_CONFIG) or auto. auto takes "
        "multiworker if TF_CONFIG names several machines, else mirrored if there are several devices, else one",
    )
    cpu_devices: Count | None = option(
        None, "use only the CPU, split into this many devices, to try a strategy without GPUs"
    )
    sync_norms: bool = option(
        False,
        "compute the statistics of norms over the whole batch, not per replica. With TensorFlow this turns XLA off. On JAX they "
        "always are",
    )
    scale_learning_rate: bool = option(False, "multiply the learning rate by the number of replicas")
    reproducible: bool = option(
        False, "reruns and resumed runs give the same bits on the same hardware; this is slower, and turns XLA off"
    )
    resume: bool = option(
        False,
        "continue a stopped run: `train --resume RUN`. `train DATA --out RUN --resume` starts the run if RUN does not exist",
    )
    checkpoint_steps: Count | None = option(
        None, "steps between checkpoints within an epoch; every epoch ends with a checkpoint"
    )
    log: Literal["tensorboard", "wandb", "mlflow", "none"] = option(
        "tensorboard", "what follows the run besides log.csv: tensorboard, wandb, mlflow or none"
    )
    keep: Count = option(2, "number of newest checkpoints to keep; the checkpoint of the best epoch is kept too")
    image_size: Count | None = option(
        None,
        "resize every image to a square with this number of pixels a side. For digits and npz, it must divide the size of the "
        "images. If the augmentation crops at other scales, it is the side of the crop",
    )
    on_corrupt: Literal[*ON_CORRUPT] = option(
        "skip", "images in files: skip unreadable images with a warning (skip), or stop at the first one (error)"
    )
    stream: Literal[*STREAM] = option(
        "auto",
        "images in files: decode images when they are needed (on), all at first (off), or auto (on, if memory is short); images "
        "that are cropped at other scales are always decoded when they are needed",
    )
    sigma: PositiveFloat | None = option(
        None, "denoise: standard deviation of the noise, in grey values 0..255; by default 25"
    )
    patch_size: Count | None = option(None, "denoise: side of the training patches, in pixels; by default 64")
    greedy_epochs: NonNegativeInt | None = option(
        None,
        "denoise: epochs for each stage in turn, before all stages are trained together; by default 0. Meanwhile "
        "earlier stages get no gradient and stay fixed, except that on JAX the momentum of Adam still moves them",
    )

    grid: Count | None = option(None, "pde: points per side of the functions, a power of 2; by default 64")
    pairs: Count | None = option(
        None, "pde: number of pairs, of which the last fifth are for the test; by default 1250"
    )

    def __post_init__(self):
        object.__setattr__(self, "set", dict(self.set or {}))
        check(self)
        self._settle_model()
        self._settle_kind()
        self._settle_teacher()
        if self.resume and self.out is None:
            raise ValueError("expected out, the directory of the run to resume. Received: resume=True, out=None")
        if self.prolong and (self.weights or self.kind != "classifier"):
            raise ValueError(
                f"expected prolong only for a classifier, without weights. Received: prolong={self.prolong!r}"
            )
        if self.reproducible and self.jit_compile == "on":
            raise ValueError("expected jit_compile auto or off in a reproducible run. Received: jit_compile='on'")
        if decided := [key for key in self.set if key in DECIDED_BY_RUN]:
            raise ValueError(f"expected no {', '.join(decided)} in set; the run decides it. Received: {self.set}")
        form, _, place = self.dataset.partition(":")
        if place and form in OF_FILES:  # an absolute path is valid from any directory
            object.__setattr__(self, "dataset", f"{form}:{expanded(place).absolute()}")

    def _settle_teacher(self) -> None:
        given = {name: getattr(self, name) for name in SOFT if getattr(self, name) is not None}
        if self.teacher is None and given:
            raise ValueError(f"expected {', '.join(SOFT)} only with a teacher. Received: {given}")
        if self.teacher and self.kind != "classifier":
            raise ValueError(f"expected no teacher of a {self.kind}. Received: teacher={self.teacher!r}")
        for name, default in SOFT.items() if self.teacher else ():
            object.__setattr__(self, name, given.get(name, default))

    def resolve(self, recipe: Recipe, channels: int) -> "TrainConfig":
        """Returns the configuration with the recipe's values for options that are None.

        `channels` is the number of channels of the images. By default, grey images are not augmented.
        """
        given = asdict(recipe.scaled(self.epochs))
        given["schedule"] = given.pop("curve")
        values = {name: value for name, value in given.items() if getattr(self, name, "") is None}
        if "augment" in values and (channels == 1 or not self.mirrors):
            values["augment"] = "none"
        resolved = replace(self, **values)
        if resolved.warmup_epochs > resolved.epochs:
            raise ValueError(f"expected warmup_epochs <= {resolved.epochs} epochs. Received: {resolved.warmup_epochs}")
        return resolved

    @classmethod
    def of_run(cls, directory: str | Path, **changes: Any) -> "TrainConfig":
        """Returns the configuration with which `train` continues the run in `directory`.

        `changes` replace fields of the run's configuration. `train` refuses changes that would give another result.
        """
        known, recorded = {field.name for field in fields(cls)}, open_run(directory).record["config"]
        kept = {name: value for name, value in recorded.items() if name in known}
        return cls(**kept | changes | {"out": str(directory), "resume": True})

    @property
    def mirrors(self) -> bool:
        """Whether mirrored images mean the same. Those of digits do not, nor do functions."""
        known = of_tfds(self.dataset)
        return self.kind != KINDS[2] and (known is None or known.flips)

    @property
    def is_denoising(self) -> bool:
        """Whether the run trains a denoiser, which maps images to images."""
        return is_denoising(self.dataset)

    @property
    def kind(self) -> str:
        """What the run trains, one of `KINDS`. For npz:FILE the network decides."""
        form, row = form_of(self.dataset), all_models().get(self.model)
        if self.is_denoising:
            return "denoiser"
        return KINDS[2] if form == PDE or (form == "npz" and row and row.kind == KINDS[2]) else "classifier"

    def _settle_model(self) -> None:
        """Without a model, a trained network in weights says which network this is."""
        if self.model is None and self.weights in trained_names():
            trained = trained_record(self.weights)["config"]
            object.__setattr__(self, "model", trained["model"])
            object.__setattr__(self, "set", trained["set"] | self.set)

    def _settle_kind(self) -> None:
        kind, form = self.kind, form_of(self.dataset)
        if self.model is None:
            object.__setattr__(self, "model", dict(zip(KINDS, DEFAULTS, strict=True))[kind])
        self._settle_options(NOISE, self.is_denoising, "denoise:DIR")
        self._settle_options(PROBLEM, form == PDE, "pde:PROBLEM")
        of = {"denoiser": "denoise:DIR"}.get(kind, f"a {kind}")
        if kind != "classifier" and self.validation:
            raise ValueError(f"expected no validation with {of}. Received: validation={self.validation}")
        if kind != "classifier" and (self.augment not in (None, "none") or self.label_smoothing):
            received = f"augment={self.augment!r}, label_smoothing={self.label_smoothing!r}"
            raise ValueError(f"expected no augment or label_smoothing with {of}. Received: {received}")

    def _settle_options(self, defaults: dict[str, Any], apply: bool, form: str) -> None:
        """Gives options that are None their defaults, if they apply. Raises ValueError if they do not apply and are given."""
        for name, value in defaults.items():
            if apply and getattr(self, name) is None:
                object.__setattr__(self, name, value)
            elif not apply and getattr(self, name) is not None:
                raise ValueError(f"expected {name} only with {form}. Received: {name}={getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-ready values."""
        return asdict(self)


PANELS = {  # panels of the help; the help shows the fields in no panel first
    "Recipe": (
        *("recipe", "schedule", "warmup_epochs", "momentum", "weight_decay", "augment", "label_smoothing", "ema"),
        *("clip_norm", "accumulate"),
    ),
    "Distillation": ("teacher", *SOFT),
    "Machine": (
        *("dtype", "jit_compile", "steps_per_execution", "strategy", "cpu_devices", "sync_norms"),
        *("scale_learning_rate", "reproducible"),
    ),
    "Stopping and resuming": ("resume", "checkpoint_steps", "keep"),
    "Images": ("image_size", "on_corrupt", "stream"),
    "Denoising": tuple(NOISE),
    "Functions": tuple(PROBLEM),
}
DECIDED_BY_RUN = ("input_shape", "input_tensor", "classes", "include_top", "recipe", "dtype", "name")
