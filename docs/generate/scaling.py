"""The table of what each table of the papers takes."""

from collections import defaultdict
from pathlib import Path

from keras_mgnet.reporting import table
from keras_mgnet.training.tables.cost import estimate
from keras_mgnet.training.tables.request import Reproduction
from keras_mgnet.training.tables.scaling import Cluster
from keras_mgnet.training.tables.tables import TABLES

RATE = 1e14 / 2  # multiply-adds per second of the device that the page assumes
ONE, EIGHT = Cluster(rate=RATE), Cluster(8, RATE, bandwidth=1e10, latency=5e-5)
HEADINGS = (
    "table",
    "rows",
    "PFLOP",
    "days on two cores",
    "hours on one device",
    "hours on eight",
    "device hours on eight",
)
TWO_CORES = Cluster(rate=3e11 / 2)


def scaling_table() -> str:
    """Returns a row for each table of the papers: one seed of each row, by its full recipe."""
    return table(HEADINGS, [_row(name) for name in TABLES])


def _row(name: str) -> tuple[str, ...]:
    once = defaultdict(lambda: 1)
    asked = Reproduction(name, Path())
    cores, one, eight = (list(estimate(asked, once, cluster)) for cluster in (TWO_CORES, ONE, EIGHT))
    days, hours, shared = (sum(cost.hours for cost in costs) for costs in (cores, one, eight))
    petaflop = sum(cost.petaflop for cost in one)
    return (
        f"`{name}`",
        str(len(one)),
        f"{petaflop:,.0f}",
        f"{days / 24:,.1f}",
        *(f"{h:,.1f}" for h in (hours, shared, 8 * shared)),
    )
