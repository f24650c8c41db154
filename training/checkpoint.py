"""Checkpoints: one directory each, written whole, with the hash of every file, so that damage is found before it is used."""

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from keras_mgnet.files import publish, workspace

ARRAYS, STATE, MANIFEST = "arrays.safetensors", "state.json", "manifest.json"


class DamagedCheckpointError(ValueError):
    """A checkpoint whose files are not those that were written."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run. Names sort by age.

    Attributes:
        directory: that holds them, one directory each: arrays.safetensors, state.json, and manifest.json with the name, and
            the length and SHA-256 of the other two.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     checkpoints = Checkpoints(Path(out))
        ...     checkpoints.write("epoch-0001", {"w": np.ones(2)}, {"step": 7})
        ...     checkpoints.names(), checkpoints.read("epoch-0001")[1]
        (['epoch-0001'], {'step': 7})
    """

    directory: Path

    def names(self) -> list[str]:
        """Returns the names of all checkpoints, the oldest first."""
        return sorted(path.name for path in self.directory.glob("[!.]*") if path.is_dir())

    def write(self, name: str, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Writes a checkpoint through to the disk; one of the same name is replaced.

        Raises:
            OSError: where it cannot be written. All that was there before is still there then.
        """
        with workspace(self.directory) as folder:
            staged = folder / name
            staged.mkdir()
            save_file({key: np.asarray(array, order="C") for key, array in arrays.items()}, staged / ARRAYS)
            (staged / STATE).write_text(json.dumps(state))
            manifest = {"name": name, "files": {file: _fingerprint(staged / file) for file in (ARRAYS, STATE)}}
            (staged / MANIFEST).write_text(json.dumps(manifest))
            if (self.directory / name).exists():
                (self.directory / name).replace(folder / "replaced")
            publish(staged, self.directory / name)

    def read(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Returns (arrays, state).

        Raises:
            DamagedCheckpointError: where a file is missing, truncated, changed, or belongs to another checkpoint.
        """
        folder = self.directory / name
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            expected = {"name": name, "files": {file: _fingerprint(folder / file) for file in (ARRAYS, STATE)}}
            if manifest != expected:
                raise ValueError("its files are not those of its manifest")
            return load_file(folder / ARRAYS), json.loads((folder / STATE).read_text())
        except (OSError, ValueError) as error:
            raise DamagedCheckpointError(f"expected an intact checkpoint. Received: '{folder}' ({error})") from error

    def newest(self) -> tuple[str, dict[str, np.ndarray], dict[str, Any]] | None:
        """Returns (name, arrays, state) of the newest intact checkpoint, None where there is none.

        Damaged ones are skipped with a warning that names them.
        """
        for name in reversed(self.names()):
            try:
                return name, *self.read(name)
            except DamagedCheckpointError as error:
                warnings.warn(f"skipped a damaged checkpoint: {error}", stacklevel=2)
        return None

    def prune(self, keep: int, protected: Iterable[str] = ()) -> None:
        """Removes all but the newest `keep` checkpoints and the protected ones."""
        for name in set(self.names()[:-keep]) - set(protected):
            with workspace(self.directory) as folder:  # a half-removed checkpoint would look like a damaged one
                (self.directory / name).replace(folder / name)


def _fingerprint(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
