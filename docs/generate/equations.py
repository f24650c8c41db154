"""The equations beside the functions that compute them."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

from tex import inline

from keras_mgnet import layers
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.diffusion import reaction_diffusion
from keras_mgnet.layers.fields.force import COUPLINGS
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.layers.schemes.two_step import SecondOrder
from keras_mgnet.reporting import table


class Section(NamedTuple):
    """Schemes that share functions.

    Attributes:
        title: its heading.
        classes: classes with their methods, or methods.
        functions: what a step of theirs calls.
    """

    title: str
    classes: tuple[type | Method, ...]
    functions: tuple[Callable, ...]


SECTIONS = [
    Section(
        "Residual correction",
        (
            *(layers.ResidualCorrection, layers.Damped, layers.Chebyshev, layers.Multistep, layers.PolynomialSmoother),
            *(layers.DataCorrection, layers.CycleLevel),
        ),
        (
            *(steps.plus, steps.residual, steps.mapping, steps.residual_correction, steps.combine, steps.root_pair),
            *(steps.transfer, steps.data),
        ),
    ),
    Section(
        "Forward and backward Euler",
        (
            *(layers.Euler, layers.Blocks, layers.Shake, layers.Sum, layers.EulerSystem, layers.Highway, layers.Poly),
            layers.Force,
        ),
        (steps.euler, steps.shares, steps.mix, steps.superpose, steps.highway, steps.powers, steps.damped),
    ),
    Section(
        "Several states at once",
        (layers.LinearMultistep, layers.CoupledMultistep, layers.Dense),
        (steps.linear_multistep, steps.dense),
    ),
    Section("Runge-Kutta", (layers.Heun, layers.FractalLevel), (steps.heun, steps.join)),
    Section(
        "Reversible schemes",
        (layers.Coupling, *COUPLINGS.values(), SecondOrder),
        (steps.coupling, steps.central_differences, steps.single_layer),
    ),
    Section("Reaction-diffusion", (layers.EulerFromData,), (reaction_diffusion,)),
]


def equations() -> str:
    """Returns all sections."""
    return "\n\n".join(map(_section, SECTIONS))


def _methods(cls: type | Method) -> list[Method]:
    return [cls] if isinstance(cls, Method) else [m for m in vars(cls).values() if isinstance(m, Method)]


def _section(section: Section) -> str:
    found = [m for cls in section.classes for m in _methods(cls)]
    rows = [(m.name, inline(m.step), m.order, inline(m.equation)) for m in found]
    code = "\n\n\n".join(inspect.getsource(function).strip() for function in section.functions)
    methods = table(("method", "one iteration", "order", "solves"), rows)
    return f"## {section.title}\n\n{methods}\n\n```python\n{code}\n```"
