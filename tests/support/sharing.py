"""Models of every family that shares kernels, for any number of channels, and the constants in their TFLite and ONNX files."""

from pathlib import Path

import keras_mgnet as zoo
from keras_mgnet import FBResNet, HamiltonianNet, MgNet, PolyMgNet, PolyNet, PreActResNet, ResNet, create_model

SMALL = {"input_shape": (8, 8, 3), "classes": 10}
BOTH = {"share_A": True, "share_B": True}
PUBLISHED = {"depth": 34, "share_A": "published_size", "share_B": "published_size"}

CASES = {  # name -> the model of a number of channels
    **{f"MgNet nu={nu}, A and B": lambda c, nu=nu: MgNet((nu,), c, **SMALL) for nu in (2, 4, 8, 16)},
    **{f"MgNet nu={nu}, A": lambda c, nu=nu: MgNet((nu,), c, share_B=False, **SMALL) for nu in (2, 4, 8, 16)},
    "MgNet feature": lambda c: MgNet((4, 8), c, form="feature", **SMALL),
    "MgNet depthwise": lambda c: MgNet((4, 8), c, Pi="depthwise", R="depthwise", **SMALL),
    "MgNet full weighting": lambda c: MgNet((4, 8), c, Pi="full_weighting", R="average", **SMALL),
    **{
        f"MgNet {smoother}": lambda c, smoother=smoother: MgNet((8,), c, smoother=smoother, **SMALL)
        for smoother in ("damped", "chebyshev", "multistep")
    },
    "ResNet A and B": lambda c: ResNet(blocks=(8, 8), base_width=c, **BOTH, **SMALL),
    "ResNet B": lambda c: ResNet(blocks=(8, 8), base_width=c, share_B=True, **SMALL),
    "ResNet published size": lambda c: ResNet(base_width=c // 2, **PUBLISHED, **SMALL),
    "PreActResNet A and B": lambda c: PreActResNet(blocks=(8, 8), base_width=c, **BOTH, **SMALL),
    "PreActResNet A": lambda c: PreActResNet(blocks=(8, 8), base_width=c, share_A=True, **SMALL),
    "PreActResNet published size": lambda c: PreActResNet(base_width=c // 2, **PUBLISHED, **SMALL),
    **{
        f"FBResNet {A}, {B}": lambda c, A=A, B=B: FBResNet(A, B, nu=(3, 2), channels=(c, c), **SMALL)
        for A in ("linear", "pre", "post", "both")
        for B in ("linear", "pre", "post", "both")
    },
    **{
        name: lambda c, name=name: create_model(name, steps=3, base_width=c, **SMALL)
        for name in ("recurrent_resnet1", "recurrent_resnet2", "recurrent_resnet3", "recurrent_resnet1_shared_norms")
    },
    **{
        f"PolyNet {kind}": lambda c, kind=kind: PolyNet(kind, (2, 2), base_width=c, **SMALL)
        for kind in ("poly2", "poly3", "mpoly2", "mpoly3", "2way")
    },
    **{
        f"PolyMgNet {B}, {step}": lambda c, B=B, step=step: PolyMgNet((3, 2), c, B=B, step=step, **SMALL)
        for B in ("linear", "double", "quadratic")
        for step in ("regular", "outside", "relu_outside_nobn")
    },
    "MgNet A and B, no norm": lambda c: MgNet((8, 8), c, norm=None, **SMALL),
    "PolyMgNet conv": lambda c: PolyMgNet((8, 8), c, B="conv", share_B=True, **SMALL),
    "VCycleMgNet A and B": lambda c: zoo.VCycleMgNet((2, 2), c, **SMALL),
    "VCycleMgNet A": lambda c: zoo.VCycleMgNet((4, 4), c, share_B=False, **SMALL),
    "VCycleMgNet odd grid": lambda c: zoo.VCycleMgNet((2, 2), c, **SMALL | {"input_shape": (9, 7, 3)}),
    "VeryDeepPolyNet": lambda c: zoo.VeryDeepPolyNet((2, 3, 2), width=c / 384, **SMALL | {"input_shape": (16, 16, 3)}),
    **{
        f"HamiltonianNet {scheme}": lambda c, s=scheme: HamiltonianNet(s, blocks=(2, 2), channels=(c, c), **SMALL)
        for scheme in ("hamiltonian", "midpoint", "leapfrog", "verlet", "antisymmetric", "parabolic")
    },
}

WIDE = 64  # channels where kernels are nearly all of a model


def largest(model) -> int:
    """Returns the largest size of a float32 file that stores every kernel once: 4 bytes per parameter plus 3 % plus 100 kB."""
    return int(1.03 * 4 * zoo.count_params(model)) + 100_000


def constants(path: Path) -> dict[str, int]:
    """Returns the bytes of all constants of a .tflite or .onnx file, by type."""
    return (_tflite_constants if path.suffix == ".tflite" else _onnx_constants)(path)


def _tflite_constants(path):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    graph = model.Subgraphs(0)
    types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    held = {}  # a buffer counts once, whoever reads it
    for tensor in map(graph.Tensors, range(graph.TensorsLength())):
        held[tensor.Buffer()] = types[tensor.Type()].lower(), model.Buffers(tensor.Buffer()).DataLength()
    return _total(held.values())


def _onnx_constants(path):
    import onnx

    arrays = onnx.load(str(path)).graph.initializer
    name = onnx.TensorProto.DataType.Name
    return _total((name(array.data_type).lower(), onnx.numpy_helper.to_array(array).nbytes) for array in arrays)


def _total(held) -> dict[str, int]:
    total = {}
    for kind, size in held:
        kind = {"float": "float32"}.get(kind, kind)
        total[kind] = total.get(kind, 0) + size
    return total
