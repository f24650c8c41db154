"""A disk that is full."""

import errno
import os
import resource
from contextlib import contextmanager

FULL = os.strerror(errno.EFBIG)


@contextmanager
def room_for(count):
    """No file may grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
