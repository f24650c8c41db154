"""Files are whole or missing: what killed processes leave, full disks, and who may read them."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from keras_mgnet import files
from keras_mgnet.files import STAGED, check_room, clear_staged, staged_file, workspace, write_json
from keras_mgnet.training.runs.checkpoint import Checkpoints
from support import ROOT
from support.disk import FULL, room_for

KILLED = "import os, runpy, sys\nwith runpy.run_path(sys.argv[1])['workspace'](sys.argv[2]): os._exit(9)"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_next_write_removes_what_a_killed_process_left(tmp_path):
    command = [sys.executable, "-c", KILLED, ROOT / "keras_mgnet" / "files.py", tmp_path]
    assert subprocess.run(command).returncode == 9
    assert [name.startswith(STAGED) for name in names(tmp_path)] == [True]
    write_json(tmp_path / "a.json", 1)
    assert names(tmp_path) == ["a.json"]


def test_only_folders_of_dead_processes_are_removed(tmp_path):
    """A link or a file with such a name is not ours, and what a living process writes is locked."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{STAGED}link").symlink_to(elsewhere)
    (tmp_path / f"{STAGED}file").touch()
    with workspace(tmp_path) as living:
        (tmp_path / f"{STAGED}dead" / "half").mkdir(parents=True)
        clear_staged(tmp_path)
        assert names(tmp_path) == sorted([f"{STAGED}link", f"{STAGED}file", "elsewhere", living.name])


def test_a_workspace_that_is_cleared_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    make, made = files.tempfile.mkdtemp, []

    def cleared(**options):
        made.append(make(**options))
        if len(made) == 1:
            clear_staged(tmp_path)
        return made[-1]

    monkeypatch.setattr(files.tempfile, "mkdtemp", cleared)
    with workspace(tmp_path) as folder:
        assert str(folder) == made[1] and folder.is_dir()


def saved_model(path):
    module = tf.Module()
    module.kernel = tf.Variable(tf.ones(10_000))
    tf.saved_model.save(module, str(path))


WRITERS = {
    "text": lambda path: path.write_text("x" * 10_000),
    "arrays": lambda path: np.savez(path, np.ones(10_000)),
    "safetensors": lambda path: save_file({"kernel": np.ones(10_000)}, path),
    "keras": lambda path: keras.Sequential([keras.Input((100,)), keras.layers.Dense(100)]).save(path),
    "savedmodel": saved_model,
}
ENDINGS = {"keras": ".keras", "arrays": ".npz"}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_named_with_its_cause_whatever_writes(kind, tmp_path):
    path, message = (
        tmp_path / f"a{ENDINGS.get(kind, '')}",
        rf"expected room on the disk of '{tmp_path}'\. Received: {FULL}",
    )
    with pytest.raises(OSError, match=message), room_for(2000), staged_file(path) as staged:
        WRITERS[kind](staged)
    assert names(tmp_path) == []


def test_all_files_have_the_mode_of_new_files(tmp_path):
    Checkpoints(tmp_path).write("a", {"kernel": np.ones(2)}, {})
    (tmp_path / "plain").touch()
    written = [*(tmp_path / "a").iterdir()]
    assert len(written) == 3 and {file.stat().st_mode for file in written} == {(tmp_path / "plain").stat().st_mode}


def test_a_full_disk_is_found_by_a_trial(tmp_path):
    check_room(tmp_path)
    with pytest.raises(OSError, match=f"Received: {FULL}"), room_for(2000):
        check_room(tmp_path)
    assert names(tmp_path) == []
