"""Fields f for which the solution of the ODE x' = f(x) is known in closed form."""

from keras_mgnet.layers import Field


class Decay(Field):
    """f(x) = factor * x."""

    def __init__(self, uses, factor):
        super().__init__(dtype="float64")
        self.uses, self.factor = uses, factor

    def call(self, x, i=0):
        return self.factor * x
