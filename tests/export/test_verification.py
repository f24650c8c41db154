"""Verification finds what is wrong with an artifact, and its numbers are those of numpy."""

import numpy as np
import pytest
from scipy.special import softmax

from keras_mgnet import MgNet, count_params, export
from keras_mgnet.export import comparison
from keras_mgnet.export.comparison import Comparison, compare
from keras_mgnet.export.servable import Servable
from support.numerics import randomize

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def model():
    return randomize(MgNet((2,), 8, input_shape=SHAPE, classes=4))


@pytest.fixture(scope="module")
def wide():
    """A model with kernels of more than 1024 numbers; TFLite quantises no smaller ones."""
    return randomize(MgNet((2,), 32, input_shape=SHAPE, classes=4))


@pytest.fixture(scope="module")
def quantised(wide, tmp_path_factory):
    """The path of the TFLite file of the wide model, by quantisation."""
    out = tmp_path_factory.mktemp("quantised")
    return {
        quantize: export.tflite(wide, out / f"{quantize}.tflite", quantize=quantize)
        for quantize in (None, "float16", "dynamic")
    }


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(3).normal(size=(9, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def artifact(model, tmp_path_factory):
    return export.onnx(model, tmp_path_factory.mktemp("verify") / "m.onnx")


@pytest.fixture
def tampered(monkeypatch):
    """Returns a function that puts another runner in the place of every artifact's."""

    def put(change):
        real = comparison.open_artifact

        def opened(path):
            run = real(path)
            return lambda images: change(run, images)

        monkeypatch.setattr(comparison, "open_artifact", opened)

    return put


def with_logits(outputs, logits):
    return {**outputs, "logits": logits, "probabilities": softmax(logits, axis=-1), "classes": logits.argmax(-1)}


# the numbers of a report


def test_accuracies_and_their_drop(model, artifact, samples):
    classes = np.asarray(model(samples)).argmax(-1)
    labels = classes.copy()
    labels[:3] = (labels[:3] + 1) % 4
    report = export.verify(model, artifact, samples, labels=labels)
    assert report.keras_accuracy == report.accuracy == pytest.approx(6 / 9)
    assert report.drop == 0
    assert export.verify(model, artifact, samples).drop is None


def test_the_drop_is_that_of_the_artifact(model, artifact, samples, tampered):
    logits = np.asarray(model(samples))
    least = np.argsort(logits[0])[-2]

    def favour(run, images):
        outputs = run(images)
        hit = np.isclose(images, samples[0]).all(axis=(1, 2, 3))
        changed = outputs["logits"].copy()
        changed[hit, least] += 10
        return with_logits(outputs, changed)

    tampered(favour)
    report = export.verify(model, artifact, samples, labels=logits.argmax(-1), tolerance=20)
    assert report.keras_accuracy == 1
    assert report.accuracy == report.agreement == pytest.approx(8 / 9)
    assert report.drop == pytest.approx(1 / 9)
    assert report.max_difference == pytest.approx(10, rel=1e-4)


def test_sizes_count_every_shared_tensor_once(model, artifact, samples):
    report = export.verify(model, artifact, samples)
    assert report.size_bytes == artifact.stat().st_size
    assert report.size_ratio == pytest.approx(artifact.stat().st_size / (4 * count_params(model)))


def test_the_noise_is_free_of_what_no_class_sees():
    rng = np.random.default_rng(0)
    logits, error = rng.normal(size=(2, 5, 4))
    shift = rng.normal(size=(5, 1))
    noise = Comparison(logits, logits + error, 0.0).noise
    assert Comparison(logits, logits + shift, 0.0).noise == pytest.approx(0, abs=1e-12)
    assert Comparison(logits + shift, logits + error, 0.0).noise == pytest.approx(noise)
    assert Comparison(7 * logits, 7 * (logits + error), 0.0).noise == pytest.approx(noise)
    centred = [x - x.mean(1)[:, None] for x in (error, logits)]
    assert noise == pytest.approx(np.sqrt((centred[0] ** 2).mean() / (centred[1] ** 2).mean()))


# what is refused


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_float32_within_one_in_ten_thousand(factor, model, artifact, samples, tampered):
    step = factor * 1e-4 * max(1, np.abs(model(samples)).max())
    tampered(lambda run, images: with_logits(outputs := run(images), outputs["logits"] + np.float32(step)))
    if factor < 1:
        compare(Servable(model), artifact, samples)
    else:
        with pytest.raises(ValueError, match=r"expected 'm\.onnx' to give Keras' logits within .* in every batch"):
            compare(Servable(model), artifact, samples)


@pytest.mark.parametrize(
    "changed",
    [
        lambda outputs: {"probabilities": np.ones_like(outputs["probabilities"])},
        lambda outputs: {"classes": np.zeros_like(outputs["classes"])},
    ],
)
def test_classes_and_probabilities_that_the_logits_do_not_say(changed, model, artifact, samples, tampered):
    tampered(lambda run, images: (outputs := run(images)) | changed(outputs))
    with pytest.raises(ValueError, match=r"expected the outputs logits, probabilities, classes of .* to agree"):
        compare(Servable(model), artifact, samples)


@pytest.mark.parametrize("size", comparison.BATCHES)
def test_results_that_depend_on_the_batch(size, model, artifact, samples, tampered):
    """As of a norm that was exported in training mode: the numbers are right for every batch but one."""
    tampered(lambda run, images: with_logits(outputs := run(images), outputs["logits"] + (len(images) == size)))
    with pytest.raises(ValueError, match="in every batch"):
        compare(Servable(model), artifact, samples)


def test_an_artifact_of_one_batch_size(model, artifact, samples, tampered):
    def fixed(run, images):
        if len(images) != len(samples):
            raise ValueError("Got invalid dimensions for input: image")
        return run(images)

    tampered(fixed)
    with pytest.raises(ValueError, match="invalid dimensions"):
        compare(Servable(model), artifact, samples)


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_quantised_artifacts_of_another_model(quantize, wide, quantised, samples):
    path = quantised[quantize]
    assert export.verify(wide, path, samples).agreement > 0.7
    other = randomize(MgNet((2,), 32, input_shape=SHAPE, classes=4), seed=9)
    with pytest.raises(ValueError, match=r"of their spread\. Received: "):
        export.verify(other, path, samples)


@pytest.mark.parametrize("quantize, share", [("float16", 0.7), ("dynamic", 0.45)])
def test_quantised_artifacts_are_smaller_and_differ(quantize, share, wide, quantised, samples):
    path = quantised[quantize]
    assert path.stat().st_size < share * quantised[None].stat().st_size
    assert export.verify(wide, path, samples).max_difference > 0
    with pytest.raises(ValueError, match="within 1e-09"):
        export.verify(wide, path, samples, tolerance=1e-9)


def test_precisions_are_read_from_the_file(wide, quantised, samples):
    precisions = {quantize: export.verify(wide, path, samples).precision for quantize, path in quantised.items()}
    assert precisions == {None: "float32", "float16": "float16", "dynamic": "int8"}


def test_an_untrained_model_passes_on_one_image(tmp_path):
    model = MgNet((2,), 32, input_shape=SHAPE)
    image = np.random.default_rng(0).normal(size=(1, *SHAPE))
    export.tflite(model, tmp_path / "q.tflite", quantize="dynamic", samples=image)


@pytest.mark.parametrize("labels", [[0] * 8, [[0]] * 9, [0.0] * 9, [4] * 9, [-1] * 9])
def test_labels_that_do_not_fit(labels, model, artifact, samples):
    with pytest.raises(ValueError, match=r"expected 9 whole numbers in 0\.\.3 as labels\. Received: "):
        export.verify(model, artifact, samples, labels=labels)
