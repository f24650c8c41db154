"""MgNet: multigrid as a classifier (He & Xu 2019; He, Chen, Zhang, Xu 2019, section 4)."""

from keras_mgnet.layers import GridLevel, GridTransfer
from keras_mgnet.layers.sharing import check_share
from keras_mgnet.models.checks import positive_integers
from keras_mgnet.models.network import Graph, Network, family


@family
class MgNet(Network):
    """MgNet[nu_1, ..., nu_J]: smoothing on J grids, u^{l,i} = u^{l,i-1} + s(B^{l,i} * s(f^l - A^l * u^{l,i-1})).

    Source: He2019 (3.4), (4.3)-(4.4), with the norms of the authors' code.

    Args:
        nu: smoothing iterations per grid; its length J is the number of grids.
        channels: c_u, an integer or one per grid.
        channels_f: c_f likewise; None for c_f = c_u.
        share_A: one A per grid, as MgNet is defined; False gives every iteration its own.
        share_B: one B per grid (B^l) or per iteration (B^{l,i}).
        form: "residual" carries r = f - A * u, the same function at half the A-products; "feature" is the textbook form.
        smoother: "residual_correction", "damped", "chebyshev" or "multistep".
        Pi, R: restriction of u and r: "conv" or "depthwise" (learned), "average" or "full_weighting" (fixed).

    The other arguments are those of every network, see `keras_mgnet.models.Frame`.

    Raises:
        ValueError: for nu, channels, shapes or names that do not make a network, before anything is built.

    Example:
        >>> model = MgNet(nu=(1, 1), channels=8, input_shape=(8, 8, 1))
        >>> model.output_shape
        (None, 10)
        >>> [tensor.shape for tensor in model.get_layer("level2").output]
        [(None, 4, 4, 8), (None, 4, 4, 8)]
    """

    @classmethod
    def graph(
        cls,
        frame,
        nu=(2, 2, 2, 2),
        channels=256,
        *,
        channels_f=None,
        share_A=True,
        share_B=True,
        form="residual",
        smoother="residual_correction",
        Pi="conv",
        R="conv",
    ):
        nu = positive_integers("nu", nu)
        c_u = positive_integers("channels", channels, len(nu))
        c_f = c_u if channels_f is None else positive_integers("channels_f", channels_f, len(nu))
        check_share("share_A", share_A)
        check_share("share_B", share_B)

        options = {"share_A": share_A, "share_B": share_B, "form": form, "smoother": smoother, **frame.common}
        grids = list(zip(range(1, len(nu) + 1), nu, c_u, c_f, strict=True))
        levels = [GridLevel(u, f, n, name=f"level{j}", **options) for j, n, u, f in grids]
        transfers = [GridTransfer(u, f, Pi=Pi, R=R, name=f"transfer{j}", **frame.common) for j, _, u, f in grids[1:]]
        u = descend(frame.begin(c_f[0], len(nu)), levels, transfers)
        return Graph(u, "mgnet", "xuteam")


def descend(r, levels, transfers):
    """Passes the data r of the first grid down all grids; `transfers` lead from each to the next. Returns the last u."""
    u, r = levels[0](r)
    for transfer, level in zip(transfers, levels[1:], strict=True):
        u, r = transfer(u, r)
        u, r = level(r, u)
    return u
