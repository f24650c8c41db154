"""The modules of a network, and networks in which some of them are deleted or have changed places."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import keras
from keras import ops

from keras_mgnet.analysis.intercept import intercepted, levels
from keras_mgnet.analysis.states import STEPPING
from keras_mgnet.errors import required
from keras_mgnet.layers import FractalLevel, ResidualCorrection


@dataclass(frozen=True)
class Module:
    """One iteration of a level."""

    level: str  # its name
    index: int  # of the iteration, from 0
    changes_shape: bool  # whether its input is no state of the level: without its branch, what is left is no identity


def _residual(level, table, original, x, i):
    """R_i x + f^j(x), or R_i x alone."""
    j = table.get(i, i)
    shortcut, f = original(x, i if j is None else j)
    return (shortcut, ops.zeros_like(f)) if j is None else (shortcut, f)


def _correction(level, table, original, i, r, smooth):
    """e^j, or no correction."""
    j = table.get(i, i)
    if j is None:
        return ops.zeros_like(original(i, r, smooth))
    rule, k = (level.scheme, j) if j < level.nu else (level.post_scheme, j - level.nu)
    return original(j, r, lambda r: rule.smoothed(k, level.field.at(j), r))


def _plain(level, table, original, K, s, x):
    """Layer j of a chain, or the identity."""
    i = next(n for n, conv in enumerate(level.K) if conv is K)
    j = table.get(i, i)
    return x if j is None else original(level.K[j], level.s[j], x)


# Kind of level or scheme -> what computes one module: the method of the level or of its field, and its replacement.
SURGERY: dict[type, tuple[str, Callable]] = {
    **dict.fromkeys(STEPPING, ("parts", _residual)),
    ResidualCorrection: ("correction", _correction),
    FractalLevel: ("_layer", _plain),
}


def modules(model: keras.Model) -> list[Module]:
    """Returns the modules of a network in order: residual blocks, smoothing steps, or the layers of a plain chain.

    Raises:
        ValueError: where it has none that can be deleted.

    Example:
        >>> from keras_mgnet import ResNet
        >>> [(m.level, m.index, m.changes_shape) for m in modules(ResNet(14, base_width=4))][:3]
        [('level1', 0, False), ('level1', 1, False), ('level2', 0, True)]
    """
    found = []
    for level in levels(model, *SURGERY):
        plain = isinstance(level, FractalLevel)
        if plain and any(len(ending) > 1 for _, ending in level.ends):  # columns that are joined are no chain
            continue
        count = len(level.K) if plain else level.nu + getattr(level, "post_nu", 0)
        changes_shape = plain or getattr(level.field, "R", None) is not None
        found += [Module(level.name, i, i == 0 and changes_shape) for i in range(count)]
    deletable = [module for module in found if can_be_deleted(model, module)]
    required(model, "a network of residual blocks, smoothing steps or one column of several layers", deletable)
    return found


@contextmanager
def rewired(model: keras.Model, table: Mapping[Module, Module | None]) -> Iterator[None]:
    """While open, each module of `table` computes what another of its level does or, for None, nothing: f := 0.

    What carries the state stays: shortcuts, the k of a two-step method, the A of a residual. So a ResNet with a block deleted is
    the network without that block or, where the block changes the shape, with its shortcut alone. A deleted layer of a plain
    chain is the identity.

    Args:
        model: called directly while it is open, see `intercepted`.
        table: module -> another module of the same level that changes no shape, or None.

    Raises:
        ValueError: for a table that is none of these, before anything is changed.

    Example:
        >>> from keras_mgnet import ResNet
        >>> model, x = ResNet(8, base_width=2, input_shape=(8, 8, 1)), keras.ops.ones((1, 8, 8, 1))
        >>> with rewired(model, {modules(model)[0]: None}):
        ...     tuple(model(x, training=False).shape)
        (1, 10)
    """
    known = set(modules(model))
    for module, other in table.items():
        _check(model, known, module, other)
    with ExitStack() as stack:
        for level in levels(model, *SURGERY):
            own = {m.index: o if o is None else o.index for m, o in table.items() if m.level == level.name}
            if own:
                method, around = next(row for kind, row in SURGERY.items() if level in levels(model, kind))
                owner = level if isinstance(level, FractalLevel) else level.field
                stack.enter_context(intercepted(owner, method, partial(around, level, own)))
        yield


def _check(model: keras.Model, known: set[Module], module: Module, other: Module | None) -> None:
    if not {module, other} - {None} <= known:
        raise ValueError(f"expected modules of {model.name}. Received: {module} -> {other}")
    if other is None:
        if not can_be_deleted(model, module):
            raise ValueError(
                f"expected a layer that keeps the shape, to be replaced by the identity. Received: {module}"
            )
    elif module.level != other.level or module.changes_shape != other.changes_shape:
        raise ValueError(f"expected two modules of one level that keep the shape. Received: {module} -> {other}")


def can_be_deleted(model: keras.Model, module: Module) -> bool:
    """Whether something is left without it: the first layer of a plain chain cannot be the identity."""
    return not (module.changes_shape and isinstance(model.get_layer(module.level), FractalLevel))
