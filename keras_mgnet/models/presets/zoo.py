"""The rows of the wider family, each from its own source."""

from keras_mgnet.models.presets.rows import errors, row
from keras_mgnet.registry import ModelInfo

CHANNELS = "no channels of five blocks that double or stay give it; ours are those of the released generator"
TRANSPOSED = "144.9M with the published layout, perhaps transposed digits"

# family, source, recipe, rows: name, arguments, exact parameters, published, data set
TABLES = [
    ("DenseNet", "DenseNet README", "densenet", [
        ("densenet_40_12", {"depth": 40, "growth": 12}, 1_019_722, errors("1.0M", cifar10=5.24, cifar100=24.42), "cifar10"),
        ("densenet_100_12", {"depth": 100, "growth": 12}, 6_979_642, errors("7.0M", cifar10=4.10, cifar100=20.20), "cifar10"),
        ("densenet_100_24", {"depth": 100, "growth": 24}, 27_249_082, errors("27.2M", cifar10=3.74, cifar100=19.25),
         "cifar10"),
        ("densenet_bc_100_12", {"depth": 100, "growth": 12, "bottleneck": True}, 769_162,
         errors("0.8M", cifar10=4.51, cifar100=22.27), "cifar10"),
        ("densenet_bc_250_24", {"depth": 250, "growth": 24, "bottleneck": True}, 15_324_406,
         errors("15.3M", cifar10=3.62, cifar100=17.60), "cifar10"),
        ("densenet_bc_190_40", {"depth": 190, "growth": 40, "bottleneck": True}, 25_624_430,
         errors("25.6M", cifar10=3.46, cifar100=17.18), "cifar10"),
    ]),
    ("DenseNet", "DenseNet README", "densenet_imagenet", [
        ("densenet121", {"growth": 32, "blocks": (6, 12, 24, 16), "bottleneck": True}, 7_978_856, errors(imagenet=25.0),
         "imagenet"),
        ("densenet169", {"growth": 32, "blocks": (6, 12, 32, 32), "bottleneck": True}, 14_149_480, errors(imagenet=23.6),
         "imagenet"),
        ("densenet201", {"growth": 32, "blocks": (6, 12, 48, 32), "bottleneck": True}, 20_013_928, errors(imagenet=22.5),
         "imagenet"),
        ("densenet161", {"growth": 48, "blocks": (6, 12, 36, 24), "bottleneck": True}, 28_681_000, errors(imagenet=22.2),
         "imagenet"),
    ]),
    ("MultiResNet", "masabdi/multi-resnet README", "lu2018_cifar10", [
        ("multi_resnet200_k5", {"depth": 200, "branches": 5, "bottleneck": True}, 10_187_354,
         errors("10.2M", cifar10=4.35, cifar100=20.42), "cifar10"),
        ("multi_resnet398_k5", {"depth": 398, "branches": 5, "bottleneck": True}, 20_388_314,
         errors("20.4M", cifar10=3.92, cifar100=20.59), "cifar10"),
        ("multi_resnet26_k2_w10", {"depth": 26, "branches": 2, "widen": 10}, 72_433_146,
         errors("72M", cifar10=3.96, cifar100=19.45), "cifar10"),
        ("multi_resnet26_k4_w10", {"depth": 26, "branches": 4, "widen": 10}, 144_858_170,
         errors("154M", cifar10=3.73, cifar100=19.60) | {"params_note": TRANSPOSED}, "cifar10"),
    ]),
    ("PolyNet", "Lu2018 section 2.1", "lu2018_cifar10", [
        ("polynet_poly2", {"kind": "poly2"}, 270_682, {}, "cifar10"),
        ("polynet_poly3", {"kind": "poly3"}, 271_642, {}, "cifar10"),
        ("polynet_mpoly2", {"kind": "mpoly2"}, 468_826, {}, "cifar10"),
        ("polynet_2way", {"kind": "2way"}, 468_826, {}, "cifar10"),
    ]),
    ("VeryDeepPolyNet", "CUHK-MMLAB/polynet", "lu2018_imagenet", [
        ("polynet_very_deep_imagenet", {"input_shape": (331, 331, 3)}, 95_366_600, errors(imagenet=18.71), "imagenet"),
    ]),
    ("FractalNet", "Lu2018 Table 2, gustavla/fractalnet", "larsson2017", [
        ("fractalnet20", {"columns": 3, "init": "xavier"}, 33_714_314,
         errors("38.6M", cifar100=23.30) | {"params_note": CHANNELS}, "cifar10"),
        ("fractalnet40", {"columns": 4, "init": "xavier"}, 76_084_554,
         errors("22.9M", cifar100=22.49) | {"params_note": CHANNELS}, "cifar10"),
    ]),
    ("RevNet", "renmengye/revnet-public", "revnet", [
        ("revnet38", {"depth": 38}, 464_890, {}, "cifar10"),
        ("revnet110", {"depth": 110}, 1_729_194, {}, "cifar10"),
        ("revnet164", {"depth": 164}, 1_748_778, {}, "cifar10"),
    ]),
    ("HamiltonianNet", "LiliMeng/hamiltonian-revnet", "revnet", [
        ("hamiltonian74", {}, 480_458, {}, "cifar10"),
        ("hamiltonian218", {"blocks": (18, 18, 18), "channels": (32, 64, 128)}, 1_748_330, {}, "cifar10"),
    ]),
    ("HamiltonianNet", "Chang et al. 2018, layout ours", "revnet", [
        ("midpoint38", {"scheme": "midpoint"}, 957_386, {}, "cifar10"),
        ("leapfrog38", {"scheme": "leapfrog"}, 957_386, {}, "cifar10"),
    ]),
    ("VCycleMgNet", "KAUST m6_01, Algorithm 10", "xuteam", [
        ("vcycle_mgnet_2222_c256_shared_b", {}, 6_513_930, {}, "cifar10"),
    ]),
    ("PolyMgNet", "vanbetteray/Poly-MgNet", "poly_mgnet", [
        ("poly_mgnet", {}, 1_386_706, {}, "cifar10"),
        ("poly_mgnet_conv_shared_b", {"B": "conv", "share_B": True}, 2_750_666, {}, "cifar10"),
        ("poly_mgnet_conv", {"B": "conv"}, 4_114_634, {}, "cifar10"),
    ]),
    ("RecurrentResNet", "Lu2017 Fig. 6", "lu2018_cifar10", [
        ("recurrent_resnet1", {"states": 1}, 78_794, {}, "cifar10"),
        ("recurrent_resnet1_shared_norms", {"states": 1, "share_norms": True}, 76_490, {}, "cifar10"),
        ("recurrent_resnet1_unshared", {"states": 1, "share_K": False}, 742_346, {}, "cifar10"),
        ("recurrent_resnet2", {"states": 2}, 306_634, {}, "cifar10"),
        ("recurrent_resnet3", {"states": 3}, 122_362, {}, "cifar10"),
        ("recurrent_resnet3_unshared", {"states": 3, "share_K": False}, 315_898, {}, "cifar10"),
    ]),
]  # fmt: skip

FORMS = ("linear", "post", "pre", "both")  # of B, the columns of He2019 Table 1
FB_RESNET = {  # A -> CIFAR-10 accuracy, exact parameters
    "linear": ((70.96, 92.82, 93.01, 93.49), (12_503_882, 12_507_722, 12_507_722, 12_511_562)),
    "pre": ((92.64, 92.54, 93.46, 93.15), (12_507_722, 12_511_562, 12_511_562, 12_515_402)),
    "post": ((91.91, 92.14, 93.37, 93.17), (12_507_722, 12_511_562, 12_511_562, 12_515_402)),
    "both": ((92.70, 93.23, 93.37, 93.40), (12_511_562, 12_515_402, 12_515_402, 12_519_242)),
}


def rows() -> list[ModelInfo]:
    """Returns the rows of all families."""
    tables = [
        row(name, family, kwargs, params, source, reported, recipe, dataset)
        for family, source, recipe, entries in TABLES
        for name, kwargs, params, reported, dataset in entries
    ]
    return tables + [
        row(f"fb_resnet_{A}_{B}", "FBResNet", {"A": A, "B": B}, params, "He2019 Table 1", {"cifar10": accuracy},
            "he2019_resnet18")
        for A, published in FB_RESNET.items()
        for B, accuracy, params in zip(FORMS, *published, strict=True)
    ]  # fmt: skip
