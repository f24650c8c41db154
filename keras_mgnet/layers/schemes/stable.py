"""The schemes of the stable networks, which are couplings of increments with the step size in them (see `Force`)."""

from keras_mgnet.layers.schemes.scheme import Method
from keras_mgnet.layers.schemes.two_step import Coupling
from keras_mgnet.serialization import serializable


@serializable
class SymplecticEuler(Coupling):
    """Y' = Y + h K_1^T s(K_1 Z + b_1), Z' = Z - h K_2^T s(K_2 Y' + b_2): the Hamiltonian network, Chang et al. 2018."""

    method = Method(
        "symplectic Euler",
        "Y <- Y + h K_1^T s(K_1 Z + b_1), Z <- Z - h K_2^T s(K_2 Y + b_2)",
        "1; 2 with Z read at half steps",
        "Y' = K_1^T s(K_1 Z + b_1), Z' = -K_2^T s(K_2 Y + b_2)",
    )


@serializable
class Midpoint(Coupling):
    """Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b): the midpoint network, Chang et al. 2018."""

    method = Method(
        "explicit midpoint rule, begun by forward Euler",
        "Y_{j+1} = Y_{j-1} + 2 h s((K - K^T) Y_j + b)",
        "2",
        "Y' = s((K - K^T) Y + b)",
    )


@serializable
class Leapfrog(Coupling):
    """Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), as V' = V - h K^T s(K Y + b), Y' = Y + h V', Chang et al. 2018."""

    method = Method(
        "leapfrog (Stoermer)",
        "Y_{j+1} = 2 Y_j - Y_{j-1} - h^2 K^T s(K Y_j + b), Y_{-1} = Y_0",
        "2 with Y' read at half steps, else 1",
        "Y'' = -K^T s(K Y + b), Y'(0) = 0",
    )


@serializable
class Verlet(Coupling):
    """Z' = Z - h s(K^T Y + b), Y' = Y + h s(K Z' + b), Haber & Ruthotto 2017."""

    method = Method(
        "Stoermer-Verlet",
        "Z <- Z - h s(K^T Y + b), Y <- Y + h s(K Z + b)",
        "2 with Z read at half steps, else 1",
        "Y' = s(K Z + b), Z' = -s(K^T Y + b)",
    )
