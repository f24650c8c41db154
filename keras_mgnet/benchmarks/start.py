"""Times the cold start in fresh processes: importing Keras, importing this library after Keras, and all up to the first step."""

import statistics
import subprocess
import sys

COLUMNS = {"stage": "stage", "s": "s", "least_s": "least", "most_s": "most"}
CLOCK = "import time; {} start = time.perf_counter(); {}; print(time.perf_counter() - start)"
STAGES = {  # name -> code to time
    "import keras": "import keras",
    "import and build MgNet[2,2,2,2]-64": "from keras_mgnet import MgNet; MgNet(channels=64)",
    "the same and a training step": (
        "import numpy as np; from keras_mgnet import MgNet; m = MgNet(channels=64); "
        "m.train_on_batch(np.zeros((32, 32, 32, 3)), np.zeros(32))"
    ),
    "import and build PreActResNet18": "from keras_mgnet import PreActResNet; PreActResNet(18)",
}
ADDED = "import keras_mgnet and MgNet, after keras"


def measure(rounds: int) -> tuple[list[dict], dict[str, str]]:
    """Returns one row per stage, measured in turns, and the headings."""
    times = {name: [] for name in (*STAGES, ADDED)}
    for _ in range(rounds):
        for name, code in STAGES.items():
            times[name].append(_seconds(code))
        times[ADDED].append(_seconds("from keras_mgnet import MgNet", before="import keras;"))
    return [_row(name, seconds) for name, seconds in times.items()], COLUMNS


def _seconds(code: str, before: str = "") -> float:
    words = [sys.executable, "-c", CLOCK.format(before, code)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])


def _row(name: str, seconds: list[float]) -> dict:
    return {"stage": name, "s": statistics.median(seconds), "least_s": min(seconds), "most_s": max(seconds)}
