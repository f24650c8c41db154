"""Stochastic gradient descent exactly as in the code of the papers, and an Adam for training a part of a model."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_mgnet import compat
from keras_mgnet.annotations import Tensor
from keras_mgnet.errors import check_known

DECAYED = ("all", "kernels")
KERNEL_MOMENTUM = 0.6
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic polynomial of Muon, steep at 0
TINY = 1e-7


@keras.saving.register_keras_serializable(package="keras_mgnet")
class SGD(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and coupled weight decay, as in PyTorch.

        g <- g + wd w
        m <- mu m + g
        w <- w - lr m, or with Nesterov momentum w <- w - lr (g + mu m)

    Here w is a weight, g its gradient, m its momentum and lr the learning rate. Keras' own SGD differs in two ways:

    - Keras applies `weight_decay` outside the momentum, w <- (1 - lr wd) w. With mu = 0.9 this decay is about ten times weaker
      than the coupled one.
    - Keras multiplies g by the learning rate before the momentum is updated. The results differ when the learning rate changes.

    With `kernel_rate` the kernels w of convolutions take orthogonal steps instead. Written as a matrix with a column for each of
    its c filters, a kernel changes as in Muon:

        m <- 0.6 m + g
        w <- sqrt(c) w / |w| - kernel_rate lr O(g + 0.6 m)

    O makes a matrix orthogonal (see `orthogonal`). The step then has the same size whatever the size of the gradient, so a kernel
    that is shared by several iterations needs no rate of its own. Kernels keep about the norm sqrt(c), in place of weight decay.

    With `ema_momentum` the optimiser also keeps an average a of every weight w. After each step,

        a <- e a + (1 - e) w, with e = min(ema, t / (t + 9))

    where t is the number of earlier steps. In the first step t = 0 and e = 0, so a = w. Early in a run, a is roughly the average
    over the last tenth of the steps. The optimiser does not overwrite the weights with the average.
    `keras_mgnet.training.runs.ema.averaged_weights` puts the average into the weights temporarily.

    With `use_ema` the average is that of Keras instead: e is constant, and `fit` ends with the average in the weights.
    `keras.callbacks.SwapEMAWeights` needs `use_ema`.

    Args:
        learning_rate: a float or a schedule.
        momentum: mu.
        nesterov: whether to use Nesterov momentum.
        coupled_weight_decay: wd.
        decayed: the variables with weight decay. "all" includes biases and norms. "kernels" means convolutions and dense layers
            only.
        beta_rate: factor on the learning rate of beta, the shift of a norm. Its wd is divided by the factor, so that lr wd is the
            same for all variables.
        kernel_rate: factor on the learning rate of the kernels of convolutions; None for steps as above.
        ema_momentum: ema, between 0 and 1; 0 for no average. None stands for 0, or with `use_ema` for Keras' 0.99.
        name: name of the optimiser.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps: as
            in `keras.optimizers.SGD`. Gradients are clipped before their weight decay is added, as usual in PyTorch.

    Example:
        >>> SGD(0.1, momentum=0.9, coupled_weight_decay=5e-4).get_config()["coupled_weight_decay"]
        0.0005
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.0,
        nesterov: bool = False,
        coupled_weight_decay: float = 0.0,
        decayed: str = "all",
        ema_momentum: float | None = None,
        name: str = "sgd",
        *,
        beta_rate: float = 1.0,
        kernel_rate: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
    ) -> None:
        if ema_momentum is None:
            ema_momentum = 0.99 if use_ema else 0.0
        super().__init__(
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        if coupled_weight_decay < 0:
            raise ValueError(f"expected coupled_weight_decay >= 0. Received: {coupled_weight_decay}")
        if not 0 <= ema_momentum <= 1:
            raise ValueError(f"expected ema_momentum between 0 and 1. Received: {ema_momentum}")
        if beta_rate <= 0:
            raise ValueError(f"expected beta_rate > 0. Received: {beta_rate}")
        if kernel_rate is not None and (kernel_rate <= 0 or momentum <= 0):
            received = f"kernel_rate={kernel_rate}, momentum={momentum}"
            raise ValueError(f"expected kernel_rate > 0 or None, and with it momentum > 0. Received: {received}")
        check_known("decayed", decayed, DECAYED)
        self.coupled_weight_decay, self.decayed = coupled_weight_decay, decayed
        self.beta_rate, self.kernel_rate = beta_rate, kernel_rate
        self.average_variables: list[keras.Variable] = []

    @property
    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Returns a list of pairs (weight, average).

        The list is empty before the first step, and if the optimiser keeps no averages.
        """
        if not (self.average_variables and int(ops.convert_to_numpy(self.iterations))):
            return []
        return list(zip(compat.trained_variables(self), self.average_variables, strict=True))

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.ema_momentum and not (self.use_ema or self.built):
            self.average_variables = self.add_optimizer_variables(variables, "average")
        super().build(variables)

    def apply(
        self, grads: Iterable[Tensor | None], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Applies the gradients, then updates the averages.

        A gradient of None counts as zero, so the weight still decays. If all gradients are None, Keras raises ValueError.
        An example is the A of a last level with nu = 1, because the output does not depend on this A.
        """
        grads = list(grads)
        variables = compat.trained_variables(self) if trainable_variables is None else list(trainable_variables)
        if any(g is not None for g in grads):
            grads = [ops.zeros(v.shape, v.dtype) if g is None else g for g, v in zip(grads, variables, strict=True)]
        steps = ops.cast(self.iterations, "float32")
        super().apply(grads, trainable_variables)
        if self.average_variables:
            kept = ops.minimum(self.ema_momentum, steps / (steps + 9.0))
            if self.gradient_accumulation_steps:  # where gradients were only added up, the average stays
                kept = ops.where(ops.cast(self.iterations, "float32") == steps, 1.0, kept)
            for variable, average in zip(compat.trained_variables(self), self.average_variables, strict=True):
                e = ops.cast(kept, variable.dtype)
                average.assign(e * average + (1.0 - e) * variable)

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Any) -> None:
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        index = compat.variable_index(self, variable)
        if self.kernel_rate and len(variable.shape) == 4:
            self._orthogonal_step(gradient, variable, self.momentums[index], self.kernel_rate * learning_rate)
            return
        factor = self.beta_rate if compat.trained_variables(self)[index].name == "beta" else 1.0
        if self.decayed == "all" or len(variable.shape) > 1:  # biases, norms and k_n have one axis or none
            gradient = gradient + self.coupled_weight_decay / factor * variable
        rate = learning_rate if factor == 1 else factor * learning_rate
        if self.momentum and keras.backend.backend() == "tensorflow" and variable.dtype != "bfloat16":
            self._step_in_one_operation(gradient, variable, self.momentums[index], rate)
            return
        if self.momentum:
            m = self.momentums[index]
            self.assign(m, self.momentum * m + gradient)
            gradient = gradient + self.momentum * m if self.nesterov else m
        self.assign_sub(variable, rate * gradient)

    def _step_in_one_operation(self, gradient: Tensor, variable: Any, m: keras.Variable, rate: Tensor) -> None:
        """Updates m and a weight with TensorFlow's kernel, which does not exist for bfloat16 on a GPU.

        Of the 5,557 operations of a training step of LM-ResNet56, 3,351 were those of this step in separate operations.
        """
        import tensorflow as tf

        options = {"momentum": ops.cast(self.momentum, variable.dtype), "use_nesterov": self.nesterov}
        handles = {"var": variable.handle, "accum": m.value.handle}
        tf.raw_ops.ResourceApplyMomentum(**handles, lr=rate, grad=gradient, **options)

    def _orthogonal_step(self, gradient: Tensor, kernel: Tensor, m: keras.Variable, rate: Tensor) -> None:
        """Updates a kernel (k, k, c_in, c)."""
        self.assign(m, KERNEL_MOMENTUM * m + gradient)
        matrix = ops.reshape(gradient + KERNEL_MOMENTUM * m, (-1, kernel.shape[-1]))
        step = ops.reshape(orthogonal(matrix), kernel.shape)
        kernel_norm = ops.sqrt(ops.sum(ops.square(kernel)))
        self.assign(kernel, kernel * (math.sqrt(kernel.shape[-1]) / (kernel_norm + TINY)) - rate * step)

    def load_own_variables(self, store: Any) -> None:
        """Loads a saved state. If the state was saved before the first step, there is nothing to load."""
        if _has_stepped(self, store) or len(store.keys()) == len(self.variables):
            super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["weight_decay"]  # Keras' own decay, which this class does not use
        own = ("coupled_weight_decay", "decayed", "beta_rate", "kernel_rate")
        return config | {name: getattr(self, name) for name in own}


@keras.saving.register_keras_serializable(package="keras_mgnet")
class Adam(keras.optimizers.Adam):
    """Keras' Adam for training a part of a model. Variables without gradient, and their moments, stay unchanged.

    Keras' own Adam would warn about these variables.

    Example:
        >>> Adam(0.01).get_config()["beta_1"]
        0.9
    """

    def apply(
        self, grads: Iterable[Tensor | None], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """Applies the gradients that are not None."""
        grads = list(grads)
        variables = compat.trained_variables(self) if trainable_variables is None else list(trainable_variables)
        if not self.built:
            with keras.name_scope(self.name, caller=self):
                self.build(variables)
        if pairs := [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]:
            grads, variables = map(list, zip(*pairs, strict=True))
        super().apply(grads, variables)

    def load_own_variables(self, store: Any) -> None:
        """Loads a saved state. If the state was saved before the first step, there is nothing to load."""
        if _has_stepped(self, store):
            super().load_own_variables(store)


def _has_stepped(optimizer: keras.optimizers.Optimizer, store: Any) -> bool:
    """Returns whether a saved state has more entries than the step counter and a constant rate."""
    return len(store.keys()) > 1 + isinstance(optimizer.learning_rate, keras.Variable)


def orthogonal(matrix: Tensor, iterations: int = 3) -> Tensor:
    """Returns a matrix with the singular vectors of the given matrix and with singular values near 1.

    The Newton-Schulz iteration x <- a x + (b y + c y y) x with y = x x^T brings the singular values near 1, except those
    that are small compared with the matrix norm.

    Source: Keller Jordan et al. 2024 (Muon), with the constants of KellerJordan/cifar10-airbench.

    Example:
        >>> x = orthogonal(ops.array([[3.0, 0.0], [0.0, -3.0]]), iterations=5)
        >>> bool(abs(x[0, 0] - 1) < 0.3), bool(abs(x[1, 1] + 1) < 0.3)
        (True, True)
    """
    rows, columns = matrix.shape
    x = ops.transpose(matrix) if rows > columns else matrix
    x = x / (ops.norm(x) + TINY)
    a, b, c = NEWTON_SCHULZ
    for _ in range(iterations):
        y = x @ ops.transpose(x)
        x = a * x + (b * y + c * y @ y) @ x
    return ops.transpose(x) if rows > columns else x
