"""Files of TFRecords: which images and labels are found in them, and what a damaged file does."""

import warnings

import numpy as np
import pytest

from keras_mgnet.errors import MissingDataError
from keras_mgnet.training.data.dataset import load
from keras_mgnet.training.data.records import read_index
from support.pictures import example, pictures, write_tfrecords

tf = pytest.importorskip("tensorflow")
NAMES = ("image/encoded", "image/class/label")


@pytest.fixture
def photos():
    return pictures(8, 4, classes=4, sides=(10, 14))


@pytest.fixture
def root(photos, tmp_path):
    write_tfrecords(tmp_path / "set", photos)
    return tmp_path / "set"


def indexed(path, on_corrupt="error"):
    return read_index([path], *NAMES, on_corrupt, "image/class/text")


def starts(path):
    """The first bytes of the records of a file, and its length."""
    lengths = [len(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    return np.cumsum([0, *(length + 16 for length in lengths)]).tolist()


def changed(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)


def test_images_labels_and_texts_are_those_that_tensorflow_reads(root, photos):
    path = root / "train-00000-of-00002"
    found = indexed(path)
    chosen = [picture for picture in photos if picture.part == "train"][::2]
    assert [found.images[place].read_bytes() for place in range(len(chosen))] == [p.content for p in chosen]
    assert found.labels.tolist() == [picture.label + 1 for picture in chosen]
    assert found.texts == {picture.label + 1: f"class{picture.label:02}" for picture in chosen}


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def entry(name, value):
    return field(1, field(1, name) + field(2, value))


@pytest.mark.parametrize(("number", "label"), [(b"\x08\x2a", 42), (b"\x0a\x02\xac\x02", 300), (None, -1)])
def test_labels_of_any_size_in_both_forms_of_a_list(number, label, tmp_path):
    """A list of numbers is packed into one field, or has a field for each number."""
    number = number or tf.train.Int64List(value=[label]).SerializeToString()
    features = entry(b"image/encoded", field(1, field(1, b"abc"))) + entry(b"image/class/label", field(3, number))
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as file:
        file.write(field(1, features))
    found = indexed(tmp_path / "x")
    assert found.labels.tolist() == [label] and found.images[0].read_bytes() == b"abc"


DAMAGES = {  # what is changed, what is said, and how many of the four records are left
    "the length of the second record": (lambda path, at: changed(path, at[1]), "checksum of its length differs", 1),
    "a key in the third record": (lambda path, at: changed(path, at[2] + 12), "Received: .*byte {2} ", 3),
    "the end of the file": (lambda path, at: path.write_bytes(path.read_bytes()[:-9]), "file ends inside of it", 3),
    "all of it": (lambda path, at: path.write_bytes(b"no records"), "byte 0 ", 0),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_skipped_or_fatal(name, root):
    path = root / "train-00000-of-00002"
    damage, message, left = DAMAGES[name]
    at = starts(path)
    damage(path, at)
    with pytest.warns(UserWarning, match=f"skipped .* expected a TFRecord .*{message.format(*at)}"):
        assert len(indexed(path, "skip").labels) == left
    with pytest.raises(ValueError, match=f"expected a TFRecord with image/encoded and image/class/label.*{path}"):
        indexed(path)


def test_a_record_without_a_label_is_named(root, photos):
    path = root / "train-00000-of-00002"
    message = example(photos[0])
    del message.features.feature[NAMES[1]]
    with tf.io.TFRecordWriter(str(path)) as file:
        file.write(message.SerializeToString())
    with pytest.raises(ValueError, match=r"expected a TFRecord .*byte 0 .KeyError.'image/class/label'"):
        indexed(path)


def test_an_image_that_breaks_later_is_named_by_file_and_byte(root):
    images = load(f"tfrecord:{root}", image_size=8, stream="on").train.images
    record = images.source[0]
    changed(record.path, record.start)
    with pytest.warns(UserWarning, match=f"skipped an unreadable image: .*'{record.path}, byte {record.start}'"):
        _, found = images.read(np.arange(8))
    assert found.tolist() == list(range(1, 8))
    record.path.unlink()
    with pytest.warns(UserWarning, match=f"{record.path}, byte .*No such file"):
        images.read(np.arange(8))


@pytest.mark.parametrize("names", [("train", "validation"), ("TRAIN", "val"), ("train", "test")])
def test_names_of_files_tell_the_parts(names, tmp_path, photos):
    renamed = [picture._replace(part=names[picture.part != "train"]) for picture in photos]
    write_tfrecords(tmp_path / "set", renamed)
    found = load(f"tfrecord:{tmp_path / 'set' / '*-of-*'}", image_size=8)
    assert found.counts == (8, 4) and found.judge == "test"


@pytest.mark.parametrize("name", ["photos", "train"])
def test_a_fifth_is_held_out_if_no_file_is_for_the_test(name, tmp_path):
    photos = [picture._replace(part=name) for picture in pictures(40, 0, classes=4, sides=(10, 14))]
    assert load(write_tfrecords(tmp_path / "set", photos), image_size=8).counts == (32, 8)


def test_a_record_more_makes_another_set(root, photos):
    def told():
        return [array.tobytes() for array in load(f"tfrecord:{root}", image_size=8, stream="on").arrays]

    before = told()
    assert told() == before
    path = root / "train-00000-of-00002"
    with tf.io.TFRecordWriter(str(root / "train-more")) as file:
        file.write(example(photos[0]).SerializeToString())
    path.write_bytes(path.read_bytes() + (root / "train-more").read_bytes())
    (root / "train-more").unlink()
    assert told() != before


def test_three_parts_have_validation_images(tmp_path, photos):
    write_tfrecords(tmp_path / "set", [*photos, *(p._replace(part="test") for p in photos[:4])])
    found = load(f"tfrecord:{tmp_path / 'set'}", image_size=8)
    assert found.counts == (8, 4, 4) and found.judge == "validation"


def test_files_that_do_not_fit_are_refused(tmp_path, photos):
    with pytest.raises(MissingDataError, match=r"no files of TFRecords: .*nothing"):
        load(f"tfrecord:{tmp_path / 'nothing*'}")
    write_tfrecords(tmp_path / "set", [p._replace(part="x" if p.part == "train" else "test") for p in photos])
    with pytest.raises(ValueError, match=r"expected files of training images next to those of \{'test'\}"):
        load(f"tfrecord:{tmp_path / 'set'}")
    write_tfrecords(tmp_path / "mixed", [p._replace(part="x" if p.part != "train" else "train") for p in photos])
    with pytest.raises(ValueError, match=r"expected the name of a part in '.*x-00000"):
        load(f"tfrecord:{tmp_path / 'mixed'}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "train").touch()
    with pytest.raises(
        ValueError, match=r"expected TFRecords with image/encoded and image/class/label\. Received: none"
    ):
        load(f"tfrecord:{tmp_path / 'empty'}")


def test_a_whole_file_raises_no_warning(root):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(f"tfrecord:{root}", image_size=8).counts == (8, 4)
