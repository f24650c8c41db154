"""A small example of every kind of model and layer. Suites of tests run over all of them."""

from functools import cache

import keras
import pytest

from keras_mgnet import (
    DenseNet,
    FBResNet,
    FractalNet,
    HamiltonianNet,
    HighwayNet,
    LMResNet,
    LMResNeXt,
    MgNet,
    MgNO,
    MultiResNet,
    PolyMgNet,
    PolyNet,
    PreActResNet,
    RecurrentResNet,
    ResNet,
    ResNeXt,
    RevNet,
    ShakeShake,
    VCycleMgNet,
    VeryDeepPolyNet,
)
from keras_mgnet.layers import (
    Affine,
    Blocks,
    Branch,
    Burgers,
    Chain,
    CoefficientStencil,
    Conv,
    CosineFilters,
    CoupledMultistep,
    Coupling,
    CouplingTransfer,
    CycleLevel,
    CycleTransfer,
    DataCorrection,
    DataSystem,
    Dense,
    DenseStates,
    DenseTransition,
    Diffusion,
    DiffusionStep,
    Euler,
    EulerFromData,
    EulerSystem,
    Force,
    FractalLevel,
    FullWeighting,
    GlobalPath,
    GridLevel,
    GridNorm,
    GridTransfer,
    Halves,
    Heun,
    Highway,
    IdleTransfer,
    Inception,
    InceptionStem,
    InTurn,
    Inverse,
    KernelChain,
    Level,
    LinearMultistep,
    LineSolver,
    Norm,
    Normalizer,
    PeronaMalik,
    Poly,
    PolynomialSmoother,
    Prolongation,
    RadialBasis,
    Recurrent,
    Residual,
    Rest,
    Restriction,
    Shake,
    ShiftedProjection,
    SkewConv,
    Stem,
    Stencil,
    StencilField,
    StencilFieldTransfer,
    StencilTransfer,
    Sum,
    Whitening,
    ZeroPadding,
    basic,
    bottleneck,
)
from keras_mgnet.layers.schemes.smoothers import Chebyshev, RedBlack
from keras_mgnet.layers.schemes.two_step import SecondOrder
from support import slow_unless

TINY = {"nu": (1, 2), "channels": 4, "input_shape": (8, 8, 1), "classes": 3}
NEXT = {"cardinality": 2, "group_width": 2, "depth": 11, "input_shape": (8, 8, 1), "classes": 3}
RES = {"base_width": 2, "input_shape": (8, 8, 1), "classes": 3}
DEEP = {"modules": (1, 2, 1), "width": 1 / 32, "input_shape": (8, 8, 1), "classes": 3}
POLY = {"nu": (2, 2), "channels": (4, 8), "input_shape": (8, 8, 1), "classes": 3}
FRACTAL = {"columns": 3, "channels": (4, 6), "input_shape": (9, 8, 1), "classes": 3}
DENSE = {"depth": 10, "growth": 3, "input_shape": (9, 8, 1), "classes": 3}
REV = {"blocks": (1, 2), "channels": (4, 6), "input_shape": (8, 8, 1), "classes": 3}

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
    "mgnet_max": (MgNet, TINY | {"Pi": "max", "R": "conv_max", "channels": (4, 6), "init": "identity"}),
    "mgnet_full_weighting": (MgNet, TINY | {"Pi": "full_weighting", "R": "full_weighting"}),
    "mgnet_imagenet_stem": (MgNet, TINY | {"stem": "imagenet", "input_shape": (32, 32, 3)}),
    "mgnet_strided_stem": (MgNet, TINY | {"stem": "strided"}),
    "mgnet_whitening_stem": (MgNet, TINY | {"stem": "whitening"}),
    "mgnet_softmax_gelu": (MgNet, TINY | {"classifier_activation": "softmax", "activation": "gelu"}),
    "mgnet_no_norm": (MgNet, TINY | {"norm": None}),
    "mgnet_nu_1": (MgNet, TINY | {"nu": (1, 1)}),
    "resnet8": (ResNet, RES | {"depth": 8}),
    "resnet18": (ResNet, RES),
    "resnet18_shared_ab": (ResNet, RES | {"share_A": True, "share_B": True}),
    "resnet34_published_size": (ResNet, RES | {"depth": 34, "share_A": "published_size", "share_B": "published_size"}),
    "preact_resnet_bottleneck": (PreActResNet, RES | {"blocks": (1, 2), "bottleneck": True}),
    "preact_resnet18_imagenet": (PreActResNet, RES | {"stem": "imagenet", "input_shape": (32, 32, 3)}),
    "preact_resnet18_shared_b": (PreActResNet, RES | {"share_B": True, "init": "torch_default"}),
    "preact_resnet18_published_size": (PreActResNet, RES | {"share_B": "published_size"}),
    "preact_resnet18_printed": (PreActResNet, RES | {"form": "printed"}),
    "preact_resnet18_published_size_printed": (PreActResNet, RES | {"share_B": "published_size", "form": "printed"}),
    "resnet_option_b_survival": (ResNet, RES | {"depth": 8, "shortcut": "projection", "survival": 0.5}),
    "resnet_bottleneck": (ResNet, RES | {"blocks": (2, 1), "bottleneck": True}),
    "preact_resnet_imagenet": (
        PreActResNet,
        RES | {"blocks": (1, 2), "bottleneck": True, "stem": "imagenet", "input_shape": (32, 32, 3)},
    ),
    "preact_resnet8_no_norm": (PreActResNet, RES | {"depth": 8, "norm": None}),
    "resnet_linear_multistep": (ResNet, RES | {"blocks": (2, 2), "scheme": "linear_multistep"}),
    "lm_resnet14": (LMResNet, RES | {"depth": 14}),
    "lm_resnet_bottleneck": (LMResNet, RES | {"blocks": (2, 1, 2), "bottleneck": True}),
    "lm_resnet_project_survival": (
        LMResNet,
        RES | {"blocks": (2, 2), "lm_transition": "project", "survival": 0.5, "survival_schedule": "lm_release"},
    ),
    "resnext11": (ResNeXt, NEXT),
    "preact_resnext11": (ResNeXt, NEXT | {"preactivation": True}),
    "lm_resnext11": (LMResNeXt, NEXT),
    "shake_shake": (ShakeShake, {"depth": 8, "width": 4, "input_shape": (8, 8, 1), "classes": 3}),
    "shake_shake_aggregated": (
        ShakeShake,
        {"depth": 11, "width": 2, "cardinality": 2, "mode": "batch", "input_shape": (8, 8, 1), "classes": 3},
    ),
    "shake_shake_small_step": (
        ShakeShake,
        {"depth": 8, "width": 2, "dt": 0.25, "input_shape": (8, 8, 1), "classes": 3},
    ),
    "polynet_poly2": (PolyNet, RES | {"kind": "poly2", "blocks": (1, 2, 2)}),
    "polynet_mpoly3": (PolyNet, RES | {"kind": "mpoly3", "blocks": (1, 2)}),
    "polynet_2way": (PolyNet, RES | {"kind": "2way", "blocks": (2,)}),
    "very_deep_polynet": (VeryDeepPolyNet, DEEP),
    "very_deep_polynet_imagenet": (VeryDeepPolyNet, DEEP | {"stem": "imagenet", "input_shape": (75, 75, 3)}),
    "fractalnet": (FractalNet, FRACTAL),
    "fractalnet_imagenet": (FractalNet, FRACTAL | {"stem": "imagenet", "input_shape": (32, 32, 3), "init": "xavier"}),
    "fractalnet_column": (FractalNet, FRACTAL | {"column": 1}),
    "densenet_10": (DenseNet, DENSE),
    "densenet_bc_dropout": (DenseNet, DENSE | {"bottleneck": True, "reduction": 0.7, "dropout": 0.2}),
    "densenet_imagenet": (
        DenseNet,
        DENSE | {"blocks": (1, 2, 1), "bottleneck": True, "stem": "imagenet", "input_shape": (32, 32, 3)},
    ),
    "highway_conv": (HighwayNet, {"nu": (2, 1), "channels": (3, 4), "input_shape": (9, 8, 1), "classes": 3}),
    "highway_carry_gate": (
        HighwayNet,
        {"nu": (2,), "channels": 3, "carry_gate": True, "input_shape": (9, 8, 1), "classes": 3},
    ),
    "highway_dense": (
        HighwayNet,
        {"nu": (1, 2), "channels": (6, 5), "kind": "dense", "input_shape": (4, 4, 1), "classes": 3},
    ),
    "multi_resnet8": (MultiResNet, RES | {"depth": 8, "branches": 3}),
    "multi_resnet_bottleneck": (MultiResNet, RES | {"blocks": (2, 1), "bottleneck": True, "widen": 2}),
    "multi_resnet_imagenet": (MultiResNet, RES | {"blocks": (1, 2), "stem": "imagenet", "input_shape": (32, 32, 3)}),
    "recurrent_resnet1": (RecurrentResNet, RES | {"states": 1, "steps": 3, "share_norms": True}),
    "recurrent_resnet2": (RecurrentResNet, RES | {"states": 2, "steps": 3}),
    "recurrent_resnet3": (RecurrentResNet, RES | {"states": 3, "steps": 2}),
    "recurrent_resnet2_unshared": (RecurrentResNet, RES | {"states": 2, "steps": 3, "share_K": False}),
    "fb_resnet_linear_both": (FBResNet, TINY | {"channels": (4, 6)}),
    "fb_resnet_post_pre": (FBResNet, TINY | {"A": "post", "B": "pre"}),
    "fb_resnet_both_linear": (
        FBResNet,
        TINY | {"A": "both", "B": "linear", "channels": (3, 5), "input_shape": (9, 7, 1)},
    ),
    "vcycle_mgnet": (VCycleMgNet, TINY | {"channels": (4, 6), "input_shape": (9, 7, 1)}),
    "vcycle_mgnet_unshared_b": (VCycleMgNet, TINY | {"share_B": False, "post_nu": 2}),
    "vcycle_mgnet_no_post": (VCycleMgNet, TINY | {"post_nu": 0, "nu": (1, 1, 2)}),
    "poly_mgnet_outside": (PolyMgNet, POLY | {"step": "outside"}),
    "poly_mgnet_double": (PolyMgNet, POLY | {"B": "double", "step": "relu_outside_nobn", "residual": "bn_only"}),
    "poly_mgnet_quadratic": (PolyMgNet, POLY | {"B": "quadratic", "nu": (1, 2), "residual": "plain", "share_B": True}),
    "poly_mgnet_conv": (PolyMgNet, POLY | {"B": "conv"}),
    "revnet": (RevNet, REV),
    "revnet_bottleneck": (RevNet, REV | {"blocks": (2, 2), "bottleneck": True, "memory_free": False}),
    "revnet_linear_multistep": (RevNet, REV | {"blocks": (2, 2), "scheme": "linear_multistep"}),
    "hamiltonian": (HamiltonianNet, REV),
    "hamiltonian_inner": (HamiltonianNet, REV | {"inner": (3, 4)}),
    "verlet_inner": (HamiltonianNet, REV | {"scheme": "verlet", "channels": (5, 6), "inner": (2, 3)}),
    "midpoint": (HamiltonianNet, REV | {"scheme": "midpoint"}),
    "leapfrog": (HamiltonianNet, REV | {"scheme": "leapfrog", "dt": 1.0}),
    "verlet": (HamiltonianNet, REV | {"scheme": "verlet"}),
    "second_order": (HamiltonianNet, REV | {"scheme": "second_order"}),
    "second_order_damped": (HamiltonianNet, REV | {"scheme": "second_order", "damping": 0.5, "dt": 1.0}),
    "velocity_verlet": (HamiltonianNet, REV | {"scheme": "velocity_verlet"}),
    "parabolic": (HamiltonianNet, REV | {"scheme": "parabolic", "dt": 1.0}),
    "antisymmetric": (HamiltonianNet, REV | {"scheme": "antisymmetric", "gamma": 0.3}),
}

SMALL = {"channels": 3, "layers": 2, "steps": ((1, 0), (1, 1), (2, 0)), "input_shape": (8, 8, 1)}

# networks from functions to functions, which have neither classes nor batch normalisation
MAPS = {
    "mgno": (MgNO, SMALL | {"normalize_x": "scalar", "normalize_y": "pointwise"}),
    "mgno_odd_grids": (MgNO, SMALL | {"input_shape": (11, 7, 2), "padding": "reflect", "out_channels": 2}),
    "mgno_residual": (MgNO, SMALL | {"restrict": "residual", "coarse_points": "odd", "input_shape": (7, 7, 1)}),
    "mgno_navier_stokes": (MgNO, SMALL | {"variant": "navier_stokes", "padding": "periodic"}),
    "mgno_helmholtz": (
        MgNO,
        SMALL
        | {"channels": (2, 4, 6), "variant": "helmholtz", "padding": "reflect", "coarse_points": "odd"}
        | {"input_shape": (11, 11, 1)},
    ),
}
FORMS_OF_MAPS = ("mgno", "mgno_residual", "mgno_helmholtz")
every_map = pytest.mark.parametrize("name", slow_unless(FORMS_OF_MAPS, MAPS))

# the first model of each family, for what takes long
ONE_PER_FAMILY = list({family: name for name, (family, _) in reversed(MODELS.items())}.values())[::-1]
SMALL_FAMILIES = [
    name for name in ONE_PER_FAMILY if name != "very_deep_polynet"
]  # of many operations, as any of its size
FORMS = ("mgnet", "resnet8", "densenet_10", "highway_dense", "vcycle_mgnet", "fractalnet", "hamiltonian")  # of a graph
every_model = pytest.mark.parametrize("name", MODELS)
every_family_first = pytest.mark.parametrize("name", slow_unless(ONE_PER_FAMILY, MODELS))
small_families_first = pytest.mark.parametrize("name", slow_unless(SMALL_FAMILIES, MODELS))
forms_first = pytest.mark.parametrize("name", slow_unless(FORMS, ONE_PER_FAMILY))

# models in which chance leaves out parts of a training step
BY_CHANCE = {"resnet_option_b_survival", "lm_resnet_project_survival", "fractalnet", "fractalnet_imagenet"}

# layer -> shapes of its tensors
LAYERS = {
    "conv": (lambda: Conv(4, strides=2), [(2, 7, 6, 3)]),
    "norm": (lambda: Norm("relu", foldable=False), [(2, 4, 4, 3)]),
    "stem": (lambda: Stem(4, "imagenet"), [(2, 16, 16, 3)]),
    "whitening_stem": (lambda: Stem(4, "whitening"), [(2, 7, 8, 3)]),
    "whitening": (lambda: Whitening(3, activation="relu"), [(2, 7, 8, 3)]),
    "grid_level_first": (lambda: GridLevel(4, 3, 2), [(2, 4, 4, 3)]),
    "grid_level": (lambda: GridLevel(4, 3, 3, smoother="multistep", share_B=False), [(2, 4, 4, 3), (2, 4, 4, 4)]),
    "residual_level": (lambda: Level(Euler(), Blocks(basic(4, uses=3), survival=(1, 0.9, 0.8))), [(2, 5, 5, 4)]),
    "heun_level": (lambda: Level(Heun(), basic(4, uses=2)), [(2, 5, 5, 4)]),
    "linear_multistep_level": (lambda: Level(LinearMultistep(3), Blocks(basic(4, uses=3))), [(2, 5, 5, 4)]),
    "branch": (lambda: Branch((3, 4), (3, 3), strides=2), [(2, 5, 5, 2)]),
    "bottleneck": (lambda: bottleneck(8, 4, groups=2, order="postactivation", lead="activation"), [(2, 5, 5, 8)]),
    "shake": (lambda: Shake(basic(4), basic(4)), [(2, 5, 5, 4)]),
    "shifted_projection": (lambda: ShiftedProjection(4, 2), [(2, 5, 5, 2)]),
    "zero_padding": (lambda: ZeroPadding(5, 2, sampling="average", centered=True), [(2, 5, 5, 2)]),
    "restriction": (lambda: Restriction(4, "average"), [(2, 5, 5, 2)]),
    "full_weighting": (FullWeighting, [(2, 5, 5, 2)]),
    "grid_transfer": (lambda: GridTransfer(4, 5), [(2, 6, 6, 2), (2, 6, 6, 3)]),
    "poly": (lambda: Poly(basic(4, uses=4, sharing=((0, 0, 1, 2),) * 2), ("poly2", "2way")), [(2, 5, 5, 4)]),
    "inception": (lambda: Inception((((2, 1), (3, (1, 7))), ((4, 3),)), 5, uses=2, sharing=(0, 0)), [(2, 9, 9, 5)]),
    "inception_reduction": (lambda: Inception(("pool", ((4, 3, 2),))), [(2, 9, 9, 5)]),
    "inception_stem": (lambda: InceptionStem(((((4, 3, 2),),), ("pool", ((6, 3, 2),)))), [(2, 15, 15, 3)]),
    "chain": (
        lambda: Chain(
            ((3, (7, 1)), (4, 3)), ("activation", "norm", "sigma"), uses=2, sharing=((0, 0), (0, 1)), dropout=0.1
        ),
        [(2, 9, 9, 5)],
    ),
    "fractal_level": (lambda: FractalLevel(4, 3, dropout=0.1), [(2, 9, 8, 3), (3,)]),
    "global_path": (lambda: GlobalPath(3), [(2, 8, 8, 3)]),
    "norm_unlearned": (lambda: Norm("relu", foldable=False, learned=False), [(2, 4, 4, 3)]),
    "affine": (lambda: Affine(4, strides=2, bias=1.0, activation="relu"), [(2, 7, 6, 3)]),
    "dense_level": (lambda: Level(Dense(), DenseStates(2, 3, bottleneck=True, dropout=0.1)), [(2, 5, 5, 3)]),
    "dense_transition": (lambda: DenseTransition(4, dropout=0.1), [(2, 5, 5, 3)]),
    "highway_level": (lambda: Level(Euler(), Highway(4, 2)), [(2, 5, 5, 4)]),
    "sum": (lambda: Level(Euler(), Sum([basic(4, uses=2), basic(4, uses=2)])), [(2, 5, 5, 4)]),
    "recurrent_level": (lambda: Level(EulerSystem(), Recurrent(4, 3, 2, share_norms=True)), [(2, 5, 5, 4)]),
    "grid_level_feature": (
        lambda: GridLevel(4, 3, 2, A=("sigma", "norm"), B=("norm", None), form="feature", last=True),
        [(2, 4, 4, 3), (2, 4, 4, 4)],
    ),
    "grid_level_polynomial": (lambda: GridLevel(3, 3, 2, smoother=PolynomialSmoother(2, "quadratic")), [(2, 4, 4, 3)]),
    "cycle_level": (lambda: CycleLevel(3, 1, 2, share_B=False), [(2, 4, 4, 3)] * 3),
    "cycle_level_stencils": (
        lambda: CycleLevel(
            1,
            4,
            2,
            B=(None, None),
            form="feature",
            smoothers=(RedBlack(4), Chebyshev(2, (1.0, 1.2))),
            operators=(Stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]), Stencil([[0.25]], None)),
        ),
        [(2, 5, 4, 1)] * 3,
    ),
    "kernel_chain": (lambda: KernelChain(("cross", "column:2"), 3, scale=0.25), [(2, 5, 4, 1)]),
    "coefficient_stencil": (lambda: CoefficientStencil(3), [(2, 5, 4, 1)]),
    "stencil_field": (lambda: StencilField(3), [(2, 5, 4, 2)]),
    "stencil_field_of_a_batch": (lambda: StencilField(3, batch=2), [(2, 5, 4, 2)]),
    "stencil_transfer": (
        lambda: StencilTransfer([[0, 1, 1], [1, 2, 1], [1, 1, 0]], divisor=2.0),
        [(2, 7, 5, 2), (2, 3, 2, 2)],
    ),
    "stencil_field_transfer": (lambda: StencilFieldTransfer((1, 3)), [(2, 7, 5, 2), (2, 7, 2, 2)]),
    "line_solver": (lambda: LineSolver("y", 1), [(2, 7, 4, 2)]),
    "inverse": (Inverse, [(2, 3, 2, 2)]),
    "stencil_residual": (lambda: Residual(Stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])), [(2, 5, 4, 1)] * 2),
    "cycle_transfer": (lambda: CycleTransfer(4), [(2, 5, 6, 2), (2, 3, 3, 4)]),
    "depthwise_restriction": (lambda: Restriction(4, "depthwise"), [(2, 5, 5, 2)]),
    "idle_transfer": (lambda: IdleTransfer(4, 4, Pi="depthwise", R="depthwise"), [(2, 5, 5, 2)]),
    "reversible_level": (
        lambda: Level(Coupling(), InTurn([basic(4, uses=2) for _ in range(2)]), memory_free=True),
        [(2, 5, 5, 4)] * 2,
    ),
    "coupled_multistep_level": (
        lambda: Level(CoupledMultistep(4), InTurn([basic(4, uses=2) for _ in range(2)])),
        [(2, 5, 5, 4)] * 2,
    ),
    "leapfrog_level": (
        lambda: Level(Coupling(), Force(4, ("gradient", "identity"), (-0.1, 0.1), shared=True)),
        [(2, 5, 5, 4)] * 2,
    ),
    "second_order_level": (
        lambda: Level(SecondOrder(0.1), Force(4, ("single", "single"), (0.1, 0.1)), memory_free=True),
        [(2, 5, 5, 4)] * 2,
    ),
    "rest": (Rest, [(2, 5, 5, 4)]),
    "coupling_transfer": (
        lambda: CouplingTransfer(basic(4, uses=2, strides=2), Conv(4, 1, strides=2), ZeroPadding(4, 2)),
        [(2, 5, 5, 2)] * 2,
    ),
    "halves": (Halves, [(2, 5, 5, 4)]),
    "force": (lambda: Force(4, ("adjoint", "damped_skew"), (0.1, 0.2), gamma=0.3), [(2, 5, 4, 4)]),
    "skew_conv": (lambda: SkewConv(4), [(2, 5, 4, 4)]),
    "cosine_filters": (lambda: CosineFilters(3, 5), [(2, 5, 4, 1)]),
    "radial_basis": (lambda: RadialBasis(9, 40.0, slope=0.5, scale=20.0), [(2, 5, 4, 3)]),
    "diffusion_step": (lambda: DiffusionStep(3, 4, 9, reaction=0.2), [(2, 5, 4, 1)] * 2),
    "diffusion_level": (lambda: Level(EulerFromData(), Diffusion(2, 3, 4, 9, reaction=0.2)), [(2, 5, 4, 1)]),
    "data_level": (
        lambda: Level(DataCorrection(), DataSystem(4, 3, 2, padded="periodic", bias=True)),
        [(2, 5, 4, 3), (2, 5, 4, 4)],
    ),
    "data_level_from_zero": (
        lambda: Level(DataCorrection(), DataSystem(4, 3, 2, from_zero=True, padded="reflect")),
        [(2, 5, 4, 3)],
    ),
    "prolongation": (Prolongation, [(2, 5, 7, 3), (2, 3, 4, 2)]),
    "prolongation_even": (lambda: Prolongation(padded=False), [(2, 6, 8, 3), (2, 2, 3, 2)]),
    "unpadded_transfer": (lambda: GridTransfer(4, 5, normalize=False, padded=False), [(2, 7, 7, 2), (2, 7, 7, 3)]),
    "grid_norm": (GridNorm, [(2, 5, 4, 3)]),
    "normalizer": (lambda: Normalizer("pointwise", inverse=True), [(2, 5, 4, 3)]),
    "burgers": (lambda: Burgers(2, (0.5, -1.0), dt=0.2), [(2, 5, 4, 1)]),
    "perona_malik": (lambda: PeronaMalik(3, 0.1, dt=0.2), [(2, 5, 4, 1)]),
}


def build(name: str, **overrides) -> keras.Model:
    """Returns a new model for a key of `MODELS` or `MAPS`. `overrides` replace its arguments."""
    family, arguments = (MODELS | MAPS)[name]
    return family(**arguments | overrides)


@cache
def built(name):
    """Returns the model for a key of `MODELS` or `MAPS`, built once for all tests. Tests must not change this model."""
    return build(name)


def shared_kernels(model: keras.Model) -> dict[str, int]:
    """Returns how many kernels each level owns."""
    levels = [layer for layer in model.layers if layer.name.startswith("level")]
    return {level.name: sum(isinstance(part, Conv) for part in level._flatten_layers()) for level in levels}
