"""Programs for a race."""

import time


def noting(path, name):
    """A program whose step adds its name to a file."""

    def step():
        with open(path, "a") as file:  # noqa: PTH123
            file.write(name)
        time.sleep(0.005)

    return step


def failing():
    raise ValueError("no such thing")
