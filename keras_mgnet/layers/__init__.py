"""The layers. A level iterates a scheme (a formula) with a field (a function with weights). Transfers join levels."""

from keras_mgnet.layers.fields.branch import Branch, basic, bottleneck
from keras_mgnet.layers.fields.chain import Chain
from keras_mgnet.layers.fields.conservation import Burgers, ConservationLaw, PeronaMalik
from keras_mgnet.layers.fields.data_system import DataSystem
from keras_mgnet.layers.fields.dense import DenseStates
from keras_mgnet.layers.fields.diffusion import CosineFilters, Diffusion, DiffusionStep
from keras_mgnet.layers.fields.field import Blocks, Field, InTurn, Sum
from keras_mgnet.layers.fields.force import Force, SkewConv
from keras_mgnet.layers.fields.highway import Highway
from keras_mgnet.layers.fields.inception import Inception, InceptionStem
from keras_mgnet.layers.fields.poly import Poly
from keras_mgnet.layers.fields.recurrent import Recurrent
from keras_mgnet.layers.fields.shake import Shake
from keras_mgnet.layers.fields.system import LinearSystem
from keras_mgnet.layers.fractal import FractalLevel, GlobalPath, Join
from keras_mgnet.layers.grid_level import CycleLevel, GridLevel
from keras_mgnet.layers.level import Level
from keras_mgnet.layers.operators.conv import Affine, Conv
from keras_mgnet.layers.operators.grid_norm import GridNorm, Normalizer
from keras_mgnet.layers.operators.learned_stencil import CoefficientStencil, KernelChain
from keras_mgnet.layers.operators.lines import LineSolver
from keras_mgnet.layers.operators.norm import Norm
from keras_mgnet.layers.operators.rbf import RadialBasis
from keras_mgnet.layers.operators.stencil import Inverse, Residual, Stencil, StencilField
from keras_mgnet.layers.operators.whitening import Whitening
from keras_mgnet.layers.schemes.one_step import DataCorrection, Dense, Euler, EulerFromData, EulerSystem, Heun
from keras_mgnet.layers.schemes.polynomial import PolynomialSmoother
from keras_mgnet.layers.schemes.scheme import Method, Scheme
from keras_mgnet.layers.schemes.smoothers import Chebyshev, Damped, Multistep, RedBlack, ResidualCorrection, Weighted
from keras_mgnet.layers.schemes.two_step import CoupledMultistep, Coupling, LinearMultistep
from keras_mgnet.layers.separable import separable_scales
from keras_mgnet.layers.shortcut import ShiftedProjection, ZeroPadding
from keras_mgnet.layers.stochastic import StochasticDepth
from keras_mgnet.layers.transfers.coupling import CouplingTransfer, Halves, Rest
from keras_mgnet.layers.transfers.cycle import CycleTransfer
from keras_mgnet.layers.transfers.dense import DenseTransition
from keras_mgnet.layers.transfers.prolongation import Prolongation
from keras_mgnet.layers.transfers.stem import Stem
from keras_mgnet.layers.transfers.stencil import StencilFieldTransfer, StencilTransfer
from keras_mgnet.layers.transfers.transfer import FullWeighting, GridTransfer, IdleTransfer, Restriction

__all__ = [
    "Affine",
    "Blocks",
    "Branch",
    "Burgers",
    "Chain",
    "Chebyshev",
    "CoefficientStencil",
    "ConservationLaw",
    "Conv",
    "CosineFilters",
    "CoupledMultistep",
    "Coupling",
    "CouplingTransfer",
    "CycleLevel",
    "CycleTransfer",
    "Damped",
    "DataCorrection",
    "DataSystem",
    "Dense",
    "DenseStates",
    "DenseTransition",
    "Diffusion",
    "DiffusionStep",
    "Euler",
    "EulerFromData",
    "EulerSystem",
    "Field",
    "Force",
    "FractalLevel",
    "FullWeighting",
    "GlobalPath",
    "GridLevel",
    "GridNorm",
    "GridTransfer",
    "Halves",
    "Heun",
    "Highway",
    "IdleTransfer",
    "InTurn",
    "Inception",
    "InceptionStem",
    "Inverse",
    "Join",
    "KernelChain",
    "Level",
    "LineSolver",
    "LinearMultistep",
    "LinearSystem",
    "Method",
    "Multistep",
    "Norm",
    "Normalizer",
    "PeronaMalik",
    "Poly",
    "PolynomialSmoother",
    "Prolongation",
    "RadialBasis",
    "Recurrent",
    "RedBlack",
    "Residual",
    "ResidualCorrection",
    "Rest",
    "Restriction",
    "Scheme",
    "Shake",
    "ShiftedProjection",
    "SkewConv",
    "Stem",
    "Stencil",
    "StencilField",
    "StencilFieldTransfer",
    "StencilTransfer",
    "StochasticDepth",
    "Sum",
    "Weighted",
    "Whitening",
    "ZeroPadding",
    "basic",
    "bottleneck",
    "separable_scales",
]
