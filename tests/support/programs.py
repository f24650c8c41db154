"""Programs for the tests of `benchmarks.race`."""

import time


def noting(path, name):
    """Returns a step that appends `name` to a file and takes 5 ms."""

    def step():
        with open(path, "a") as file:  # noqa: PTH123
            file.write(name)
        time.sleep(0.005)

    return step


def allocating(megabytes):
    """Returns a step that writes this many MB."""
    return lambda: bytearray(10**6 * megabytes).count(0)


def failing():
    raise ValueError("no such thing")
