"""Every shared kernel is stored once, for every family that shares, in TFLite and ONNX, in float32 and in int8."""

import keras
import numpy as np
import pytest

from keras_mgnet import MgNet, count_params, export
from keras_mgnet.export.adjoints import store_adjoints_once
from keras_mgnet.layers import Norm
from support import sharing, slow_unless
from support.numerics import randomize

THIN = 16  # channels
FAST = (
    "MgNet nu=4, A and B",
    "FBResNet post, pre",
    "recurrent_resnet2",
    "PolyNet poly2",
    "PolyMgNet double, regular",
    "PolyMgNet quadratic, regular",
    "VCycleMgNet A and B",
    "HamiltonianNet leapfrog",
)

EXPORTERS = {"tflite": export.tflite, "onnx": export.onnx}
every_format = pytest.mark.parametrize("format", EXPORTERS)


def mixed_signs(model):
    """Gives norms factors of both signs, no two alike, which no converter pulls through a rectifier; keeps activations tame."""
    rng = np.random.default_rng(1)
    for norm in (layer for layer in model._flatten_layers() if isinstance(layer, Norm)):
        norm.gamma.assign(rng.choice([-1, 1], norm.gamma.shape) * rng.uniform(0.5, 1, norm.gamma.shape))
        norm.beta.assign(rng.normal(size=norm.beta.shape))
        norm.moving_mean.assign(0.1 * rng.normal(size=norm.moving_mean.shape))
    return model


@every_format
@pytest.mark.parametrize("name", slow_unless(FAST[::4], FAST))
def test_a_file_holds_as_many_numbers_as_the_model(name, format, tmp_path):
    model = mixed_signs(sharing.CASES[name](THIN))
    held = sharing.constants(EXPORTERS[format](model, tmp_path / f"m.{format}"))
    assert held["float32"] == pytest.approx(
        4 * count_params(model), abs=1_200
    )  # a kernel of 16 channels has 9,216 bytes


@every_format
def test_a_file_of_a_model_around_a_network_holds_as_many_numbers(format, tmp_path):
    image, backbone = keras.Input((8, 8, 3)), MgNet((4,), THIN, **sharing.SMALL, include_top=False, pooling="avg")
    classes = keras.layers.Dense(5, "softmax")(backbone(keras.layers.Rescaling(0.1)(image)))
    model = mixed_signs(keras.Model(image, classes))
    held = sharing.constants(EXPORTERS[format](model, tmp_path / f"m.{format}"))
    assert held["float32"] == pytest.approx(4 * count_params(model), abs=1_200)


@every_format
@pytest.mark.parametrize("name", slow_unless(FAST[:1], FAST[:3]))
def test_a_file_in_int8_holds_as_many_numbers_as_the_model(name, format, images, tmp_path):
    model = sharing.CASES[name](THIN)
    samples = images(model, 8)
    for _ in range(5):
        model(samples, training=True)
    held = sharing.constants(EXPORTERS[format](model, tmp_path / f"m.{format}", quantize="int8", samples=samples))
    assert held["int8"] == pytest.approx(count_params(model), abs=1_500)  # a kernel of 16 channels has 2,304


@every_format
@pytest.mark.slow
@pytest.mark.parametrize("name", sharing.CASES)
def test_a_file_is_as_large_as_its_unique_weights(name, format, tmp_path):
    model = mixed_signs(sharing.CASES[name](sharing.WIDE))
    path = EXPORTERS[format](model, tmp_path / f"m.{format}")
    assert path.stat().st_size <= sharing.largest(model)


@pytest.mark.parametrize("quantize, factor", [("dynamic", 0.4), ("int8", 0.4)])
def test_quantised_files_are_smaller(quantize, factor, images, tmp_path):
    model = MgNet((2,), 64, input_shape=(8, 8, 3))
    samples = images(model, 8)
    for format, exporter in EXPORTERS.items():
        path = exporter(model, tmp_path / f"m.{format}", quantize=quantize, samples=samples)
        assert path.stat().st_size < factor * 4 * count_params(model)


@pytest.mark.parametrize("name", ["HamiltonianNet verlet", "VCycleMgNet odd grid"])
def test_a_kernel_and_its_adjoint_are_one_tensor(name, images, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    model = randomize(sharing.CASES[name](4))
    path = export.tflite(model, tmp_path / "m.tflite")
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    (graph,) = content.subgraphs
    codes = [content.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators]
    adjoints = [o.inputs[1] for o, code in zip(graph.operators, codes, strict=True) if code == 67]  # TRANSPOSE_CONV
    computed = [o.outputs[0] for o, code in zip(graph.operators, codes, strict=True) if code == 39]  # TRANSPOSE
    assert set(adjoints) and set(adjoints) <= set(computed)

    x = images(model, 3)
    difference = export.open_artifact(path)(x)["logits"] - model(x, training=False)
    assert np.abs(difference).max() < 1e-4 * np.abs(model(x, training=False)).max()


def with_equal_kernels(shapes):
    """A flatbuffer's object with an operator for each kernel, all of whose entries are one."""
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.subgraphs, model.operatorCodes, model.buffers = [graph], [], [schema.BufferT()]
    graph.tensors, graph.operators = [], []
    for index, (name, shape) in enumerate(shapes.items()):
        code, operator, tensor, buffer = schema.OperatorCodeT(), schema.OperatorT(), schema.TensorT(), schema.BufferT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        operator.opcodeIndex, operator.inputs = index, [-1, index]
        tensor.type, tensor.shape, tensor.buffer = schema.TensorType.FLOAT32, shape, index + 1
        buffer.data = np.ones(shape, "float32").reshape(-1).view("uint8")
        for held, new in (
            (model.operatorCodes, code),
            (graph.operators, operator),
            (graph.tensors, tensor),
            (model.buffers, buffer),
        ):
            held.append(new)
    return model


@pytest.mark.parametrize(("adjoint", "count"), [((2, 3, 3, 4), 1), ((4, 3, 3, 2), 0), ((8, 3, 3, 1), 0)])
def test_equal_numbers_in_another_shape_are_no_adjoint(adjoint, count):
    model = with_equal_kernels({"CONV_2D": (4, 3, 3, 2), "TRANSPOSE_CONV": adjoint})
    assert store_adjoints_once(model) == count
    assert (model.buffers[2].data is None) == (count == 1)
