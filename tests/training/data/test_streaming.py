"""Images that are decoded when they are needed, against the same images in memory."""

import io

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from keras_mgnet.training.data import dataset, pipeline
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.loop.config import TrainConfig
from keras_mgnet.training.loop.loop import train
from keras_mgnet.training.runs.run import open_run, read_log
from support.runs import stop_at

SIDE = 8


@pytest.fixture
def root(tmp_path):
    """Pictures of two classes: of several sizes, formats, modes and orientations."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 5)):
        for c in ("bright", "dark"):
            (tmp_path / "images" / part / c).mkdir(parents=True)
            for i in range(count):
                low, high = (128, 256) if c == "bright" else (0, 128)
                height, width = rng.integers(6, 20, 2)
                picture = Image.fromarray(rng.integers(low, high, (height, width, 3), dtype=np.uint8))
                exif = Image.Exif()
                exif[274] = 1 + i % 8  # orientation
                suffix, mode = (("jpg", "RGB"), ("png", "L"), ("png", "P"), ("webp", "RGB"))[i % 4]
                options = {"exif": exif} if suffix == "jpg" else {}
                picture.convert(mode).save(tmp_path / "images" / part / c / f"{i:02}.{suffix}", **options)
    return tmp_path / "images"


def both(root, **options):
    return [load(f"folder:{root}", image_size=SIDE, stream=stream, **options) for stream in ("on", "off")]


def collected(batches):
    images, labels = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def train_batches(data, **options):
    form = {"mean": data.mean, "std": data.std, "seed": 3, "augment": "crop_flip", "epochs": 2}
    return pipeline.train_batches(data.train, 5, **form | options)


def test_streamed_images_are_those_in_memory(root):
    streamed, held = both(root)
    assert streamed.is_streamed and not held.is_streamed
    assert (streamed.counts, streamed.input_shape, streamed.class_names) == (
        held.counts,
        held.input_shape,
        held.class_names,
    )
    assert (streamed.mean, streamed.std) == (held.mean, held.std)
    for ours, theirs in zip(*(data.splits.values() for data in (streamed, held)), strict=True):
        np.testing.assert_array_equal(ours.images[:], theirs.images)
        np.testing.assert_array_equal(ours.images[3], theirs.images[3])
        form = {"mean": held.mean, "std": held.std}
        for a, b in zip(*(collected(pipeline.test_batches(part, 4, **form)) for part in (ours, theirs)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("start", [{}, {"first_epoch": 1, "first_step": 3, "epochs": 1}])
def test_streamed_batches_are_those_in_memory(start, root):
    for a, b in zip(*(collected(train_batches(data, **start)) for data in both(root)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_set_is_streamed_if_memory_is_short(root, monkeypatch):
    assert not load(f"folder:{root}", image_size=SIDE).is_streamed
    asked = []
    monkeypatch.setattr(dataset, "fits_in_memory", lambda nbytes: asked.append(nbytes) or nbytes < 6000)
    assert load(f"folder:{root}", image_size=SIDE).is_streamed and asked == [34 * SIDE * SIDE * 3]
    assert not load(f"folder:{root}", image_size=4).is_streamed


def test_held_out_images_stay_encoded(root):
    streamed, held = (load(f"folder:{root / 'train'}", image_size=SIDE, stream=stream) for stream in ("on", "off"))
    assert streamed.counts == held.counts and streamed.is_streamed
    np.testing.assert_array_equal(streamed.test.images[:], held.test.images)


def test_images_of_several_sizes_are_named(root):
    with pytest.raises(ValueError, match=r"expected images of one size; --image-size N resizes.*01\.png"):
        collected(train_batches(load(f"folder:{root}", stream="on"), augment="none"))


def test_a_broken_image_is_skipped_and_named(root):
    broken = root / "train" / "dark" / "05.png"
    streamed, _ = both(root)
    broken.write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"skipped an unreadable image: .*05\.png"):
        images, labels = collected(train_batches(streamed, epochs=1))
    assert len(images) == len(labels) == 23 and (labels == 1).sum() == 11


def digits(root, out, console=None, **changes):
    config = {
        "dataset": f"folder:{root}",
        "image_size": SIDE,
        "set": {"nu": [1], "channels": 2},
        "epochs": 2,
        "out": str(out),
    }
    config |= {"batch_size": 8, "reproducible": True, "checkpoint_steps": 2, "augment": "crop_flip"}
    return train(TrainConfig(**config | changes), console or Console(file=io.StringIO()))


def test_a_streamed_run_is_that_in_memory_and_goes_on_bit_for_bit(root, tmp_path, monkeypatch):
    held = digits(root, tmp_path / "held", stream="off")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        digits(root, tmp_path / "run", stream="on")
    shown = io.StringIO()
    streamed = digits(root, tmp_path / "run", Console(file=shown, width=200), stream="on", resume=True)
    assert (
        "(24 training and 10 test images)" in shown.getvalue()
        and "in memory they would take 0.00 GB" in shown.getvalue()
    )
    assert streamed.record["result"]["status"] == "finished"
    for ours, theirs in zip(streamed.load_model().get_weights(), held.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses = [[float(row["loss"]) for row in read_log(run.path / "log.csv")] for run in (streamed, held)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_a_set_that_changed_is_refused(root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        digits(root, tmp_path / "run", stream="on")
    Image.new("L", (9, 9)).save(root / "test" / "dark" / "01.png")
    with pytest.raises(ValueError, match="expected sha256="):
        digits(root, tmp_path / "run", stream="on", resume=True)


@pytest.mark.parametrize("on_corrupt", ["error", "skip"])
def test_an_image_that_vanishes_in_a_later_epoch_is_named_and_skipped_or_fatal(on_corrupt, root, tmp_path):
    gone = root / "train" / "dark" / "05.png"

    class Vanish(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                gone.unlink()

    config = {"dataset": f"folder:{root}", "image_size": SIDE, "set": {"nu": [1], "channels": 2}, "epochs": 3}
    config |= {"batch_size": 8, "stream": "on", "on_corrupt": on_corrupt, "out": str(tmp_path / "run")}
    message = r"expected a readable image\. Received: .*05\.png"
    with (
        pytest.raises(ValueError, match=message) if on_corrupt == "error" else pytest.warns(UserWarning, match=message)
    ):
        train(TrainConfig(**config), Console(file=io.StringIO()), callbacks=[Vanish()])
    status, epochs = (open_run(tmp_path / "run").record["result"][key] for key in ("status", "epochs"))
    assert (status, epochs) == (("failed", 2) if on_corrupt == "error" else ("finished", 3))
