"""When two records describe the same run."""

import pytest

from keras_mgnet.training.loop.identity import check_same, digest


def test_a_field_that_an_older_record_lacks_stands_for_its_neutral_value():
    older = {"config": {"seed": 1}, "training": {"nesterov": True}}
    neutral = {"config": {"seed": 1, "validation": None}, "training": {"nesterov": True, "beta_rate": 1.0}}
    neutral["training"]["kernel_rate"] = None
    assert digest(neutral) == digest(older)
    check_same(neutral, older, "runs/a")
    other = neutral | {"training": neutral["training"] | {"kernel_rate": 0.2}}
    assert digest(other) != digest(older)
    with pytest.raises(ValueError, match="expected kernel_rate=None as in the run in 'runs/a'"):
        check_same(other, older, "runs/a")
