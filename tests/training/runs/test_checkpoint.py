"""Checkpoints: every damage is detected, and an intact one is never put at risk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.training.runs import checkpoint
from keras_mgnet.training.runs.checkpoint import ARRAYS, MANIFEST, STATE, Checkpoints, DamagedCheckpointError
from support.runs import flip, truncate


def swap(path):
    other = path.parent.with_name("epoch-000001") / path.name
    kept = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def empty(path):
    path.write_bytes(b"")


DAMAGES = {"truncated": truncate, "flipped": flip, "emptied": empty, "gone": Path.unlink, "swapped": swap}


@pytest.mark.parametrize("file", [ARRAYS, STATE, MANIFEST])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_detected(file, damage, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for i in (0, 1, 2):
        checkpoints.write(f"epoch-00000{i}", {"w": np.full(3, i, "float32")}, {"step": i})
    DAMAGES[damage](tmp_path / "epoch-000002" / file)
    with pytest.raises(DamagedCheckpointError, match=r"expected an intact checkpoint\. Received: '.*epoch-000002'"):
        checkpoints.read("epoch-000002")
    with pytest.warns(UserWarning, match="skipped a damaged checkpoint"):
        assert checkpoints.newest()[0] == ("epoch-000000" if damage == "swapped" else "epoch-000001")


def test_exchanged_checkpoints_are_detected(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for i in (1, 2):
        checkpoints.write(f"epoch-00000{i}", {"w": np.full(3, i)}, {"step": i})
    (tmp_path / "epoch-000002").rename(tmp_path / "epoch-000003")
    (tmp_path / "epoch-000001").rename(tmp_path / "epoch-000002")
    for name in checkpoints.names():
        with pytest.raises(DamagedCheckpointError):
            checkpoints.read(name)


@given(file=st.sampled_from([ARRAYS, STATE, MANIFEST]), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_detected(file, place, bit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bits")
    Checkpoints(folder).write("epoch-000001", {"w": np.arange(4.0), "n": np.array(3)}, {"step": 1})
    path = folder / "epoch-000001" / file
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError):
        Checkpoints(folder).read("epoch-000001")


def test_a_checkpoint_of_another_run_is_detected(tmp_path):
    Checkpoints(tmp_path, "one run").write("epoch-000001", {"w": np.ones(3)}, {})
    with pytest.raises(DamagedCheckpointError, match="or belong to another run"):
        Checkpoints(tmp_path, "another").read("epoch-000001")


def test_damaged_checkpoints_do_not_push_out_intact_ones(tmp_path):
    """The run went on from 4, though 5 was there; keeping one must keep what was just written."""
    checkpoints = Checkpoints(tmp_path)
    for name in ("epoch-000003", "epoch-000004", "epoch-000005"):
        checkpoints.write(name, {"w": np.ones(3)}, {})
    flip(tmp_path / "epoch-000005" / ARRAYS)
    checkpoints.write("epoch-000004-step-000005", {"w": np.ones(3)}, {})
    checkpoints.prune("epoch-000004-step-000005", 1, ["epoch-000003"])
    assert checkpoints.names() == ["epoch-000003", "epoch-000004-step-000005"]


def test_an_intact_checkpoint_is_not_put_at_risk(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write("epoch-000001", {"w": np.ones(3)}, {"first": True})
    monkeypatch.setattr(checkpoint, "publish", lambda *paths: pytest.fail("written again"))
    checkpoints.write("epoch-000001", {"w": np.ones(3)}, {"first": False})
    assert checkpoints.read("epoch-000001")[1] == {"first": True}


def test_a_damaged_checkpoint_is_replaced(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write("epoch-000001", {"w": np.ones(3)}, {})
    flip(tmp_path / "epoch-000001" / ARRAYS)
    checkpoints.write("epoch-000001", {"w": np.zeros(3)}, {})
    np.testing.assert_array_equal(checkpoints.read("epoch-000001")[0]["w"], np.zeros(3))
