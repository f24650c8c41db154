"""The same pictures as folders, as TFRecords and as a set of TFDS: the same tensors, in memory, streamed and cropped."""

import shutil

import numpy as np
import pytest

from keras_mgnet import crops
from keras_mgnet.images import decode
from keras_mgnet.training.data import array_records, pipeline
from keras_mgnet.training.data.dataset import load
from support.pictures import pictures, write_folder, write_tfds, write_tfrecords

SIDE, KEY = 16, (7, 3)
FORMS = ("folder", "tfrecord", "tfds", "array_record")


@pytest.fixture(scope="module")
def photos():
    return pictures(60, 20)


@pytest.fixture(scope="module")
def sets(photos, tmp_path_factory):
    """The names of the data set in its forms."""
    root = tmp_path_factory.mktemp("[sets]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(root / "tfds"))
        names = write_folder(root / "folder", photos), write_tfrecords(root / "r", photos)
        of_tfds = [write_tfds(root / "tfds", photos, f"photos_{form}", form) for form in ("tfrecord", "array_record")]
        yield dict(zip(FORMS, (*names, *of_tfds), strict=True))


def sorted_by_content(split, **options):
    """The images and labels of a split in an order that is that of no form."""
    images, _ = split.images.read(np.arange(len(split.labels)), **options) if options else (split.images[:], None)
    order = np.argsort([image.tobytes() for image in images])
    return images[order], split.labels[order]


@pytest.mark.parametrize("stream", ["on", "off"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_tensors(form, stream, sets, photos):
    found = load(sets[form], image_size=SIDE, stream=stream)
    assert found.is_streamed == (stream == "on") and found.counts == (60, 20)
    assert found.class_names[:2] == ("class00", "class01") and found.input_shape == (SIDE, SIDE, 3)
    for split, part in ((found.train, "train"), (found.test, "validation")):
        chosen = [picture for picture in photos if picture.part == part]
        images = np.stack([decode(picture.content, (SIDE, SIDE), 3) for picture in chosen])
        order = np.argsort([image.tobytes() for image in images])
        expected = images[order], np.array([picture.label for picture in chosen])[order]
        for ours, theirs in zip(sorted_by_content(split), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    again = load(sets["folder"], image_size=SIDE)
    np.testing.assert_allclose((found.mean, found.std), (again.mean, again.std), rtol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_evaluation_takes_the_centre_in_each_form(form, sets):
    found = load(sets[form], image_size=SIDE, cropped=(3,))
    assert found.is_streamed
    source, first = found.test.images.source, found.test.images.places[0]
    box = lambda size: crops.centre(size, (SIDE, SIDE))  # noqa: E731
    np.testing.assert_array_equal(found.test.images[0], decode(source[first], (SIDE, SIDE), 3, box))
    assert not load(sets[form], image_size=SIDE, cropped=(1,)).is_streamed
    with pytest.raises(ValueError, match=r"expected stream on or auto .* cropped at random\. Received: stream='off'"):
        load(sets[form], image_size=SIDE, cropped=(3,), stream="off")


def test_a_crop_depends_on_seed_epoch_and_index_alone(sets):
    images = load(sets["folder"], image_size=SIDE, cropped=(3,)).train.images
    options = {"crop": crops.scale_aspect, "key": KEY}
    whole, _ = images.read(np.arange(60), **options)
    some, where = images.read(np.array([41, 7, 8]), **options)
    np.testing.assert_array_equal(some, whole[[41, 7, 8]])
    assert where.tolist() == [0, 1, 2]
    rng = np.random.default_rng([*KEY, 41])
    box = lambda size: crops.scale_aspect(size, (SIDE, SIDE), rng)  # noqa: E731
    np.testing.assert_array_equal(some[0], decode(images.source[41], (SIDE, SIDE), 3, box))
    for key in ((8, 3), (7, 4)):
        other, _ = images.read(np.arange(60), crop=crops.scale_aspect, key=key)
        assert all((a != b).any() for a, b in zip(whole, other, strict=True))


def batches(data, **options):
    form = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "seed": 3, "augment": "scale_aspect_flip", "epochs": 1}
    found = [(np.asarray(x), np.asarray(y)) for x, y in pipeline.train_batches(data.train, 16, **form | options)]
    return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])


def test_training_sees_random_crops_and_their_mirror_images(sets):
    data = load(sets["folder"], image_size=SIDE, cropped=(3,))
    images, labels = batches(data, first_epoch=2)
    expected, _ = data.train.images.read(np.arange(60), crop=crops.scale_aspect, key=(3, 2))
    pixels = np.rint(255 * images).astype(np.uint8)
    numbers = {image.tobytes(): (number, mirrored) for number, plain in enumerate(expected)
               for mirrored, image in enumerate((plain, plain[:, ::-1]))}  # fmt: skip
    found = np.array([numbers[image.tobytes()] for image in pixels])
    assert sorted(found[:, 0]) == list(range(60)) and 15 < found[:, 1].sum() < 45
    np.testing.assert_array_equal(labels, data.train.labels[found[:, 0]])
    later, _ = batches(data, first_epoch=2, first_step=2)
    np.testing.assert_array_equal(images[32:], later)


def test_images_of_an_array_are_cropped_too(sets):
    data = load(sets["folder"], image_size=SIDE, stream="off")
    images, _ = batches(data)
    assert images.shape == (60, SIDE, SIDE, 3)
    assert not {image.tobytes() for image in np.rint(255 * images).astype(np.uint8)} & {
        image.tobytes() for image in data.train.images
    }


def test_a_set_in_another_order_of_files_is_another_set(sets):
    files, again = (load(sets["folder"], image_size=SIDE, stream="on") for _ in range(2))
    records = load(sets["tfrecord"], image_size=SIDE, stream="on")
    for one, other in zip(files.arrays, again.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(one.tobytes() != other.tobytes() for one, other in zip(files.arrays, records.arrays, strict=True))


def test_damaged_array_records_are_named(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    write_tfds(tmp_path, photos[:20] + photos[-20:], "others", file_format="array_record")
    read, unpatched = iter(range(10**6)), array_records.features
    broken = lambda content, span: unpatched(b"\xff" + content if next(read) == 3 else content, span)  # noqa: E731
    monkeypatch.setattr(array_records, "features", broken)
    with pytest.warns(UserWarning, match=r"skipped a record: expected an example with image and label.*record 3'"):
        assert load("others", image_size=SIDE, stream="on").counts == (19, 20)
    read = iter(range(10**6))
    with pytest.raises(ValueError, match=r"delete its folder and prepare it again.*record 3'"):
        load("others", image_size=SIDE, on_corrupt="error")


def test_images_of_several_sizes_need_one(sets, tmp_path):
    for form in ("tfrecord", "tfds"):
        with pytest.raises(ValueError, match=r"expected images of one size; --image-size N resizes .* byte \d+'"):
            load(sets[form])


def test_a_set_of_one_size_streams_its_own_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    write_tfds(tmp_path, pictures(40, 20, sides=(9, 10), formats=(("PNG", "RGB"),)), "squares")
    streamed, held = (load("squares", stream=stream) for stream in ("on", "auto"))
    assert streamed.is_streamed and not held.is_streamed and streamed.input_shape == (9, 9, 3)
    np.testing.assert_array_equal(streamed.train.images[:], held.train.images)
    shutil.rmtree(tmp_path / "squares")
