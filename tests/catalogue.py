"""Every kind of model and layer once, small: each suite runs over all of them."""

import keras

from keras_mgnet import LMResNet, LMResNeXt, MgNet, PreActResNet, ResNet, ResNeXt, ShakeShake
from keras_mgnet.layers import (
    Branch,
    Conv,
    FullWeighting,
    GridLevel,
    GridTransfer,
    LinearMultistepLevel,
    Norm,
    ResidualLevel,
    Restriction,
    Shake,
    ShiftedProjection,
    Stem,
    ZeroPadding,
    basic,
    bottleneck,
)

TINY = {"nu": (1, 2), "channels": 4, "input_shape": (8, 8, 1), "classes": 3}
NEXT = {"cardinality": 2, "group_width": 2, "depth": 11, "input_shape": (8, 8, 1), "classes": 3}
RES = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}

MODELS = {
    "mgnet": (MgNet, TINY),
    "mgnet_unshared_b": (MgNet, TINY | {"share_B": False}),
    "mgnet_unshared_a": (MgNet, TINY | {"share_A": False}),
    "mgnet_per_level_channels": (MgNet, TINY | {"channels": (4, 6), "channels_f": (3, 5)}),
    "mgnet_feature": (MgNet, TINY | {"form": "feature", "channels_f": 3}),
    "mgnet_feature_unshared": (MgNet, TINY | {"form": "feature", "share_A": False, "share_B": False}),
    "mgnet_damped": (MgNet, TINY | {"smoother": "damped"}),
    "mgnet_chebyshev": (MgNet, TINY | {"smoother": "chebyshev", "nu": (3, 2)}),
    "mgnet_multistep": (MgNet, TINY | {"smoother": "multistep", "nu": (3, 2), "form": "feature"}),
    "mgnet_average": (MgNet, TINY | {"Pi": "average", "R": "average", "channels": (4, 6), "input_shape": (9, 7, 3)}),
    "mgnet_full_weighting": (MgNet, TINY | {"Pi": "full_weighting", "R": "full_weighting"}),
    "mgnet_imagenet_stem": (MgNet, TINY | {"stem": "imagenet", "input_shape": (32, 32, 3)}),
    "mgnet_softmax_gelu": (MgNet, TINY | {"classifier_activation": "softmax", "activation": "gelu"}),
    "mgnet_nu_1": (MgNet, TINY | {"nu": (1, 1)}),
    "resnet18": (ResNet, RES),
    "resnet18_shared_ab": (ResNet, RES | {"share_A": True, "share_B": True}),
    "resnet34_published_size": (
        ResNet,
        RES | {"depth": 34, "share_A": "published_size", "share_B": "published_size"},
    ),
    "preact_resnet18_imagenet": (PreActResNet, RES | {"stem": "imagenet", "input_shape": (32, 32, 3)}),
    "preact_resnet18_shared_b": (PreActResNet, RES | {"share_B": True, "init": "torch_default"}),
    "preact_resnet18_published_size": (PreActResNet, RES | {"share_B": "published_size"}),
    "resnet14": (ResNet, RES | {"depth": 14}),
    "resnet_option_b_survival": (ResNet, RES | {"depth": 14, "shortcut": "projection", "survival": 0.5}),
    "resnet50": (ResNet, RES | {"depth": 50}),
    "preact_resnet50_imagenet": (PreActResNet, RES | {"depth": 50, "stem": "imagenet", "input_shape": (32, 32, 3)}),
    "preact_resnet_bottleneck": (PreActResNet, RES | {"blocks": (1, 2), "bottleneck": True}),
    "lm_resnet14": (LMResNet, RES | {"depth": 14}),
    "lm_resnet_bottleneck": (LMResNet, RES | {"blocks": (2, 1, 2), "bottleneck": True}),
    "lm_resnet_project_survival": (
        LMResNet,
        RES | {"blocks": (2, 2), "lm_transition": "project", "survival": 0.5, "survival_schedule": "lm_release"},
    ),
    "resnext11": (ResNeXt, NEXT),
    "preact_resnext11": (ResNeXt, NEXT | {"preactivation": True}),
    "lm_resnext11": (LMResNeXt, NEXT),
    "shake_shake": (ShakeShake, {"depth": 14, "width": 4, "input_shape": (8, 8, 1), "classes": 3}),
    "shake_shake_aggregated": (
        ShakeShake,
        {"depth": 11, "width": 2, "cardinality": 2, "mode": "batch", "input_shape": (8, 8, 1), "classes": 3},
    ),
}

# models in which chance leaves out parts of a training step
BY_CHANCE = {"resnet_option_b_survival", "lm_resnet_project_survival"}

# layer -> shapes of its tensors
LAYERS = {
    "conv": (lambda: Conv(4, strides=2), [(2, 7, 6, 3)]),
    "norm": (lambda: Norm("relu", foldable=False), [(2, 4, 4, 3)]),
    "stem": (lambda: Stem(4, "imagenet"), [(2, 16, 16, 3)]),
    "grid_level_first": (lambda: GridLevel(4, 3, 2), [(2, 4, 4, 3)]),
    "grid_level": (lambda: GridLevel(4, 3, 3, smoother="multistep", share_B=False), [(2, 4, 4, 3), (2, 4, 4, 4)]),
    "residual_level": (lambda: ResidualLevel(basic(4, uses=3), survival=(1, 0.9, 0.8)), [(2, 5, 5, 4)]),
    "linear_multistep_level": (lambda: LinearMultistepLevel(basic(4, uses=3)), [(2, 5, 5, 4)]),
    "branch": (lambda: Branch((3, 4), (3, 3), strides=2), [(2, 5, 5, 2)]),
    "bottleneck": (lambda: bottleneck(8, 4, groups=2, order="postactivation", lead="activation"), [(2, 5, 5, 8)]),
    "shake": (lambda: Shake(basic(4), basic(4)), [(2, 5, 5, 4)]),
    "shifted_projection": (lambda: ShiftedProjection(4, 2), [(2, 5, 5, 2)]),
    "zero_padding": (lambda: ZeroPadding(5, 2, sampling="average", centered=True), [(2, 5, 5, 2)]),
    "restriction": (lambda: Restriction(4, "average"), [(2, 5, 5, 2)]),
    "full_weighting": (FullWeighting, [(2, 5, 5, 2)]),
    "grid_transfer": (lambda: GridTransfer(4, 5), [(2, 6, 6, 2), (2, 6, 6, 3)]),
}


def build(name: str, **overrides) -> keras.Model:
    """Returns the model of a key of `MODELS`."""
    family, arguments = MODELS[name]
    return family(**arguments | overrides)


def shared_kernels(model: keras.Model) -> dict[str, int]:
    """Returns how many kernels each level owns."""
    levels = [layer for layer in model.layers if layer.name.startswith("level")]
    return {level.name: sum(isinstance(part, Conv) for part in level._flatten_layers()) for level in levels}
