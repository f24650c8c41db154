"""`keras-mgnet` and `python -m keras_mgnet` run the command line, or say in one line what it needs."""

import sys

from keras_mgnet.extras import CLI, require


def start() -> None:
    """Runs the command line with the arguments of this process."""
    try:
        require(CLI, "typer", "pydantic", "PIL")
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    from keras_mgnet.cli.start import start as run

    run()


if __name__ == "__main__":
    start()
