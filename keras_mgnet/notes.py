"""Hides messages of C++ libraries on standard error that no setting turns off."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden_notes() -> Iterator[None]:
    """A context that hides standard error. If the body raises an error, everything hidden is printed."""
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(standard_error, notes.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
