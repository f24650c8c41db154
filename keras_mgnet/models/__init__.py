"""The families of networks, one file for each family."""

from keras_mgnet.models.densenet import DenseNet
from keras_mgnet.models.fb_resnet import FBResNet
from keras_mgnet.models.fractalnet import FractalNet
from keras_mgnet.models.frame import Frame, FrameArguments
from keras_mgnet.models.function_frame import FunctionFrame, FunctionFrameArguments
from keras_mgnet.models.hamiltonian import HamiltonianNet
from keras_mgnet.models.highway import HighwayNet
from keras_mgnet.models.image_frame import ImageFrame, ImageFrameArguments
from keras_mgnet.models.lm_resnet import LMResNet, LMResNeXt, k_values
from keras_mgnet.models.mgnet import MgNet
from keras_mgnet.models.mgno import MgNO
from keras_mgnet.models.multi_resnet import MultiResNet
from keras_mgnet.models.network import Network
from keras_mgnet.models.poly_mgnet import PolyMgNet
from keras_mgnet.models.polynet import PolyNet
from keras_mgnet.models.reaction_diffusion import ReactionDiffusion
from keras_mgnet.models.recurrent import RecurrentResNet
from keras_mgnet.models.resnet import PreActResNet, ResNet
from keras_mgnet.models.resnext import ResNeXt
from keras_mgnet.models.revnet import RevNet
from keras_mgnet.models.shake_shake import ShakeShake
from keras_mgnet.models.vcycle import VCycleMgNet
from keras_mgnet.models.very_deep_polynet import VeryDeepPolyNet

FAMILIES = (
    MgNet,
    ResNet,
    PreActResNet,
    LMResNet,
    ResNeXt,
    LMResNeXt,
    ShakeShake,
    DenseNet,
    HighwayNet,
    MultiResNet,
    RecurrentResNet,
    PolyNet,
    VeryDeepPolyNet,
    FractalNet,
    FBResNet,
    VCycleMgNet,
    PolyMgNet,
    RevNet,
    HamiltonianNet,
    ReactionDiffusion,
    MgNO,
)

__all__ = [
    "FAMILIES",
    "DenseNet",
    "FBResNet",
    "FractalNet",
    "Frame",
    "FrameArguments",
    "FunctionFrame",
    "FunctionFrameArguments",
    "HamiltonianNet",
    "HighwayNet",
    "ImageFrame",
    "ImageFrameArguments",
    "LMResNeXt",
    "LMResNet",
    "MgNO",
    "MgNet",
    "MultiResNet",
    "Network",
    "PolyMgNet",
    "PolyNet",
    "PreActResNet",
    "ReactionDiffusion",
    "RecurrentResNet",
    "ResNeXt",
    "ResNet",
    "RevNet",
    "ShakeShake",
    "VCycleMgNet",
    "VeryDeepPolyNet",
    "k_values",
]
