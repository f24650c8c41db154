from .data.dataset import load
from .loop.config import TrainConfig
from .loop.inference import evaluate, export_arguments, predict
from .loop.loop import train
from .runs.run import open_run
from .search.config import TuneConfig
from .search.tuning import tune
from .tables.reproduce import reproduce
from .tables.request import Reproduction

__all__ = [
    "Reproduction",
    "TrainConfig",
    "TuneConfig",
    "evaluate",
    "export_arguments",
    "load",
    "open_run",
    "predict",
    "reproduce",
    "train",
    "tune",
]
