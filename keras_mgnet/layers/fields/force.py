"""The functions f in x' = f(x) of the stable networks. Most combine a convolution K with its adjoint K^T.

`keras_mgnet.HamiltonianNet` says what follows for the eigenvalues of the Jacobian, and what does not follow for deep networks.
"""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_mgnet.annotations import Activation, DType, Map, Shape, Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import steps
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.operators.conv import Conv
from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.serialization import serializable


@serializable
class SkewConv(Conv):
    """Convolves with K - K^T, where K is a convolution and K^T its adjoint. The eigenvalues of K - K^T are imaginary.

    Input and output have the same number of channels. Arguments as in `Conv`.

    Example:
        >>> x = ops.ones((1, 4, 4, 2))
        >>> abs(float(ops.sum(x * SkewConv(2)(x)))) < 1e-5
        True
    """

    def build(self, input_shape: Shape) -> None:
        if input_shape[-1] != self.filters:
            raise ValueError(
                f"expected an input of {self.filters} channels. Received: input_shape={tuple(input_shape)}"
            )
        super().build(input_shape)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        adjoint = ops.transpose(ops.flip(ops.flip(kernel, 0), 1), (0, 1, 3, 2))  # Keras before 3.15 flips one axis
        return super().convolution_op(inputs, kernel - adjoint)


def _adjoint(K: Conv) -> Map:
    return lambda y: K.adjoint(y, ops.shape(y)[1:3])


# The class of K, and the force as a function of x, K, b, the activation s and gamma.
FORMS: dict[str, tuple[type[Conv], Callable[..., Tensor]]] = {
    "single": (Conv, lambda x, K, b, s, gamma: steps.single_layer(x, K, b, s)),
    "adjoint": (Conv, lambda x, K, b, s, gamma: steps.single_layer(x, _adjoint(K), b, s)),
    "gradient": (Conv, lambda x, K, b, s, gamma: _adjoint(K)(steps.single_layer(x, K, b, s))),
    "identity": (Conv, lambda x, K, b, s, gamma: x),
    "skew": (SkewConv, lambda x, K, b, s, gamma: steps.single_layer(x, K, b, s)),
    "damped_skew": (
        SkewConv,
        lambda x, K, b, s, gamma: steps.single_layer(x, lambda x: steps.damped(x, K, gamma), b, s),
    ),
}

# The methods of `Coupling` with the forces of a block. h is the step size, which the factors of the forces contain.
COUPLINGS = {
    ("gradient", "gradient"): Method(
        "symplectic Euler",
        "Y <- Y + h K_1^T s(K_1 Z + b_1), Z <- Z - h K_2^T s(K_2 Y + b_2)",
        "1; 2 with Z read at half steps",
        "Y' = K_1^T s(K_1 Z + b_1), Z' = -K_2^T s(K_2 Y + b_2)",
    ),
    ("skew",): Method(
        "explicit midpoint rule, begun by forward Euler",
        "Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b)",
        "2",
        "Y' = s((K - K^T) Y + b)",
    ),
    ("gradient", "identity"): Method(
        "leapfrog (Stoermer)",
        "Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), Y_{-1} = Y_0",
        "2 with Y' read at half steps, else 1",
        "Y'' = -K^T s(K Y + b), Y'(0) = 0",
    ),
    ("adjoint", "single"): Method(
        "Stoermer-Verlet",
        "Z <- Z - h s(K^T Y + b), Y <- Y + h s(K Z + b)",
        "2 with Z read at half steps, else 1",
        "Y' = s(K Z + b), Z' = -s(K^T Y + b)",
    ),
    # The state is (w, r) with w = v + h F / 2. A step computes w <- w + h F, then r <- r + h w, so that each F is computed once.
    # The first step adds only h F / 2 to w.
    ("single", "identity"): Method(
        "velocity Verlet",
        "r <- r + h v + h^2 F / 2, v <- v + h (F + F') / 2, F = s(K r + b), F' that of the new r",
        "2",
        "r' = v, v' = s(K r + b), v(0) = 0",
    ),
}


@serializable
class Force(Field):
    """The increment w_i g_i(x) of a stable network in iteration i. K is a 3x3 convolution, b a bias, s the activation.

    - "single": g_i(x) = s(K x + b).
    - "adjoint": g_i(x) = s(K^T x + b).
    - "gradient": g_i(x) = K^T s(K x + b).
    - "identity": g_i(x) = x.
    - "skew": g_i(x) = s((K - K^T) x + b).
    - "damped_skew": g_i(x) = s((K - K^T - gamma I) x / 2 + b).

    The shape (N, H, W, channels) is preserved. Sources: Haber & Ruthotto 2017; Chang et al. 2018; Lu2017.

    Args:
        channels: number of channels of x.
        forms: the name of g_i for each iteration, as above.
        factors: w_i for each iteration, including the step size.
        shared: whether all iterations share one K and one b. By default each iteration has its own K and b. "skew" and
            "damped_skew" share K only with each other.
        inner: the other number of channels of K; None for `channels`. With another number K is not square. "gradient", alone or
            with "identity": K maps `channels` to `inner`. "single" and "adjoint": K maps `inner` to `channels`, so "single" takes
            x with `inner` channels, and "adjoint" returns as many. The two then have biases of their own.
        gamma: gamma of "damped_skew".
        activation: s.
        init: kernel initialiser, a key of `conv.INITIALIZERS`. b starts at zero.

    Example:
        >>> f = Force(4, ("gradient", "gradient"), (0.1, -0.1))
        >>> tuple(f(ops.ones((1, 8, 8, 4)), i=1).shape), [weight.name for weight in f.weights]
        ((1, 8, 8, 4), ['b0', 'b1', 'kernel', 'kernel'])
    """

    damped = Method(
        "forward Euler, damped",
        "Y <- Y + h s((K - K^T - gamma I) Y / 2 + b)",
        "1",
        "Y' = s((K - K^T - gamma I) Y / 2 + b)",
    )
    parabolic = Method("forward Euler, parabolic", "Y <- Y - h K^T s(K Y + b)", "1", "Y' = -K^T s(K Y + b)")

    def __init__(
        self,
        channels: int,
        forms: Sequence[str],
        factors: Sequence[float],
        *,
        shared: bool = False,
        inner: int | None = None,
        gamma: float = 0.0,
        activation: Activation = "relu",
        init: str = "he_fan_out",
        name: str | None = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        for form in forms:
            check_known("force", form, FORMS)
        if shared and len({FORMS[form][0] for form in forms}) > 1:
            raise ValueError(
                f"expected no forms with K - K^T beside others with shared=True. Received: forms={tuple(forms)!r}"
            )
        self.crossed = inner is not None and set(forms) <= {"single", "adjoint"}
        if inner is not None and not self.crossed and not set(forms) <= {"gradient", "identity"}:
            raise ValueError(f"expected inner only with K or K^T in all forms. Received: forms={tuple(forms)!r}")
        self.channels, self.inner = channels, channels if inner is None else inner
        self.forms, self.factors, self.gamma = tuple(forms), tuple(factors), gamma
        self.uses, self.sigma = len(self.forms), keras.activations.get(activation)
        known = {"gradient": self.parabolic, "damped_skew": self.damped}
        self.by_euler, self.by_coupling = known.get("".join(set(self.forms))), COUPLINGS.get(self.forms)
        names = ["K"] if shared else [f"K{i}" for i in range(self.uses)]
        kinds = [FORMS[form][0] for form in self.forms[: len(names)]]
        options = {"init": init, "dtype": self.dtype_policy}
        filters = channels if self.crossed else self.inner
        self.K = [K(filters, name=name, **options) for K, name in zip(kinds, names, strict=True)]

    def build(self, input_shape: Shape) -> None:
        sizes = [self.inner] * len(self.K)
        if self.crossed:
            input_shape = (*input_shape[:-1], self.inner)
            sizes = [self.inner if form == "adjoint" else self.channels for form in self.forms]
        for K in self.K:
            K.build(input_shape)
        self.b = [self.add_weight(shape=(size,), initializer="zeros", name=f"b{i}") for i, size in enumerate(sizes)]

    def call(self, x: Tensor, i: int = 0) -> Tensor:
        K, b = (family[min(i, len(family) - 1)] for family in (self.K, self.b))
        _, force = FORMS[self.forms[i]]
        return self.factors[i] * force(x, K, b, self.sigma, self.gamma)
