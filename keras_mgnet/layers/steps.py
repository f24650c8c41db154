"""One pure function per equation of the papers.

Shapes: u (N, H, W, c_u) feature, f and r (N, H, W, c_f) data and residual; A maps c_u -> c_f, B maps c_f -> c_u; s1, s2
and sigma are normalisation and activation. A feature u that is zero may be the number 0.0: no zeros are stored or convolved.
"""


def residual(f, u, A):
    """r = f - A * u, He2019 (3.4)."""
    return f if isinstance(u, float) else f - A(u)


def data(r, u, A):
    """f = r + A * u, the inverse of `residual`: with u = Pi u' and r = R r' the data transfer of He2019 (4.4)."""
    return r if isinstance(u, float) else r + A(u)


def correction(r, B, s1, s2):
    """e = s2(B * s1(r)): the smoother's answer to a residual, He2019 (3.4), (4.3)."""
    return s2(B(s1(r)))


def residual_correction(u, r, A, e):
    """(u + e, r - A * e): one smoothing step that keeps r = f - A * u, He2019 (3.5), Theorem 1."""
    return u + e, r - A(e)


def combine(states, weights):
    """sum_j w_j s_j over states of equal layout; with sum_j w_j = 1 every state keeps r = f - A * u."""
    return tuple(sum(w * x for w, x in zip(weights, parts, strict=True)) for parts in zip(*states, strict=True))


def transfer(u, r, Pi, R, s1, s2):
    """(s1(Pi *_2 u), s2(R *_2 r)): restriction of feature and residual to the next grid, He2019 (4.4) with the code's norms."""
    return s1(Pi(u)), s2(R(r))


def euler(x, f):
    """x + f: forward Euler with f = f^i(x), He2019 (2.1), (2.3) with sigma behind it; with R *_2 x for x, (2.2), (2.4)."""
    return x + f


def linear_multistep(x, previous, f, k):
    """(1 - k) x + k x^{i-1} + f: the linear two-step method, Lu2018 (1); a previous state that is zero may be 0.0."""
    return (1 - k) * x + k * previous + f
