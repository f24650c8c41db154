"""Stable networks: Hamiltonian, midpoint, leapfrog (Chang et al. 2018), Verlet and antisymmetric (Haber, Ruthotto 2017)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Unpack

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.layers import Coupling, Euler, Force, Halves, InTurn, Level, Norm, Rest, Scheme, ZeroPadding
from keras_mgnet.layers.schemes.stable import Leapfrog, Midpoint, SymplecticEuler, Verlet
from keras_mgnet.models.checks import even_integers, positive_integers, within
from keras_mgnet.models.family import Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, two_states
from keras_mgnet.serialization import serializable


class Form(NamedTuple):
    """How a scheme iterates."""

    scheme: type[Scheme]
    forms: tuple[str, ...]  # of the forces of a block, keys of `force.FORMS`
    factors: Callable[[float, int], tuple[float, ...]]  # step size, number of the block -> those of the forces
    products: int = 2  # convolutions by K or its adjoint in a block
    halves: bool = False  # the state is the two halves of the channels, from grid to grid; else each grid begins
    rests: bool = False  # from rest, the state being velocity and position; else from two equal iterates
    shared: bool = False  # whether the forces of a block share K and b

    @property
    def reversible(self) -> bool:
        """Whether its steps can be undone."""
        return issubclass(self.scheme, Coupling)


SCHEMES = {
    "hamiltonian": Form(SymplecticEuler, ("gradient", "gradient"), lambda dt, i: (dt, -dt), products=4, halves=True),
    "midpoint": Form(Midpoint, ("skew",), lambda dt, i: (2 * dt if i else dt,)),  # begins with a step of forward Euler
    "leapfrog": Form(Leapfrog, ("gradient", "identity"), lambda dt, i: (-dt, dt), shared=True, rests=True),
    "verlet": Form(Verlet, ("adjoint", "single"), lambda dt, i: (-dt, dt), halves=True, shared=True),
    "antisymmetric": Form(Euler, ("damped_skew",), lambda dt, i: (dt,)),
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
    """Networks whose depth neither amplifies nor damps, by the antisymmetry of K and its adjoint K^T (zero padding).

    Block j of the scheme, s for sigma, h for dt:

    - "hamiltonian": Y' = Y + h K_1^T s(K_1 Z + b_1), Z' = Z - h K_2^T s(K_2 Y' + b_2) on the halves of the channels;
    - "midpoint": Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b), first Y_1 = Y_0 + h s((K - K^T) Y_0 + b);
    - "leapfrog": Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), Y_{-1} = Y_0, by V' = V - h K^T s(K Y + b), Y' = Y + h V';
    - "verlet": Z' = Z - h s(K^T Y + b), Y' = Y + h s(K Z' + b) on the halves (Z, Y);
    - "antisymmetric": Y' = Y + h s((K - K^T - gamma I) Y / 2 + b), forward Euler; it is the one that is not reversible.

    Source: Chang, Meng, Haber, Ruthotto, Begert, Holtham 2018 and Haber, Ruthotto 2017; LiliMeng/hamiltonian-revnet for what
    stands around: no norms but behind the stem and before the pooling. Between grids 2x2 means and zero channels on both sides.
    (That code samples behind the first block of a grid: `blocks=(7, 6, 5)`.) Lu2017 exchanges the names of the second-order
    scheme and Verlet's. The blocks of a grid are undone by `get_layer("level1").inverse(*state)`.

    Args:
        scheme: see above.
        blocks: per grid.
        channels: per grid, of both halves together; the stem has those of the first.
        dt: h, the step size.
        gamma: of the antisymmetric scheme alone, None for 0.4: at least 2 (1 - sqrt(1 - h^2 mu^2)) / h makes forward Euler
            stable where (K - K^T) / 2 has eigenvalues up to i mu.
        memory_free: whether training recomputes the states instead of keeping them; see `keras_mgnet.layers.Level`.

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
        dt: float = 0.1,
        gamma: float | None = None,
        memory_free: bool = True,
        **arguments: Unpack[FrameArguments],
    ) -> None:
        check_known("scheme", scheme, SCHEMES)
        if gamma is not None and scheme != "antisymmetric":
            raise ValueError(f"expected gamma with the antisymmetric scheme alone. Received: gamma={gamma!r}")
        gamma = within("gamma", 0.4 if gamma is None else gamma, 0, math.inf)
        dt = within("dt", dt, 0, math.inf)
        row = SCHEMES[scheme]
        blocks = positive_integers("blocks", blocks)
        channels = (even_integers if row.halves else positive_integers)("channels", channels, len(blocks))

        with Frame(**arguments) as frame:
            policy = frame.common["dtype"]
            parts = [frame.begin(channels[0], len(blocks))]
            parts = Halves(name="halves", dtype=policy)(*parts) if row.halves else parts
            for level, (n, c) in enumerate(zip(blocks, channels, strict=True), start=1):
                c //= len(parts)
                if level > 1:
                    restrict = ZeroPadding(
                        c, 2, sampling="average", centered=True, name=f"transfer{level}", dtype=policy
                    )
                    parts = [restrict(part) for part in parts]
                iterate = _level(row, n, c, dt, gamma, memory_free, f"level{level}", frame)
                pair = Rest(name=f"rest{level}", dtype=policy)(*parts) if row.rests else (parts[0], parts[-1])
                parts = iterate(*pair)[-len(parts) :] if row.reversible else [iterate(*parts)]
            x = keras.layers.Concatenate(name="state", dtype=policy)(parts) if row.halves else parts[0]
            x = Norm(frame.activation, name="s", dtype=policy)(x)
        super().__init__(frame, x, name=f"{scheme}{2 + row.products * sum(blocks)}")


def _level(
    row: Form, blocks: int, channels: int, dt: float, gamma: float, memory_free: bool, name: str, frame: Frame
) -> Level:
    """Returns the level of a grid: called with a pair of states or, where it is not reversible, with one."""
    policy, options = frame.common["dtype"], {"shared": row.shared, "gamma": gamma, **frame.common}
    factors = [row.factors(dt, i) for i in range(blocks)]
    if not row.reversible:
        force = Force(channels, row.forms * blocks, sum(factors, ()), name="f", **options)
        return Level(row.scheme(dtype=policy), force, name=name, dtype=policy)
    forces = [Force(channels, row.forms, w, name=f"f{i}", **options) for i, w in enumerate(factors)]
    field = InTurn(forces, name="f", dtype=policy)
    return Level(row.scheme(dtype=policy), field, memory_free=memory_free, name=name, dtype=policy)
