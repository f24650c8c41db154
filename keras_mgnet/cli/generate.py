"""`generate`: makes pairs of functions, such as coefficients and solutions of a boundary value problem."""

from dataclasses import dataclass

from keras_mgnet.cli.options import from_fields
from keras_mgnet.configuration import option
from keras_mgnet.console import say
from keras_mgnet.multigrid.problems import ProblemConfig, write_pairs


@dataclass(frozen=True)
class GenerateConfig(ProblemConfig):
    """A `ProblemConfig` and the file for its pairs."""

    out: str = option("pairs.npz", "the .npz file to write, with the arrays x, y and residual")


@from_fields(GenerateConfig, positional="problem")
def generate_command(config: GenerateConfig) -> None:
    """Make pairs of functions: coefficients or right-hand sides, and the solutions of the equations.

    Example:
        keras-mgnet generate darcy --samples 1000 --grid 64 --out darcy.npz
    """
    made = write_pairs(config, config.out)
    count, n, *_ = made["shape"]
    say(f"wrote {config.out}: {count:,} pairs on {n} x {n} points, largest relative residual {made['residual']:.1e}")
