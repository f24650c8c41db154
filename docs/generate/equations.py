"""The equations beside the functions that compute them."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

from keras_mgnet.layers import steps
from keras_mgnet.layers.diffusion import reaction_diffusion
from keras_mgnet.markdown import table
from keras_mgnet.models.methods import METHODS


class Section(NamedTuple):
    """Schemes that share functions.

    Attributes:
        title: its heading.
        methods: keys of METHODS.
        functions: what a step of theirs calls.
    """

    title: str
    methods: tuple[str, ...]
    functions: tuple[Callable, ...]


SECTIONS = [
    Section(
        "Residual correction",
        ("residual_correction", "damped", "chebyshev", "multistep", "polynomial", "vcycle", "feature_iteration"),
        (
            *(steps.residual, steps.mapping, steps.residual_correction, steps.combine, steps.root_pair),
            *(steps.transfer, steps.data),
        ),
    ),
    Section(
        "Forward and backward Euler",
        ("euler", "stochastic_euler", "shake", "euler_sum", "recurrent", "highway", "neumann"),
        (steps.euler, steps.mix, steps.superpose, steps.highway, steps.powers),
    ),
    Section(
        "Several states at once",
        ("linear_multistep", "stochastic_two_step", "dense"),
        (steps.linear_multistep, steps.dense),
    ),
    Section("Runge-Kutta", ("runge_kutta",), (steps.join,)),
    Section(
        "Symplectic and stable schemes",
        ("coupling", "hamiltonian", "midpoint", "leapfrog", "verlet", "antisymmetric"),
        (steps.coupling, steps.single_layer, steps.damped),
    ),
    Section("Reaction-diffusion", ("reaction_diffusion",), (reaction_diffusion,)),
]


def equations() -> str:
    """Returns all sections."""
    return "\n\n".join(map(_section, SECTIONS))


def _section(section: Section) -> str:
    rows = [(m.name, f"`{m.step}`", m.order, f"`{m.equation}`") for m in map(METHODS.get, section.methods)]
    code = "\n\n\n".join(inspect.getsource(function).strip() for function in section.functions)
    methods = table(("method", "one iteration", "order", "solves"), rows)
    return f"## {section.title}\n\n{methods}\n\n```python\n{code}\n```"
