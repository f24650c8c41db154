"""How far a run has come."""

import json

import pytest

from keras_mgnet.training.runs.state import Progress


def test_progress_survives_json():
    progress = Progress().after(3, 30, 0.5, {"loss": 1.0}).after(5, 20, 0.5, {"loss": 2.0})
    assert Progress(**json.loads(json.dumps(progress.to_dict()))) == progress
    assert progress.means() == {"loss": pytest.approx(1.4)}
