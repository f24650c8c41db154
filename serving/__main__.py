"""`python -m keras_mgnet.serving BASE`: the embedded server alone, for containers and tests."""

import typer

from keras_mgnet.serving.server import serve

if __name__ == "__main__":
    typer.run(serve)
