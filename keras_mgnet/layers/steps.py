"""The equations of the papers as pure functions.

Symbols: docs/reference/symbols.md. In the equations, K * x is a convolution and K *_2 x is a convolution with stride 2.

- u is the feature, with shape (N, H, W, c_u).
- f is the data and r the residual, both with shape (N, H, W, c_f).
- A is a convolution from c_u to c_f channels, and B is a convolution from c_f to c_u channels.
- sigma is the activation. s1 and s2 are each a norm followed by sigma.
- x is the newest state. A superscript counts iterations: x^i is the state after iteration i.

None stands for a state that is zero, so no zeros are stored or convolved.
"""

import functools
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mgnet.annotations import Map, Tensor
from keras_mgnet.layers.separable import scaled


def plus(x: Tensor | None, y: Tensor | None) -> Tensor | None:
    """Returns x + y; None counts as zero."""
    return y if x is None else x if y is None else x + y


def residual(f: Tensor, u: Tensor | None, A: Map) -> Tensor:
    """Returns the residual r = f - A * u, He2019 (3.4)."""
    return f if u is None else f - A(u)


def data(r: Tensor, u: Tensor | None, A: Map) -> Tensor:
    """Returns the data f = r + A * u, the inverse of `residual`.

    On a new grid, u and r are the restricted feature and residual. f is then the data of the new grid, He2019 (4.4).
    """
    return r if u is None else r + A(u)


def mapping(x: Tensor, K: Map, s1: Map, s2: Map) -> Tensor:
    """Returns s2(K * s1(x)), a convolution between two norms or activations, He2019 (4.7).

    For K = B and the residual x = r, the result is the correction e, He2019 (3.4), (4.3).
    """
    return s2(K(s1(x)))


def residual_correction(u: Tensor | None, r: Tensor, e: Tensor, Ae: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (u + e, r - A * e), one smoothing step, He2019 (3.5). The equation r = f - A * u stays true, He2019 Theorem 1."""
    return plus(u, e), r - Ae


def combine(states: Sequence[Tensor | None], weights: Sequence[Any]) -> Tensor | None:
    """Returns the weighted sum of states, sum_j w_j x_j.

    If r_j = f - A * u_j for all j and sum_j w_j = 1, then the weighted sums u and r also satisfy r = f - A * u.
    """
    return functools.reduce(plus, (None if x is None else w * x for w, x in zip(weights, states, strict=True)))


def transfer(u: Tensor, r: Tensor, Pi: Map, R: Map, s1: Map, s2: Map) -> tuple[Tensor, Tensor]:
    """Restricts u and r to the next grid: (s1(Pi *_2 u), s2(R *_2 r)), He2019 (4.4) with the norms of the authors' code."""
    return s1(Pi(u)), s2(R(r))


def euler(x: Tensor, f: Tensor) -> Tensor:
    """Returns x + f with f = f^i(x), one step of forward Euler, He2019 (2.1).

    He2019 has three variants. (2.2) replaces x by its restriction R *_2 x. (2.3) applies sigma to the sum. (2.4) does both.
    """
    return x + f


def heun(x: Tensor, f: Tensor, predicted: Tensor) -> Tensor:
    """Returns x + (f(x) + f(x + f(x))) / 2, one step of Heun's method. `f` is f(x), and `predicted` is f(x + f(x))."""
    return x + (f + predicted) / 2


def linear_multistep(x: Tensor, previous: Tensor, f: Tensor, k: Tensor) -> Tensor:
    """Returns (1 - k) x + k previous + f, one step of the linear two-step method, Lu2018 (1). x is x^i, `previous` is x^{i-1}."""
    return combine((x, previous), (1 - k, k)) + f


def shares(eta: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """Returns the weights of the two branches of shake-shake: dt/2 +- dt^(1/2) (eta - 1/2), Lu2018 (4).

    eta is a random number in [0, 1] and dt the step size. For dt = 1 the weights are eta and 1 - eta.
    """
    first = (dt - dt**0.5) / 2 + dt**0.5 * eta
    return first, dt - first


def mix(f1: Tensor, f2: Tensor, eta: Tensor, dt: float = 1.0) -> Tensor:
    """Returns w_1 f_1 + w_2 f_2, the sum of the two branches of shake-shake, Lu2018 (4). `shares` gives w_1 and w_2.

    For dt = 1 the sum is eta f_1 + (1 - eta) f_2.
    """
    first, second = shares(eta, dt)
    return first * f1 + second * f2


def powers(x: Tensor, maps: Sequence[Map], sigma: Map) -> Tensor:
    """Returns the polynomial F_1(x) + F_2(sigma(F_1(x))) + F_3(sigma(F_2(sigma(F_1(x))))) + ... .

    If sigma is the identity and all F_j are one F, the result is F(x) + F^2(x) + F^3(x) + ... .
    """
    terms = [maps[0](x)]
    for F in maps[1:]:
        terms.append(F(sigma(terms[-1])))
    return sum(terms)


def join(states: Sequence[Tensor], live: Any) -> Tensor:
    """Returns FractalNet's join, sum_c live_c x_c / sum_c live_c.

    live_c is 1 or 0. Drop-path sets live_c = 0 for the inputs x_c that it drops, so the join is the mean of the other inputs.
    """
    share = 1 / sum(live[c] for c in range(len(states)))
    return sum(share * live[c] * x for c, x in enumerate(states))


def dense(x: Tensor, f: Map) -> Tensor:
    """Appends f(x) to x along the channels: returns [x, f(x)], one step of DenseNet.

    With x = [x_0, ..., x_i] and f(x) = x_{i+1}, the step is a multistep scheme over all states.
    """
    return ops.concatenate([x, f(x)], axis=-1)


def highway(x: Tensor, H: Tensor, T: Tensor, C: Tensor | None = None) -> Tensor:
    """Returns T (H - x) or T H - (1 - C) x, the increment of a highway layer, Srivastava et al. 2015, Lu2017.

    H is the output of a plain layer, T is the transform gate and C the carry gate. The highway layer is H T + x C. None stands
    for C = 1 - T.
    """
    return T * (H - x) if C is None else T * H - (1 - C) * x


def superpose(fs: Sequence[Tensor]) -> Tensor:
    """Returns sum_j f_j(x).

    In an N-way or multi-residual block, the f_j are the branches, Lu2017. In a recurrent network, they are the terms that the
    states add to one of the states.
    """
    first, *rest = fs
    return sum(rest, start=first)


def coupling(previous: Tensor, f: Tensor) -> Tensor:
    """Returns previous + f, RevNet's additive coupling with previous = x^{i-1} and f = f^i(x^i).

    The same step with -f is the inverse step.
    """
    return previous + f


def central_differences(x: Tensor, previous: Tensor, f: Tensor, q: float) -> Tensor:
    """Returns (2 x - (1 - q) previous + f) / (1 + q), one step of central differences for y'' + c y' = g(y).

    c is the damping, h is the step size, q = c h / 2 and f = h^2 g(x). The state x is y_j, and `previous` is y_{j-1}.
    The same step with -q in place of q is the inverse step.
    """
    return (2 * x - (1 - q) * previous + f) / (1 + q)


def root_pair(r: Tensor, A: Map, p: Tensor, q: Tensor) -> Tensor:
    """Returns B r = 2 p r - (p^2 + q^2) A * r, the smoother of Poly-MgNet for two roots z and conj(z). Here p + iq = 1 / z.

    The roots are those of the residual polynomial I - A B = (I - A / z)(I - A / conj(z)).
    """
    return scaled(r, 2 * p) - scaled(A(r), p * p + q * q)


def single_layer(x: Tensor, W: Map, b: Tensor, sigma: Map) -> Tensor:
    """Returns sigma(W x + b), the right-hand side of the stable networks, Haber & Ruthotto 2017.

    K is a convolution, and W is K, K^T or K - K^T.
    """
    return sigma(W(x) + b)


def damped(x: Tensor, W: Map, gamma: float) -> Tensor:
    """Returns (W x - gamma x) / 2. For W = K - K^T this applies the damped antisymmetric operator of Lu2017 to x."""
    return (W(x) - gamma * x) / 2
