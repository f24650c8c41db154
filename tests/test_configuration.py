"""Configurations take what their annotations say, unchanged; all else is named in one line."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from keras_mgnet.configuration import Count, Fraction, Share, check


@dataclass
class Run:
    epochs: Count | None = None
    ema: Share = 0
    tolerance: Fraction = 0.5
    rule: Literal["sgd", "adam"] | None = None
    grid: tuple[int, int] = (1, 1)
    resume: bool = False
    set: dict[str, Any] | None = None
    name: str = ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "expected epochs >= 1. Received: epochs=0"),
        ({"epochs": "3"}, "expected epochs to be a valid integer. Received: epochs='3'"),
        ({"epochs": True}, "expected epochs to be a valid integer. Received: epochs=True"),
        ({"epochs": 3.0}, "expected epochs to be a valid integer. Received: epochs=3.0"),
        ({"ema": 1}, "expected ema < 1. Received: ema=1"),
        ({"ema": -0.5}, "expected ema >= 0. Received: ema=-0.5"),
        ({"ema": float("nan")}, "expected ema to be a finite number. Received: ema=nan"),
        ({"ema": None}, "expected ema to be a valid number. Received: ema=None"),
        ({"tolerance": 0.0}, "expected tolerance > 0. Received: tolerance=0.0"),
        ({"rule": "addam"}, "unknown rule 'addam'; did you mean 'adam'? Expected one of: sgd, adam. Received: 'addam'"),
        ({"grid": (1, "2")}, "expected grid to be a valid integer. Received: grid=(1, '2')"),
        (
            {"grid": (1, 2, 3)},
            "expected grid to have at most 2 items after validation, not 3. Received: grid=(1, 2, 3)",
        ),
        ({"resume": 1}, "expected resume to be a valid boolean. Received: resume=1"),
        ({"set": [1]}, "expected set to be a valid dictionary. Received: set=[1]"),
        ({"epochs": 0, "name": 3}, "expected epochs >= 1. Received: epochs=0"),
    ],
)
def test_the_first_wrong_field_is_named(values, message):
    with pytest.raises(ValueError) as error:
        check(Run(**values))
    assert str(error.value) == message


def test_values_stay_as_they_were_given():
    arguments = {"nu": [1]}
    run = Run(epochs=3, ema=0, set=arguments)
    check(run)
    assert type(run.ema) is int and run.set is arguments
