"""Stochastic gradient descent exactly as the papers' code has it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_mgnet")
class SGD(keras.optimizers.SGD):
    """SGD with coupled weight decay: g <- g + wd w; m <- mu m + g; w <- w - lr (g + mu m if nesterov else m).

    This is PyTorch's form. Keras' `weight_decay` is decoupled (w <- (1 - lr wd) w, outside the momentum), which with
    mu = 0.9 decays about ten times less, and Keras' momentum contains the learning rate, which differs where that changes.

    Args:
        learning_rate: a float or a schedule.
        momentum: mu.
        nesterov: whether to look ahead.
        coupled_weight_decay: wd, applied to every trainable variable, biases and norms included.
        name: of the optimiser.

    Example:
        >>> SGD(0.1, momentum=0.9, coupled_weight_decay=5e-4).get_config()["coupled_weight_decay"]
        0.0005
    """

    def __init__(self, learning_rate=0.1, momentum=0.0, nesterov=False, coupled_weight_decay=0.0, name="sgd"):
        super().__init__(learning_rate=learning_rate, momentum=momentum, nesterov=nesterov, name=name)
        if coupled_weight_decay < 0:
            raise ValueError(f"expected coupled_weight_decay >= 0. Received: {coupled_weight_decay}")
        self.coupled_weight_decay = coupled_weight_decay

    def apply(self, grads, trainable_variables=None):
        """Treats a gradient of None as zero where others are given: A of a last level with nu = 1 cancels from the output,
        yet PyTorch's weight decay still acts on it."""
        grads = list(grads)
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        if any(g is not None for g in grads):
            grads = [ops.zeros_like(v) if g is None else g for g, v in zip(grads, variables, strict=True)]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype) + self.coupled_weight_decay * variable
        if self.momentum:
            m = self.momentums[self._get_variable_index(variable)]
            self.assign(m, self.momentum * m + gradient)
            gradient = gradient + self.momentum * m if self.nesterov else m
        self.assign_sub(variable, learning_rate * gradient)

    def load_own_variables(self, store):
        """Loads the state of an optimiser that has made a step; one saved before its first step has no momenta to load."""
        if not self.momentum or len(store.keys()) > 2:
            super().load_own_variables(store)

    def get_config(self):
        keys = ("name", "learning_rate", "momentum", "nesterov")
        config = {key: value for key, value in super().get_config().items() if key in keys}
        return {**config, "coupled_weight_decay": self.coupled_weight_decay}
