"""Runs commands of `keras-mgnet` inside the process of the tests."""

import json

from typer.testing import CliRunner

from keras_mgnet.cli import command_line


def invoke(*arguments):
    return invoked(arguments).output


def document(*arguments):
    """Returns the one JSON document that a command writes to standard output."""
    return json.loads(invoked([*arguments, "--json"]).stdout)


def invoked(arguments):
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(command_line(words), words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result
