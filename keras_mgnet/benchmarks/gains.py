"""Measures what each optimisation gains: times the training step of an MgNet with all optimisations, and without each one."""

from collections.abc import Callable
from importlib import import_module

from keras_mgnet.benchmarks.race import Contender, race

NETWORK, BATCH = "MgNet[2,2,2,2]-64", 32
WHOLE = "as it is"
WITHOUT = {  # optimisation left out -> arguments of the network, replaced functions, XLA, environment
    "residual form": {"arguments": {"form": "feature"}},
    "fused norm": {"patches": {"keras_mgnet.layers.operators.norm._has_fused_kernel": lambda x: False}},
    "XLA off": {"jit_compile": True},
    "two threads at a time": {"environment": {"TF_NUM_INTEROP_THREADS": "1"}},
    "oneDNN": {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
}
COLUMNS = {"without": "without", "ms": "ms", "ratio": "times as long", "least_ratio": "least", "most_ratio": "most"}


def measure(rounds: int, seconds: float, told: Callable[[str], None]) -> tuple[list[dict], dict[str, str]]:
    """Returns the rows, one for all optimisations and one without each optimisation, and the headings."""
    whole = Contender(WHOLE, f"{__name__}:train", {"without": None})
    lanes = race([whole, *map(_contender, WITHOUT)], rounds, seconds, told)
    names = ("ratio", "least_ratio", "most_ratio")
    ratios = [dict(zip(names, lanes[0].times_faster(lane), strict=True)) for lane in lanes]
    rows = [{"without": lane.name, "ms": 1000 * lane.median, **r} for lane, r in zip(lanes, ratios, strict=True)]
    return rows, COLUMNS


def _contender(without: str) -> Contender:
    environment = WITHOUT[without].get("environment", {})
    return Contender(without, f"{__name__}:train", {"without": without}, environment)


def train(without: str | None) -> Callable[[], object]:
    """Returns the training step without one optimisation, a key of `WITHOUT`, or with all of them for None."""
    from keras_mgnet import create_model
    from keras_mgnet.benchmarks.keras_programs import training_step
    from keras_mgnet.benchmarks.networks import NETWORKS

    changed = WITHOUT.get(without, {})
    for target, replacement in changed.get("patches", {}).items():
        module, _, name = target.rpartition(".")
        setattr(import_module(module), name, replacement)  # safe: this process does nothing else
    model = create_model(NETWORKS[NETWORK].preset, **changed.get("arguments", {}))
    return training_step(model, BATCH, changed.get("jit_compile", "auto"))
