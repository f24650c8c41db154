"""Two ways to train a level with less memory: recompute its iterations, or recover its states."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import DType, Tensor
from keras_mgnet.layers import autodiff
from keras_mgnet.layers.fields.field import Field
from keras_mgnet.layers.schemes.scheme import Scheme, State


def evaluated_again(step: Callable[..., State], state: State, policy: DType) -> State:
    """Returns step(*state) without storing the intermediate tensors. The backward pass evaluates the step again.

    Args:
        step: one iteration in training. The function may read only the state and variables.
        state: tensors in any nested structure; None stands for zero.
        policy: dtype policy of the level.
    """
    y, variables, moved = autodiff.noted(partial(step, *state))
    full = _Entered(lambda: list(map(autodiff.read, variables)), policy.variable_dtype)  # in full precision
    values = full(training=True)
    count = len(tensors := _tensors(state))

    def evaluate(*primals: Tensor) -> tuple[Tensor, ...]:
        iteration = _Entered(partial(step, *_packed(state, primals[:count])), policy)
        again, _ = autodiff.by_values(variables, primals[count:], lambda: iteration(training=True))
        return tuple(_tensors(again))

    outputs = [ops.stop_gradient(output) for output in _tensors(y)]
    autodiff.assign(variables, moved)
    return _packed(y, _differentiated(evaluate, outputs, tensors, values))


def recovered(scheme: Scheme, field: Field, iterate: Callable[[State], State], state: State) -> State:
    """Returns iterate(state) and stores only the last state. The backward pass recovers the earlier states by `scheme.undo`.

    Args:
        scheme, field: the scheme and the field of the level. The scheme must have `undo` and `pull_back`.
        iterate: a function that runs all iterations in training.
        state: a tuple of tensors.
    """
    variables = field.variables  # their values become arguments: a custom gradient covers nothing else

    @ops.custom_gradient
    def run(state: Any, values: Any) -> Any:
        state, values = keras.tree.map_structure(ops.stop_gradient, (state, values))
        last, moved = autodiff.by_values(variables, values, partial(iterate, state))

        def gradient(*given: Any) -> Any:
            upstream = given[0] if len(given) == 1 else given
            return _pulled_back(scheme, field, last, upstream[: len(last)], values)

        return (*last, moved), gradient

    *last, moved = run(state, list(map(autodiff.read, variables)))
    autodiff.assign(variables, moved)
    return tuple(last)


def _pulled_back(scheme: Any, field: Field, state: State, upstream: Any, values: Any) -> tuple[Any, Any]:
    """Returns the cotangents of the first state and of the values of the variables.

    `state` is the last state, and `upstream` holds its cotangents. The function recovers the earlier states one by one.
    """
    values = dict(zip(map(id, field.variables), values, strict=True))
    d_values: dict[int, Tensor] = {}
    for i in reversed(range(field.uses)):
        linear = _Linearized(field, i, values, upstream)
        state = scheme.undo(i, linear, *state)
        upstream = scheme.pull_back(i, linear.pull, *upstream)
        for key, d_value in linear.d_values.items():
            d_values[key] = d_values[key] + d_value if key in d_values else d_value
    return upstream, [d_values[id(variable)] for variable in field.variables]


class _Linearized:
    """The field at iteration i in training, with given values of its variables. A call f(x) also stores the derivative at x."""

    def __init__(self, field: Field, i: int, values: dict[int, Tensor], events: Sequence[Tensor]) -> None:
        self.field, self.i, self.events = field, i, events
        self.d_values: dict[int, Tensor] = {}
        self.variables = field.variables_at(i)
        self.values = [values[id(variable)] for variable in self.variables]

    def __call__(self, x: Tensor) -> Tensor:
        given = autodiff.after([self.events[-1]], self.values)
        y, self._pull = autodiff.vjp(self._evaluate, x, *given)
        return y

    def _evaluate(self, x: Tensor, *values: Tensor) -> Tensor:
        with keras.StatelessScope(zip(self.variables, values, strict=True)):
            return ops.cast(self.field(x, i=self.i, training=True), x.dtype)

    def pull(self, d_y: Tensor) -> Tensor:
        """Returns the cotangent of x for the cotangent d_y of f(x). Stores the cotangents of the values in `d_values`."""
        d_x, *d_values = self._pull(d_y)
        self.d_values = dict(zip(map(id, self.variables), d_values, strict=True))
        return d_x


class _Entered(keras.layers.Layer):
    """Evaluates f inside the call of a layer, so that f runs with the training mode and the precision of the call."""

    def __init__(self, f: Any, dtype: DType) -> None:
        super().__init__(dtype=dtype, name="again")
        self.f = f

    def call(self, training: bool | None = None) -> Any:
        return self.f()


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in keras.tree.flatten(tree) if leaf is not None]


def _packed(tree: Any, tensors: Iterable[Tensor]) -> Any:
    """Returns the tree with its tensors replaced by `tensors`, in order. None stays None."""
    tensors = iter(tensors)
    leaves = [leaf if leaf is None else next(tensors) for leaf in keras.tree.flatten(tree)]
    return keras.tree.pack_sequence_as(tree, leaves)


def _differentiated(
    evaluate: Callable[..., Any], outputs: Sequence[Tensor], tensors: Sequence[Tensor], values: Sequence[Any]
) -> Any:
    """Returns the outputs unchanged, with the gradient of evaluate(*tensors, *values).

    `evaluate` is not called before the backward pass.
    """

    @ops.custom_gradient
    def run(outputs: Any, tensors: Any, values: Any) -> Any:
        def gradient(*upstream: Any) -> Any:
            upstream = tuple(keras.tree.flatten(upstream))
            _, pull = autodiff.vjp(evaluate, *tensors, *autodiff.after(upstream, values))
            found = pull(upstream)
            return [None] * len(outputs), found[: len(tensors)], found[len(tensors) :]

        return outputs, gradient

    return run(outputs, tensors, values)
