"""Checkpoints: directories that are written completely or not at all. A hash of every file reveals damage."""

import json
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from keras_mgnet.files import file_digest, publish, workspace
from keras_mgnet.schema import read_json

ARRAYS, STATE, MANIFEST = "arrays.safetensors", "state.json", "manifest.json"


class DamagedCheckpointError(ValueError):
    """Raised if files of a checkpoint are missing, or differ from the files that were written."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run. Each checkpoint is a directory. Sorted by name, the oldest checkpoint comes first.

    A checkpoint has three files: arrays.safetensors, state.json and manifest.json. The manifest contains the run, the name of the
    checkpoint, and the length and SHA-256 of the other two files.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     checkpoints = Checkpoints(Path(out))
        ...     checkpoints.write("epoch-000001", {"w": np.ones(2)}, {"step": 7})
        ...     checkpoints.names(), checkpoints.read("epoch-000001")[1]
        (['epoch-000001'], {'step': 7})
    """

    directory: Path
    run: str = ""  # see `identity.digest`; a checkpoint of another run counts as damaged
    state: Any = dict[str, Any]  # type of the state that `read` returns

    def names(self) -> list[str]:
        """Returns the names of all checkpoints, oldest first."""
        return sorted(path.name for path in self.directory.glob("[!.]*") if path.is_dir())

    def write(self, name: str, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Writes a checkpoint and flushes the files to disk.

        If an intact checkpoint has this name, nothing is written. A damaged checkpoint with this name is replaced. If writing
        fails, the method raises OSError, and all earlier checkpoints are unchanged.
        """
        if (self.directory / name).exists():
            with suppress(DamagedCheckpointError):
                self.read(name)
                return
        with workspace(self.directory) as folder:
            staged = folder / name
            staged.mkdir()
            save_file({key: np.asarray(array, order="C") for key, array in arrays.items()}, staged / ARRAYS)
            (staged / STATE).write_text(json.dumps(state))
            (staged / MANIFEST).write_text(json.dumps(self._manifest(name, staged)))
            if (self.directory / name).exists():
                (self.directory / name).replace(folder / "replaced")
            publish(staged, self.directory / name)

    def read(self, name: str) -> tuple[dict[str, np.ndarray], Any]:
        """Returns (arrays, state) of a checkpoint.

        Raises DamagedCheckpointError if a file is missing, truncated or changed, if a file belongs to another checkpoint, or if
        the state is not of its type.
        """
        folder = self.directory / name
        try:
            manifest = read_json(folder / MANIFEST, dict[str, Any], "a manifest")
            if manifest != self._manifest(name, folder):
                raise ValueError("its files do not match its manifest, or belong to another run")
            return load_file(folder / ARRAYS), read_json(folder / STATE, self.state, "the state of a run")
        except (OSError, ValueError, SafetensorError) as error:
            raise DamagedCheckpointError(f"expected an intact checkpoint. Received: '{folder}' ({error})") from error

    def newest(self) -> tuple[str, dict[str, np.ndarray], Any] | None:
        """Returns (name, arrays, state) of the newest intact checkpoint, or None if there is none.

        A damaged checkpoint is skipped with a warning.
        """
        for name in reversed(self.names()):
            try:
                return name, *self.read(name)
            except DamagedCheckpointError as error:
                warnings.warn(f"skipped a damaged checkpoint: {error}", stacklevel=2)
        return None

    def prune(self, newest: str, keep: int, protected: Iterable[str] = ()) -> None:
        """Removes all checkpoints except the protected ones and the last `keep` up to `newest`.

        `newest` is the newest intact checkpoint. Checkpoints after `newest` are damaged and are removed too.
        """
        names = self.names()
        kept = [name for name in names if name <= newest][-keep:]
        for name in set(names) - {*kept, *protected}:
            with workspace(self.directory) as folder:  # moved first: a half-removed checkpoint would look damaged
                (self.directory / name).replace(folder / name)

    def _manifest(self, name: str, folder: Path) -> dict[str, Any]:
        return {"run": self.run, "name": name, "files": {f: file_digest(folder / f) for f in (ARRAYS, STATE)}}
