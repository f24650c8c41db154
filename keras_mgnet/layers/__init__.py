"""The layers: levels that iterate a scheme over a branch under a sharing rule, and the transfers that join them."""

from keras_mgnet.layers.branch import Branch, basic, bottleneck
from keras_mgnet.layers.conv import Conv
from keras_mgnet.layers.cycle import CycleLevel, CycleTransfer
from keras_mgnet.layers.dense import DenseLevel, DenseTransition
from keras_mgnet.layers.diffusion import CosineFilters, DiffusionLevel, DiffusionStep, PeronaMalik
from keras_mgnet.layers.force import Force, SkewConv
from keras_mgnet.layers.fractal import FractalLevel, GlobalPath, Join, Standardize
from keras_mgnet.layers.highway import Affine, HighwayLevel
from keras_mgnet.layers.inception import Inception, InceptionStem, SharedConv
from keras_mgnet.layers.learned_stencil import CoefficientStencil, KernelChain
from keras_mgnet.layers.level import GridLevel
from keras_mgnet.layers.norm import Norm
from keras_mgnet.layers.poly import Poly
from keras_mgnet.layers.polynomial import PolynomialSmoother
from keras_mgnet.layers.rbf import RadialBasis
from keras_mgnet.layers.recurrent import RecurrentLevel
from keras_mgnet.layers.residual import LinearMultistepLevel, ResidualLevel
from keras_mgnet.layers.reversible import CouplingTransfer, Halves, Rest, ReversibleLevel
from keras_mgnet.layers.separable import separable_scales
from keras_mgnet.layers.shortcut import ShiftedProjection, ZeroPadding
from keras_mgnet.layers.stencil import Inverse, Residual, Stencil, StencilField
from keras_mgnet.layers.stencil_transfer import StencilTransfer
from keras_mgnet.layers.stochastic import Shake, StochasticDepth
from keras_mgnet.layers.sum import Sum
from keras_mgnet.layers.transfer import FullWeighting, GridTransfer, IdleTransfer, Restriction, Stem

__all__ = [
    "Affine",
    "Branch",
    "CoefficientStencil",
    "Conv",
    "CosineFilters",
    "CouplingTransfer",
    "CycleLevel",
    "CycleTransfer",
    "DenseLevel",
    "DenseTransition",
    "DiffusionLevel",
    "DiffusionStep",
    "Force",
    "FractalLevel",
    "FullWeighting",
    "GlobalPath",
    "GridLevel",
    "GridTransfer",
    "Halves",
    "HighwayLevel",
    "IdleTransfer",
    "Inception",
    "InceptionStem",
    "Inverse",
    "Join",
    "KernelChain",
    "LinearMultistepLevel",
    "Norm",
    "PeronaMalik",
    "Poly",
    "PolynomialSmoother",
    "RadialBasis",
    "RecurrentLevel",
    "Residual",
    "ResidualLevel",
    "Rest",
    "Restriction",
    "ReversibleLevel",
    "Shake",
    "SharedConv",
    "ShiftedProjection",
    "SkewConv",
    "Standardize",
    "Stem",
    "Stencil",
    "StencilField",
    "StencilTransfer",
    "StochasticDepth",
    "Sum",
    "ZeroPadding",
    "basic",
    "bottleneck",
    "separable_scales",
]
