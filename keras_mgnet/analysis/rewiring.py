"""The modules of a network, and networks with some modules deleted or exchanged."""

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

    level: str  # name of the level
    index: int  # of the iteration, from 0
    changes_shape: bool  # whether it maps the input of the level to the shape of the states


def _residual(level, table, original, x, i):
    """Replaces block i, R_i x + f^i(x), by block j = table[i], or by R_i x alone if j is None."""
    j = table.get(i, i)
    shortcut, f = original(x, i if j is None else j)
    return (shortcut, ops.zeros_like(f)) if j is None else (shortcut, f)


def _correction(level, table, original, i, r, smooth):
    """Replaces the correction of step i by that of step j = table[i], or by zero if j is None."""
    j = table.get(i, i)
    if j is None:
        return ops.zeros_like(original(i, r, smooth))
    rule, k = (level.scheme, j) if j < level.nu else (level.post_scheme, j - level.nu)
    return original(j, r, lambda r: rule.smoothed(k, level.field.at(j), r))


def _plain(level, table, original, K, s, x):
    """Replaces layer i of a chain by layer j = table[i], or by the identity if j is None."""
    i = next(n for n, conv in enumerate(level.K) if conv is K)
    j = table.get(i, i)
    return x if j is None else original(level.K[j], level.s[j], x)


# Kind of level or scheme -> the method of the level or of its field that computes one module, and its replacement.
SURGERY: dict[type, tuple[str, Callable]] = {
    **dict.fromkeys(STEPPING, ("parts", _residual)),
    ResidualCorrection: ("correction", _correction),
    FractalLevel: ("_layer", _plain),
}


def modules(model: keras.Model) -> list[Module]:
    """Returns the modules of a network in order: residual blocks, smoothing steps, or the layers of a plain chain.

    Raises:
        ValueError: if the network has no module that can be deleted.

    Example:
        >>> from keras_mgnet import ResNet
        >>> [(m.level, m.index, m.changes_shape) for m in modules(ResNet(14, base_width=4))][:3]
        [('level1', 0, False), ('level1', 1, False), ('level2', 0, True)]
    """
    found = []
    for level in levels(model, *SURGERY):
        plain = isinstance(level, FractalLevel)
        if plain and any(len(ending) > 1 for _, ending in level.ends):  # joined columns are not a chain
            continue
        count = len(level.K) if plain else level.nu + getattr(level, "post_nu", 0)
        changes_shape = plain or getattr(level.field, "R", None) is not None
        found += [Module(level.name, i, i == 0 and changes_shape) for i in range(count)]
    deletable = [module for module in found if can_be_deleted(model, module)]
    required(model, "a network of residual blocks, smoothing steps or one column of several layers", deletable)
    return found


@contextmanager
def rewired(model: keras.Model, table: Mapping[Module, Module | None]) -> Iterator[None]:
    """Exchanges and deletes modules of a network within the `with` block.

    A module that `table` maps to another module computes what that module computes. A module that `table` maps to None is
    deleted: its branch or correction is zero. Shortcuts, the k of a two-step method and the A in f - A(u) stay. So a ResNet
    with a deleted block is the network without this block. If the block changes the shape, its shortcut stays. A deleted layer
    of a plain chain is the identity.

    Args:
        model: a network. Call it directly within the `with` block, see `intercepted`.
        table: module -> another module of the same level that does not change the shape, or None.

    Raises:
        ValueError: if an entry of `table` is not of this form. The error is raised before anything is changed.

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
                f"expected a layer that keeps the shape, because the identity replaces it. Received: {module}"
            )
    elif module.level != other.level or module.changes_shape != other.changes_shape:
        raise ValueError(f"expected two modules of one level that keep the shape. Received: {module} -> {other}")


def can_be_deleted(model: keras.Model, module: Module) -> bool:
    """Returns whether a module can be deleted. All modules can, except the first layer of a plain chain."""
    return not (module.changes_shape and isinstance(model.get_layer(module.level), FractalLevel))
