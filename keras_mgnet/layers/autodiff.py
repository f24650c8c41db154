"""What a layer with a gradient of its own needs of the backend; `keras.ops` has the rest."""

from collections.abc import Callable, Sequence

import keras


def is_available() -> bool:
    """Whether the backend differentiates by functions that are known here: TensorFlow and JAX."""
    return keras.backend.backend() in ("tensorflow", "jax")


def read(variable: keras.Variable):
    """Returns the value of a variable as a tensor."""
    if keras.backend.backend() != "tensorflow":
        return variable.value
    import tensorflow as tf

    return tf.convert_to_tensor(variable.value)


def by_values(variables: Sequence[keras.Variable], values: Sequence, f: Callable) -> tuple:
    """Returns f() by given values of the variables, and the values that f has assigned, by the places of their variables.

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


def assign(variables: Sequence[keras.Variable], moved: dict) -> None:
    """Gives variables the values that `by_values` has found."""
    for j, value in moved.items():
        variables[int(j)].assign(value)


def vjp(f: Callable, *primals) -> tuple:
    """Returns f(*primals) and the function that maps a cotangent of it to those of the primals; integers have none.

    Example:
        >>> y, pull = vjp(lambda a, b: a * b, keras.ops.array(2.0), keras.ops.array(3.0))
        >>> float(y), [float(cotangent) for cotangent in pull(keras.ops.array(1.0))]
        (6.0, [3.0, 2.0])
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.vjp(f, *primals)
    import tensorflow as tf

    primals = [tf.convert_to_tensor(primal) for primal in primals]
    floats = [primal for primal in primals if primal.dtype.is_floating]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(floats)
        y = f(*primals)

    def pull(cotangent):
        found = iter(tape.gradient(y, floats, cotangent, tf.UnconnectedGradients.ZERO))
        return [next(found) if primal.dtype.is_floating else None for primal in primals]

    return y, pull


def after(event, tensors: Sequence) -> list:
    """Returns the tensors, which a compiled program may use only once it has computed the tensor `event`; integers as they are.

    Zero times an entry of it is added: not barriers nor control edges, which compilers drop, but a number they cannot know.
    Where the event is infinite, the tensors are not numbers.

    Example:
        >>> [float(x) for x in after(keras.ops.zeros((2, 2)), [keras.ops.array(1.0)])]
        [1.0]
    """
    zero = 0 * event[(0,) * len(event.shape)]
    return [tensor + keras.ops.cast(zero, tensor.dtype) if _is_float(tensor) else tensor for tensor in tensors]


def _is_float(tensor) -> bool:
    return "float" in keras.backend.standardize_dtype(tensor.dtype)
