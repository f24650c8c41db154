"""One pure function per equation of the papers.

Shapes: u (N, H, W, c_u) feature, f and r (N, H, W, c_f) data and residual; A maps c_u -> c_f, B maps c_f -> c_u; s1, s2
and sigma are normalisation and activation. A state that is zero may be None: no zeros are stored or convolved.
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

    With u = Pi u' and r = R r' it is the data transfer of He2019 (4.4).
    """
    return r if u is None else r + A(u)


def mapping(x: Tensor, K: Map, s1: Map, s2: Map) -> Tensor:
    """Returns s2(K * s1(x)): the forms of A and B, He2019 (4.7).

    With K = B and a residual x it is the correction e, He2019 (3.4), (4.3).
    """
    return s2(K(s1(x)))


def residual_correction(u: Tensor | None, r: Tensor, e: Tensor, Ae: Tensor) -> tuple[Tensor, Tensor]:
    """Takes one smoothing step, (u + e, r - A * e), He2019 (3.5). It keeps r = f - A * u, Theorem 1."""
    return plus(u, e), r - Ae


def combine(states: Sequence[Tensor | None], weights: Sequence[Any]) -> Tensor | None:
    """Returns the weighted sum of states, sum_j w_j x_j.

    If sum_j w_j = 1, states (u_j, r_j) combined in this way keep r = f - A * u.
    """
    return functools.reduce(plus, (None if x is None else w * x for w, x in zip(weights, states, strict=True)))


def transfer(u: Tensor, r: Tensor, Pi: Map, R: Map, s1: Map, s2: Map) -> tuple[Tensor, Tensor]:
    """Restricts feature and residual to the next grid: (s1(Pi *_2 u), s2(R *_2 r)), He2019 (4.4) with the norms of the code."""
    return s1(Pi(u)), s2(R(r))


def euler(x: Tensor, f: Tensor) -> Tensor:
    """Takes one step of forward Euler: x + f with f = f^i(x), He2019 (2.1).

    With sigma after the sum it is (2.3). With R *_2 x in place of x it is (2.2), and with both (2.4).
    """
    return x + f


def heun(x: Tensor, f: Tensor, predicted: Tensor) -> Tensor:
    """Takes one step of Heun's method: x + (f(x) + f(x + f(x))) / 2, with f = f(x) and predicted = f(x + f)."""
    return x + (f + predicted) / 2


def linear_multistep(x: Tensor, previous: Tensor, f: Tensor, k: Tensor) -> Tensor:
    """Takes one step of the linear two-step method: (1 - k) x + k x^{i-1} + f, Lu2018 (1)."""
    return combine((x, previous), (1 - k, k)) + f


def shares(eta: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """Returns the weights of the two branches of shake-shake: dt/2 +- dt^(1/2) (eta - 1/2), Lu2018 (4).

    For dt = 1 they are eta and 1 - eta.
    """
    first = (dt - dt**0.5) / 2 + dt**0.5 * eta
    return first, dt - first


def mix(f1: Tensor, f2: Tensor, eta: Tensor, dt: float = 1.0) -> Tensor:
    """Mixes the two branches of shake-shake: w_1 f_1 + w_2 f_2 with the `shares` w of eta, Lu2018 (4).

    For dt = 1 it is eta f_1 + (1 - eta) f_2.
    """
    first, second = shares(eta, dt)
    return first * f1 + second * f2


def powers(x: Tensor, maps: Sequence[Map], sigma: Map) -> Tensor:
    """Returns the polynomial F_1 x + F_2 s F_1 x + F_3 s F_2 s F_1 x + ... .

    With s = I and one F for all it is F + F^2 + ..., computed as (I + (I + F) F) F.
    """
    terms = [maps[0](x)]
    for F in maps[1:]:
        terms.append(F(sigma(terms[-1])))
    return sum(terms)


def join(states: Sequence[Tensor], live: Any) -> Tensor:
    """Returns the mean of the live inputs, FractalNet's join: sum_c live_c x_c / sum_c live_c."""
    share = 1 / sum(live[c] for c in range(len(states)))
    return sum(share * live[c] * x for c, x in enumerate(states))


def dense(x: Tensor, f: Map) -> Tensor:
    """Appends f(x) to x along the channels: [x, f(x)] with x = [x_0, ..., x_i] and f(x) = x_{i+1}.

    It is DenseNet's step, a multistep scheme over all states.
    """
    return ops.concatenate([x, f(x)], axis=-1)


def highway(x: Tensor, H: Tensor, T: Tensor) -> Tensor:
    """Returns T (H - x), the right-hand side of the highway layer H T + x (1 - T), Srivastava et al. 2015, Lu2017."""
    return T * (H - x)


def superpose(fs: Sequence[Tensor]) -> Tensor:
    """Returns the sum sum_j f_j(x).

    The f_j are the maps of an N-way or multi-residual block, Lu2017, or everything that drives one state of a recurrent network.
    """
    first, *rest = fs
    return sum(rest, start=first)


def coupling(previous: Tensor, f: Tensor) -> Tensor:
    """Takes one reversible step, RevNet's additive coupling: x^{m-1} + f with f = f^m(x^m). The same step with -f undoes it."""
    return previous + f


def central_differences(x: Tensor, previous: Tensor, f: Tensor, q: float) -> Tensor:
    """Takes one step of central differences for y'' + c y' = g: (2 x - (1 - q) x^{i-1} + f) / (1 + q).

    Here q = c h / 2 and f = h^2 g(x). The same step with -q for q undoes it.
    """
    return (2 * x - (1 - q) * previous + f) / (1 + q)


def root_pair(r: Tensor, A: Map, p: Tensor, q: Tensor) -> Tensor:
    """Returns q(A) r = 2 p r - (p^2 + q^2) A * r, for a pair of roots z and conj(z) with p + iq = 1 / z (Poly-MgNet).

    Its residual polynomial is I - A q(A) = (I - A / z)(I - A / conj(z)).
    """
    return scaled(r, 2 * p) - scaled(A(r), p * p + q * q)


def single_layer(x: Tensor, W: Map, b: Tensor, sigma: Map) -> Tensor:
    """Returns sigma(W x + b), the right-hand side of the stable networks, Haber & Ruthotto 2017. W is one of K, K^T, K - K^T."""
    return sigma(W(x) + b)


def damped(x: Tensor, W: Map, gamma: float) -> Tensor:
    """Returns (W x - gamma x) / 2. With W = K - K^T it is the damped antisymmetric operator of Lu2017."""
    return (W(x) - gamma * x) / 2
