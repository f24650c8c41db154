"""Backend functions that layers with custom gradients need and `keras.ops` does not have."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_mgnet.annotations import Tensor


def is_available() -> bool:
    """Returns whether the backend is TensorFlow or JAX. This module supports no other backend."""
    return keras.backend.backend() in ("tensorflow", "jax")


def read(variable: keras.Variable) -> Tensor:
    """Returns the value of a variable as a tensor."""
    if keras.backend.backend() != "tensorflow":
        return variable.value
    import tensorflow as tf

    return tf.convert_to_tensor(variable.value)


def by_values(
    variables: Sequence[keras.Variable], values: Sequence[Tensor], f: Callable[[], Any]
) -> tuple[Any, dict[str, Tensor]]:
    """Evaluates f with given values of the variables. The variables themselves do not change.

    Returns: f(), and the values that f assigns. The key of a value is the index of its variable, as a string.

    Example:
        >>> v = keras.Variable(1.0)
        >>> y, moved = by_values([v], [keras.ops.array(2.0)], lambda: v + 1)
        >>> float(y), moved
        (3.0, {})
    """
    with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
        before = [scope.get_current_value(variable) for variable in variables]
        y = f()
        after = [scope.get_current_value(variable) for variable in variables]
    return y, {str(j): new for j, (old, new) in enumerate(zip(before, after, strict=True)) if new is not old}


def noted(f: Callable[[], Any]) -> tuple[Any, list[keras.Variable], dict[str, Tensor]]:
    """Evaluates f and records the variables that f reads or assigns. The variables themselves do not change.

    Returns: f(), the variables that f reads or assigns, and the values that f assigns. The key of a value is the index of its
    variable, as a string. `assign` writes the values to the variables.

    Example:
        >>> v, w = keras.Variable(1.0), keras.Variable(2.0)
        >>> y, variables, moved = noted(lambda: v + 1)
        >>> float(y), [variable is v for variable in variables], moved
        (2.0, [True], {})
    """
    with _Notes() as scope:
        y = f()
    variables = list(scope.variables.values())
    own = scope.state_mapping
    return y, variables, {str(j): own[id(variable)] for j, variable in enumerate(variables) if id(variable) in own}


class _Notes(keras.StatelessScope):
    """A scope that records the variables that are read or assigned in it. The enclosing scope provides their values."""

    def __init__(self) -> None:
        super().__init__()
        self.variables: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Tensor | None:
        self.variables[id(variable)] = variable
        value = super().get_current_value(variable)
        outer = self.original_scope
        return outer.get_current_value(variable) if value is None and outer is not None else value

    def add_update(self, update: Any) -> None:
        self.variables[id(update[0])] = update[0]
        super().add_update(update)


def assign(variables: Sequence[keras.Variable], moved: dict[str, Tensor]) -> None:
    """Assigns to the variables the values that `by_values` or `noted` has returned."""
    for j, value in moved.items():
        variables[int(j)].assign(value)


def vjp(f: Callable[..., Any], *primals: Tensor) -> tuple[Any, Callable[[Any], list[Any]]]:
    """Returns f(*primals) and the pullback of f at the primals.

    The pullback maps a cotangent of the result to the list of the cotangents of the primals. The cotangent of an integer is None.

    Example:
        >>> y, pull = vjp(lambda a, b: a * b, keras.ops.array(2.0), keras.ops.array(3.0))
        >>> float(y), [float(cotangent) for cotangent in pull(keras.ops.array(1.0))]
        (6.0, [3.0, 2.0])
    """
    tensors = [ops.convert_to_tensor(primal) for primal in primals]
    places = [place for place, tensor in enumerate(tensors) if _is_float(tensor)]

    def of_floats(*floats: Tensor) -> Any:
        given = dict(zip(places, floats, strict=True))
        return f(*(given.get(place, tensor) for place, tensor in enumerate(tensors)))

    y, pull_floats = _vjp(of_floats, [tensors[place] for place in places])

    def pull(cotangent: Any) -> list[Tensor]:
        found = dict(zip(places, pull_floats(cotangent), strict=True))
        return [found.get(place) for place in range(len(tensors))]

    return y, pull


def _vjp(f: Callable[..., Any], primals: Sequence[Tensor]) -> tuple[Any, Callable[[Any], Any]]:
    if keras.backend.backend() == "jax":
        import jax

        return jax.vjp(f, *primals)
    import tensorflow as tf

    primals = [tf.identity(primal) for primal in primals]  # copies, so that a tensor that is given twice counts as two
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(primals)
        y = f(*primals)
    return y, lambda cotangent: tape.gradient(y, primals, cotangent, tf.UnconnectedGradients.ZERO)


def jvp(f: Callable[[Tensor], Tensor], primal: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """Returns f(primal) and the derivative of f at the primal along the tangent, the product with the Jacobian.

    Example:
        >>> y, dy = jvp(lambda a: a * a, keras.ops.array(3.0), keras.ops.array(1.0))
        >>> float(y), float(dy)
        (9.0, 6.0)
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jvp(f, (primal,), (tangent,))
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(primal, tangent) as accumulator:
        y = f(primal)
    return y, accumulator.jvp(y, tf.UnconnectedGradients.ZERO)


def after(events: Sequence[Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Returns `tensors` in such a way that a compiled program computes `events` before it uses the returned tensors.

    Adds zero times one entry of each event to each float tensor, and returns integer tensors unchanged. Compilers remove barriers
    and control dependencies, but they cannot remove a product with an unknown number. If one of these entries is not finite, the
    float tensors become NaN.

    Example:
        >>> [float(x) for x in after([keras.ops.zeros((2, 2))], [keras.ops.array(1.0)])]
        [1.0]
    """
    zero = sum(0 * ops.cast(event[(0,) * len(event.shape)], "float32") for event in events)
    return [tensor + ops.cast(zero, tensor.dtype) if _is_float(tensor) else tensor for tensor in tensors]


def _is_float(tensor: Tensor) -> bool:
    return "float" in keras.backend.standardize_dtype(tensor.dtype)
