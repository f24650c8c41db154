"""The published rows: every network of the papers' tables, with its exact and its published size."""

from keras_mgnet.models.presets import denoisers, he2019, lu2018, mgnet, zoo
from keras_mgnet.registry import ModelInfo

TABLES = (mgnet, he2019, lu2018, zoo, denoisers)


def presets() -> list[ModelInfo]:
    """Returns the rows of all tables."""
    return [entry for table in TABLES for entry in table.rows()]
