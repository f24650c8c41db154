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
        note: what else is to be said.
    """

    title: str
    classes: tuple[type | Method, ...]
    functions: tuple[Callable, ...]
    note: str = ""


WEAK = r"""\
### Weak orders of stochastic depth and shake-shake

Stochastic depth and shake-shake draw random numbers in place of the increments of a Brownian motion. So they approximate the
distribution of the solution, and not its paths: they have a weak order, and no strong order. Lu2018 writes stochastic depth with
a step size dt as

$$x_{n+1} = x_n + dt\, p f(x_n) + dt^{1/2} (\eta_n - p) f(x_n).$$

Weak order 1 needs a third moment of the random numbers of $O(dt^2)$, Lu2018 (5). A uniform number has the third moment 0.
$dt^{1/2} (\eta_n - p)$ has the third moment $p (1 - p) (1 - 2 p)\, dt^{3/2}$. So the weak order is 1 for p = 1/2, and 1/2 for any
other fixed p. The paper assumes $1 - 2 p = O(dt^{1/2})$, which also gives order 1.

The table has the error of the mean of x^3 at t = 1, for f(x) = x and x(0) = 1. `tests/layers/schemes/test_weak_order.py` computes
it without random numbers.

| dt | p = 1/2 | p = 4/5 |
|---|---|---|
| 1e-3 | 1.3e-02 | 8.7e-02 |
| 1e-4 | 1.3e-03 | 2.0e-02 |
| 1e-5 | 1.3e-04 | 5.7e-03 |
| 1e-6 | 1.3e-05 | 1.7e-03 |"""


TWO_STEP = r"""\
### The modified equation of the two-step method

Write $f = dt\, g$ and expand $x_{n+1}$ and $x_{n-1}$ about $x_n$. The two-step method then reads

$$(1 + k) x' + (1 - k) \frac{dt}{2} x'' = g(x) + O(dt^2),$$

which is Lu2018 (3). The method approximates this modified equation with order 2, and its limit $(1 + k) x' = g(x)$ with
order 1. Halving dt divides the first error by 4 and the second by 2 (`tests/layers/schemes/test_two_step.py` measures both).
For k = 0 this is the modified equation of ResNet, Lu2018 (2).

For k < 0 the factor of x'' is larger than in ResNet, and that of x' is smaller. The paper explains LM-ResNet in this way: x'' is
an acceleration, which speeds up convergence if g is a negative gradient. The paper reports that most trained k lie in (-1, 1),
and that the last ones are negative and close to -1.

### The two-step method in any residual network

`ResNet`, `PreActResNet`, `ResNeXt`, `PolyNet`, `MultiResNet` and `RevNet` have it as `scheme="linear_multistep"`. With k = 0 they
are the networks without it. FractalNet has no such form: it has one block per grid, so there is no earlier state of the same
shape.

### The two-step method with stochastic depth

Lu2018, section 3.2, adds noise to the second-order equation $X'' + g X' = f(X)$:

$$dX = Y dt, \quad dY = p f(X) dt + (p (1 - p))^{1/2} f(X) dW - g Y dt.$$

A step with $\eta_n \sim \text{Bernoulli}(p)$ approximates it weakly:

$$Y_{n+1} = Y_n + dt\, p f(X_n) + dt^{1/2} (\eta_n - p) f(X_n) - dt\, g Y_n, \quad X_{n+1} = X_n + dt\, Y_{n+1}.$$

For a linear f the second moments have order 1, which the same tests measure. The third moments have order 1 for p = 1/2 and else
order 1/2, as in stochastic depth. For dt = 1 the step is the two-step method with k = g - 1 and stochastic depth:

$$X_{n+1} = (2 - g) X_n - (1 - g) X_{n-1} + \eta_n f(X_n).$$

The paper prints this with + g: its $g_n$ has the opposite sign of the g in its equation."""


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
        note=WEAK,
    ),
    Section(
        "Several states at once",
        (layers.LinearMultistep, layers.CoupledMultistep, layers.Dense),
        (steps.linear_multistep, steps.dense),
        note=TWO_STEP,
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
    parts = (f"## {section.title}", methods, f"```python\n{code}\n```", section.note)
    return "\n\n".join(filter(None, parts))
