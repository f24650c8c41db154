"""Multigrid solvers made of the layers of MgNet without norms and activations, with fixed or learned smoothers."""

from keras_mgnet.multigrid.fourier import plot_factors, smoothing_factor, two_grid_factor
from keras_mgnet.multigrid.iteration import Iteration, convergence_factor, solve
from keras_mgnet.multigrid.neural import initial_guess, preconditioned
from keras_mgnet.multigrid.operators import anisotropic, block, diffusion, five_point, jumps
from keras_mgnet.multigrid.problems import ProblemConfig, generate
from keras_mgnet.multigrid.rescaling import rescale
from keras_mgnet.multigrid.solvers import solver
from keras_mgnet.multigrid.stencils import transfer_stencil

__all__ = [
    "Iteration",
    "ProblemConfig",
    "anisotropic",
    "block",
    "convergence_factor",
    "diffusion",
    "five_point",
    "generate",
    "initial_guess",
    "jumps",
    "plot_factors",
    "preconditioned",
    "rescale",
    "smoothing_factor",
    "solve",
    "solver",
    "transfer_stencil",
    "two_grid_factor",
]
