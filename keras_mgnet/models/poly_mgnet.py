"""Poly-MgNet: MgNet whose smoother is a polynomial in A (van Betteray, Rottmann, Kahl 2025, arXiv 2503.10594)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Unpack

import keras

from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known
from keras_mgnet.layers import GridLevel, GridTransfer, IdleTransfer, PolynomialSmoother
from keras_mgnet.layers.schemes.polynomial import POLYNOMIALS
from keras_mgnet.layers.sharing import check_share
from keras_mgnet.layers.transfers.transfer import check_groups
from keras_mgnet.models.checks import positive_integers
from keras_mgnet.models.family import EITHER, Family, Row, Space
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.mgnet import descend
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import smoothing
from keras_mgnet.serialization import serializable


class Step(NamedTuple):
    """The places of the norm and the activation in a smoothing step.

    Attributes:
        inside, outside: what follows B r and what follows u + B r: "norm", "sigma" (a norm and the activation) or None.
        sigma_last: whether the activation follows the last step of a level.
    """

    inside: str | None = None
    outside: str | None = None
    sigma_last: bool = False


STEPS = {
    "regular": Step(inside="sigma"),  # u + s n(B r)
    "outside": Step(outside="sigma"),  # s n(u + B r)
    "relu_outside": Step(inside="norm", sigma_last=True),  # s(... u + n(B r))
    "relu_outside_nobn": Step(sigma_last=True),  # s(... u + B r)
}
RESIDUALS = {"regular": "sigma", "bn_only": "norm", "plain": None}  # s n(f - A u), n(f - A u), f - A u
DEPTHWISE: dict[str, Any] = {"Pi": "depthwise", "R": "depthwise", "normalize": False}
CODE = "vanbetteray/Poly-MgNet"
ROWS = (
    Row("poly_mgnet", {}, 1_386_706, source=CODE),
    Row("poly_mgnet_conv_shared_b", {"B": "conv", "share_B": True}, 2_750_666, source=CODE),
    Row("poly_mgnet_conv", {"B": "conv"}, 4_114_634, source=CODE),
)


@serializable
class PolyMgNet(Network):
    """Poly-MgNet: an `MgNet` whose smoother is a polynomial q(A) with trained coefficients.

    By default, iteration i on grid l and the data of grid l+1 are

        u^{l,i} = u^{l,i-1} + s(q(A^l) s(f^l - A^l * u^{l,i-1}))
        f^{l+1} = R *_2 sigma(f^l - A^l * u^{l,nu_l}) + A^{l+1} * u^{l+1,0}

    u is the feature, f is the data, sigma is the activation, n is a norm and s(x) = sigma(n(x)). Grid l+1 starts at
    u^{l+1,0} = Pi *_2 u^{l,nu_l}. Pi and R are depthwise, without norm or activation, and *_2 has stride 2. Source: the
    released code, vanbetteray/Poly-MgNet. As in that code, the first grid has kernels Pi and R that are never used. By default
    18 * channels[0] of the 1,386,706 parameters are in these kernels.

    Args:
        nu: number of smoothing iterations on each grid. The length of nu is the number of grids.
        channels: number of channels, an integer or one per grid. Each number must be a multiple of the number before it.
        B: what the smoother applies to the residual r. "linear" is alpha r, "double" is alpha A * r, and "conv" is a convolution
            as in MgNet. "quadratic" is "linear", but the last step of each grid is 2 a r - (a^2 + b^2) A * r with
            trained a and b. See `keras_mgnet.layers.PolynomialSmoother`.
        share_B: whether all iterations on a grid share one alpha or one convolution. With False every iteration has its own.
        step: the form of a step. "regular" is u + s(B r), "outside" is s(u + B r), "relu_outside" is u + n(B r) and
            "relu_outside_nobn" is u + B r. In the last two forms sigma follows the last step of each grid.
        residual: the input of B. "regular" is s(f - A * u), "bn_only" is n(f - A * u), and "plain" is f - A * u.

    Example:
        >>> from keras_mgnet import count_params
        >>> count_params(PolyMgNet())
        1386706
    """

    family = Family(
        recipe="poly_mgnet",
        small={"nu": (1,), "channels": 2},
        picture=smoothing("A", "q(A)"),
        space=Space("channels", "nu", choices={"B": ("linear", "double", "quadratic", "conv"), "share_B": EITHER}),
        rows=ROWS,
    )

    def __init__(
        self,
        nu: Sequence[int] = (2, 2, 2, 2),
        channels: int | Sequence[int] = (64, 128, 256, 256),
        *,
        B: str = "linear",
        share_B: bool = False,
        step: str = "regular",
        residual: str = "regular",
        **arguments: Unpack[FrameArguments],
    ) -> None:
        nu = positive_integers("nu", nu)
        c = positive_integers("channels", channels, len(nu))
        for fine, coarse in itertools.pairwise(c):
            check_groups(fine, coarse)
        check_smoother(B, share_B, step, residual)

        with Frame(**arguments) as frame:
            options, places = frame.common, STEPS[step]
            grids = list(zip(range(1, len(nu) + 1), nu, c, strict=True))
            common = {"B": (RESIDUALS[residual], places.inside), "share_B": share_B, **options}
            common["form"] = "feature" if places.outside or places.sigma_last else "residual"
            levels = [
                GridLevel(
                    width, width, n, smoother=_smoother(n, B, share_B, places, options), name=f"level{j}", **common
                )
                for j, n, width in grids
            ]
            transfers = [_transfer(j, width, options) for j, _, width in grids[1:]]
            r = IdleTransfer(c[0], c[0], name="transfer1", **DEPTHWISE, **options)(frame.begin(c[0], len(nu)))
            u = descend(r, levels, transfers)
        super().__init__(frame, u, name="poly_mgnet")


def check_smoother(B: str, share_B: bool, step: str, residual: str) -> None:
    """Raises ValueError unless the arguments describe a smoother of the released code."""
    choices = {"B": (B, (*POLYNOMIALS, "conv")), "step": (step, STEPS), "residual": (residual, RESIDUALS)}
    for argument, (value, known) in choices.items():
        check_known(argument, value, known)
    check_share("share_B", share_B)
    if B == "conv" and not step == residual == "regular":
        raise ValueError(
            f"expected step='regular' and residual='regular' for B='conv'. "
            f"Received: step={step!r}, residual={residual!r}"
        )


def _smoother(nu: int, B: str, share: bool, places: Step, options: dict[str, Any]) -> str | PolynomialSmoother:
    if B == "conv":
        return "residual_correction"
    own: dict[str, Any] = {name: options[name] for name in ("activation", "norm", "dtype")}
    where: dict[str, Any] = {"behind": places.outside, "sigma_last": places.sigma_last}
    return PolynomialSmoother(nu, B, share=share, **where, **own)


def _transfer(level: int, channels: int, options: dict[str, Any]) -> Callable[[Tensor, Tensor], Any]:
    sigma = keras.layers.Activation(options["activation"], name=f"sigma{level}", dtype=options["dtype"])
    transfer = GridTransfer(channels, channels, name=f"transfer{level}", **DEPTHWISE, **options)
    return lambda u, r: transfer(u, sigma(r))
