"""Analyses of networks as numerical methods (Lu2017). Each analysis computes numbers and draws a picture.

`ANALYSES` lists the analyses by name. Each file names its sources. No analysis changes the network. Some build a copy,
others replace methods of layers and restore them afterwards.
"""

from keras_mgnet.analysis.class_activation import ActivationMaps, activation_maps
from keras_mgnet.analysis.differential_operators import (
    Moments,
    derivative_coefficient,
    kernel_of_moments,
    moments,
    nearest_stencil,
    vanishing_order,
)
from keras_mgnet.analysis.eigenvalues import Stability, amplification, stability
from keras_mgnet.analysis.fourier import Spectra, smoothing_factor, spectra, step_symbol, symbol
from keras_mgnet.analysis.influence_functions import Influence, influence
from keras_mgnet.analysis.iterative_estimation import Estimation, estimation, optimal_combination
from keras_mgnet.analysis.lesion import Lesions, lesions
from keras_mgnet.analysis.modified_equations import observed_orders, plot_transport, solution, transported
from keras_mgnet.analysis.multilevel_learning import Resolution, resolution
from keras_mgnet.analysis.phase_plane import PhasePlanes, phase_planes, plot_phase_planes
from keras_mgnet.analysis.plain_networks import Curves, plain_network, plot_curves, training_curves
from keras_mgnet.analysis.pooling_block import Pooling, interpolated, one_pixel, pooling
from keras_mgnet.analysis.random_labels import Randomization, interpolating_network, randomization
from keras_mgnet.analysis.residual_paths import Paths, path_gradient, path_lengths, paths
from keras_mgnet.analysis.rewiring import Module, modules, rewired
from keras_mgnet.analysis.signal_propagation import Initialization, chain_variances, initialization
from keras_mgnet.analysis.smaller_steps import Refinement, refined, refinement
from keras_mgnet.analysis.smoothing import Residuals, residuals
from keras_mgnet.analysis.table import ANALYSES, Analysis, Subject, analyze, check_names, inapplicable
from keras_mgnet.analysis.two_step import Coefficients, coefficients
from keras_mgnet.multigrid.iteration import arnoldi
from keras_mgnet.multigrid.stencils import moment_matrix

__all__ = [
    "ANALYSES",
    "ActivationMaps",
    "Analysis",
    "Coefficients",
    "Curves",
    "Estimation",
    "Influence",
    "Initialization",
    "Lesions",
    "Module",
    "Moments",
    "Paths",
    "PhasePlanes",
    "Pooling",
    "Randomization",
    "Refinement",
    "Residuals",
    "Resolution",
    "Spectra",
    "Stability",
    "Subject",
    "activation_maps",
    "amplification",
    "analyze",
    "arnoldi",
    "chain_variances",
    "check_names",
    "coefficients",
    "derivative_coefficient",
    "estimation",
    "inapplicable",
    "influence",
    "initialization",
    "interpolated",
    "interpolating_network",
    "kernel_of_moments",
    "lesions",
    "modules",
    "moment_matrix",
    "moments",
    "nearest_stencil",
    "observed_orders",
    "one_pixel",
    "optimal_combination",
    "path_gradient",
    "path_lengths",
    "paths",
    "phase_planes",
    "plain_network",
    "plot_curves",
    "plot_phase_planes",
    "plot_transport",
    "pooling",
    "randomization",
    "refined",
    "refinement",
    "residuals",
    "resolution",
    "rewired",
    "smoothing_factor",
    "solution",
    "spectra",
    "stability",
    "step_symbol",
    "symbol",
    "training_curves",
    "transported",
    "vanishing_order",
]
