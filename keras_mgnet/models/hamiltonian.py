"""Stable networks: Hamiltonian, midpoint, leapfrog (Chang et al. 2018), Verlet and antisymmetric (Haber, Ruthotto 2017)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Unpack

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Coupling, Euler, Field, Force, Halves, InTurn, Level, Rest, Scheme, ZeroPadding
from keras_mgnet.layers.schemes.two_step import SecondOrder
from keras_mgnet.models.checks import even_integers, positive_integers, within
from keras_mgnet.models.family import Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, two_states
from keras_mgnet.serialization import serializable


class Form(NamedTuple):
    """How the levels of one scheme are built."""

    scheme: type[Scheme]
    forms: tuple[str, ...]  # forces of a block, keys of `force.FORMS`
    factors: Callable[[float, int], tuple[float, ...]]  # step size, number of the block -> factors of the forces
    products: int = 2  # convolutions with K or its adjoint in a block
    halves: bool = False  # whether the state is the two halves of the channels, and the next grid takes both
    rests: bool = False  # without halves: whether a grid starts from velocity 0 and position x, not from (x, x)
    shared: bool = False  # whether the forces of a block share K and b

    @property
    def rectangular(self) -> bool:
        """Whether K need not be square."""
        return self.crossed or set(self.forms) <= {"gradient", "identity"}

    @property
    def crossed(self) -> bool:
        """Whether K maps one half of the state to the other."""
        return set(self.forms) == {"adjoint", "single"}

    @property
    def reversible(self) -> bool:
        """Whether the level can compute its first state from its last state."""
        return issubclass(self.scheme, Coupling)


SCHEMES = {
    "hamiltonian": Form(Coupling, ("gradient", "gradient"), lambda dt, i: (dt, -dt), products=4, halves=True),
    "midpoint": Form(Coupling, ("skew",), lambda dt, i: (2 * dt if i else dt,)),  # the first step is forward Euler
    "leapfrog": Form(Coupling, ("gradient", "identity"), lambda dt, i: (-dt, dt), shared=True, rests=True),
    "verlet": Form(Coupling, ("adjoint", "single"), lambda dt, i: (-dt, dt), halves=True, shared=True),
    "second_order": Form(SecondOrder, ("single",), lambda dt, i: (dt**2 if i else dt**2 / 2,), products=1),
    "velocity_verlet": Form(
        Coupling, ("single", "identity"), lambda dt, i: (dt if i else dt / 2, dt), 1, shared=True, rests=True
    ),
    "antisymmetric": Form(Euler, ("damped_skew",), lambda dt, i: (dt,)),
    "parabolic": Form(Euler, ("gradient",), lambda dt, i: (-dt,)),
}


CODE, OURS = "LiliMeng/hamiltonian-revnet", "Chang et al. 2018, layout ours"
ROWS = (
    Row("hamiltonian74", {}, 480_458, source=CODE),
    Row("hamiltonian218", {"blocks": (18, 18, 18), "channels": (32, 64, 128)}, 1_748_330, source=CODE),
    Row("midpoint38", {"scheme": "midpoint"}, 957_386, source=OURS),
    Row("leapfrog38", {"scheme": "leapfrog"}, 957_386, source=OURS),
)
PICTURE = two_states("Y", "Z", Edge(("Z", 0), ("Y", 1), "K₁ᵀσK₁"), Edge(("Y", 1), ("Z", 1), "−K₂ᵀσK₂"))
SEARCHED = ("leapfrog", "verlet", "midpoint", "antisymmetric", "hamiltonian")


@serializable
class HamiltonianNet(Network):
    """Stable networks: each block is a time step of a Hamiltonian, second-order, antisymmetric or parabolic equation.

    K is a 3x3 convolution with zero padding, K^T is its adjoint, b is a bias, s is the activation and h = dt is the step size.
    Each block has its own K and b. Y' is the value of Y after the block, and Y_j is the value after j blocks of a grid. The block
    of each scheme:

    - "hamiltonian" updates Y to Y' = Y + h K_1^T s(K_1 Z + b_1), and then Z to Z' = Z - h K_2^T s(K_2 Y' + b_2). Y and Z are the
      halves of the channels.
    - "midpoint": Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b). The first step is Y_1 = Y_0 + h s((K - K^T) Y_0 + b).
    - "leapfrog": Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b) with Y_{-1} = Y_0. The network computes the velocity
      V' = V - h K^T s(K Y + b), and then Y' = Y + h V'.
    - "verlet" updates Z to Z' = Z - h s(K^T Y + b), and then Y to Y' = Y + h s(K Z' + b). Z and Y are the halves of the channels.
    - "second_order": (1 + c h/2) Y_{j+1} = 2 Y_j - (1 - c h/2) Y_{j-1} + h^2 s(K Y_j + b) with Y_{-1} = Y_0. The first step has
      h^2/2 in place of h^2. These are central differences for d^2Y/dt^2 + c dY/dt = s(K Y + b). With c = 0 the scheme is
      Verlet's method.
    - "velocity_verlet" updates Y to Y' = Y + h V + h^2 F/2, and the velocity V to V' = V + h (F + F')/2. F = s(K Y + b) is the
      force of the block at Y, and F' is the force of the next block at Y'. V is initially zero.
    - "antisymmetric": Y' = Y + h s((K - K^T - gamma I) Y / 2 + b), which is forward Euler.
    - "parabolic": Y' = Y - h K^T s(K Y + b), which is forward Euler.

    All schemes except "antisymmetric" and "parabolic" are reversible: `get_layer("level1").inverse(*state)` computes the first
    state of a grid from its last state.

    Let all blocks have the same K and b, and let s be nondecreasing. Then the Jacobian of the differential equation has imaginary
    eigenvalues for "hamiltonian", "midpoint", "leapfrog" and "verlet". It has eigenvalues with real parts of at most 0 for
    "antisymmetric" and "parabolic". It can have any eigenvalues for "second_order" and "velocity_verlet".

    In a deep network each block has its own K, and the state can grow. 200 blocks with initial kernels multiply the norm of a
    random state by the following factors, for 32 channels, 12x12 points and h = 0.1:

    - "hamiltonian": 6.5 with relu, 1.8 with tanh
    - "midpoint": 1e7 with relu, 1.9 with tanh
    - "leapfrog": 1.8 with relu, 1.3 with tanh
    - "verlet": 2.8e4 with relu, 1.2 with tanh
    - "second_order": 1.1e6 with relu, 13 with tanh
    - "velocity_verlet": 1.1e6 with relu, 13 with tanh
    - "antisymmetric": 180 with relu, 0.06 with tanh
    - "parabolic": 2.3e-5 with relu, 2.7e-9 with tanh

    The default activation relu is that of LiliMeng/hamiltonian-revnet.

    Sources: Chang, Meng, Haber, Ruthotto, Begert, Holtham 2018 and Haber, Ruthotto 2017. "velocity_verlet" and "second_order"
    with c = 0 are from Lu2017, which calls "verlet" the leapfrog method. "parabolic" is from Ruthotto, Haber 2018.

    The other layers follow LiliMeng/hamiltonian-revnet. There are norms only after the stem and before the pooling. Between grids
    the network takes means over 2x2 pixels and adds zero channels on both sides. The released code changes the grid one block
    later, as the network does with blocks=(7, 6, 5).

    Args:
        scheme: one of the schemes above.
        blocks: number of blocks on each grid.
        channels: number of channels on each grid, an integer or one per grid. With "hamiltonian" and "verlet" this is
            the number of both halves together, and must be even. The stem has as many channels as the first grid.
        inner: an integer or one per grid, which makes K not square. With K^T s(K Y + b), in "hamiltonian", "leapfrog" and
            "parabolic", it is the number of channels of K Y. In "verlet" it is the number of channels of Z. Y has the others, and
            K^T Y + b and K Z + b have biases of their own. None for a square K.
        dt: step size h.
        gamma: damping of the "antisymmetric" scheme; None for 0.4. Other schemes need gamma=None. Let the eigenvalues of
            (K - K^T) / 2 lie between -i mu and i mu, and q = sqrt(1 - h^2 mu^2). If s is the identity, forward Euler is stable
            for gamma from 2 (1 - q) / h to 2 (1 + q) / h.
        damping: c of the "second_order" scheme, less than 2 / h; None for 0. Other schemes need damping=None.
        memory_free: whether training stores only the last state of a grid and recovers the earlier states, see
            `keras_mgnet.layers.Level`. This option has no effect on schemes that are not reversible.

    Example:
        >>> HamiltonianNet("verlet", blocks=(2, 2), channels=(4, 6), input_shape=(8, 8, 1)).name
        'verlet10'
    """

    family = Family(
        recipe="revnet",
        small={"blocks": (1,), "channels": (4,)},
        picture=PICTURE._replace(stretch=1.6),
        space=Space("channels", "blocks", choices={"scheme": SEARCHED}, multiple=2),
        rows=ROWS,
    )

    def __init__(
        self,
        scheme: str = "hamiltonian",
        *,
        blocks: Sequence[int] = (6, 6, 6),
        channels: int | Sequence[int] = (32, 64, 112),
        inner: int | Sequence[int] | None = None,
        dt: float = 0.1,
        gamma: float | None = None,
        damping: float | None = None,
        memory_free: bool = True,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        check_known("scheme", scheme, SCHEMES)
        for name, value, owner in (("gamma", gamma, "antisymmetric"), ("damping", damping, "second_order")):
            if value is not None and scheme != owner:
                raise ValueError(f"expected {name} only with scheme={owner!r}. Received: {name}={value!r}")
        gamma = within("gamma", 0.4 if gamma is None else gamma, 0, math.inf)
        dt = within("dt", dt, 0, math.inf)
        q = within("damping", 0.0 if damping is None else damping, 0, math.inf) * dt / 2
        if q >= 1:
            raise ValueError(f"expected damping to be less than 2 / dt. Received: damping={damping!r}, dt={dt!r}")
        row = SCHEMES[scheme]
        blocks = positive_integers("blocks", blocks)
        uneven = row.crossed and inner is not None
        checked = even_integers if row.halves and not uneven else positive_integers
        channels = checked("channels", channels, len(blocks))
        if inner is not None and not row.rectangular:
            names = ", ".join(repr(name) for name, form in SCHEMES.items() if form.rectangular)
            raise ValueError(f"expected inner only with scheme {names}. Received: inner={inner!r}, scheme={scheme!r}")
        square = tuple(c // 2 if row.halves else c for c in channels)
        inners = square if inner is None else positive_integers("inner", inner, len(blocks))
        if uneven and any(m >= c for m, c in zip(inners, channels, strict=True)):
            raise ValueError(f"expected inner to be less than channels. Received: inner={inner!r}, channels={channels}")

        with Frame(**arguments) as frame:
            policy = frame.common["dtype"]
            parts = [frame.begin(channels[0], len(blocks))]
            parts = Halves(inners[0] if uneven else None, name="halves", dtype=policy)(*parts) if row.halves else parts
            for level, (n, c, m) in enumerate(zip(blocks, channels, inners, strict=True), start=1):
                sizes = (m, c - m) if row.crossed else (c // len(parts),) * len(parts)
                if level > 1:
                    named = zip(dict.fromkeys(sizes), (f"transfer{level}", f"transfer{level}_Y"), strict=False)
                    options = {"sampling": "average", "centered": True, "dtype": policy}
                    restrict = {size: ZeroPadding(size, 2, name=name, **options) for size, name in named}
                    parts = [restrict[size](part) for size, part in zip(sizes, parts, strict=True)]
                rule = row.scheme(*[q] * (scheme == "second_order"), dtype=policy)
                force = {"shared": row.shared, "inner": None if inner is None else m, "gamma": gamma, **frame.plain}
                field = _field(row, [row.factors(dt, i) for i in range(n)], sizes[-1], force)
                recover = memory_free and row.reversible
                iterate = Level(rule, field, memory_free=recover, name=f"level{level}", dtype=policy)
                pair = Rest(name=f"rest{level}", dtype=policy)(*parts) if row.rests else (parts[0], parts[-1])
                parts = iterate(*pair)[-len(parts) :] if row.reversible else [iterate(*parts)]
            x = keras.layers.Concatenate(name="state", dtype=policy)(parts) if row.halves else parts[0]
            x = frame.end(x)
        super().__init__(frame, x, name=f"{scheme}{2 + row.products * sum(blocks)}")


def _field(row: Form, factors: list[tuple[float, ...]], channels: int, options: dict[str, Any]) -> Field:
    """Returns the field of one grid: the forces of all blocks in turn if the scheme is reversible, else one force."""
    if not row.reversible:
        return Force(channels, row.forms * len(factors), sum(factors, ()), name="f", **options)
    forces = [Force(channels, row.forms, w, name=f"f{i}", **options) for i, w in enumerate(factors)]
    return InTurn(forces, name="f", dtype=options["dtype"])
