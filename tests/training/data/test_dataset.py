"""Real data sets as they are loaded."""

import shutil
import sys
from functools import cache
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_mgnet.images import decode
from keras_mgnet.models.datasets import DATASETS
from keras_mgnet.training.data import dataset as data
from support import TFDS, slow_unless

MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@cache
def digits():
    return data.load("digits")


@pytest.fixture(scope="module", params=slow_unless(["mnist"], ["mnist", "cifar10"]))
def real(request, tmp_path_factory):
    """Read from a folder with brackets in its name, which TensorFlow takes for a pattern."""
    if not (TFDS / request.param).is_dir():
        pytest.skip(f"{request.param} is not prepared in {TFDS}; set TFDS_DATA_DIR")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("[sets]") / "tfds"
        folder.symlink_to(TFDS.absolute(), target_is_directory=True)
        patch.setenv("TFDS_DATA_DIR", str(folder))
        return data.load(request.param)


def split(count, size=8, channels=1):
    """Noise whose labels tell the images apart."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return data.Split(images, np.arange(count, dtype=np.int32))


# --- data sets -------------------------------------------------------------------------------------------------------


def test_real_sets_have_their_published_counts(real):
    shape, counts = {"mnist": ((28, 28, 1), MNIST_COUNTS), "cifar10": ((32, 32, 3), [5000] * 10)}[real.name]
    assert real.input_shape == shape and real.classes == 10
    assert np.bincount(real.train.labels).tolist() == counts
    assert len(real.test.labels) == 10000 and set(real.test.labels) == set(range(10))
    assert real.class_names[6] == {"mnist": "6", "cifar10": "frog"}[real.name]


def test_constants_describe_the_training_images(real):
    mean, std = data.channel_statistics(real.train.images)
    assert (real.mean, real.std) == (DATASETS[real.name].mean, DATASETS[real.name].std)
    np.testing.assert_allclose(mean, real.mean, atol=1e-4)
    if real.name == "cifar10":  # its published deviations are the mean over images, not over all pixels
        np.testing.assert_allclose(std, (0.2470, 0.2435, 0.2616), atol=1e-4)
        std = (real.train.images[:10000].astype(np.float32) / 255).std(axis=(1, 2)).mean(axis=0)
    np.testing.assert_allclose(std, real.std, atol=2e-3)


def test_digits():
    train, test = digits().train, digits().test
    assert (train.images.shape, test.images.shape) == ((1437, 8, 8, 1), (360, 8, 8, 1))
    assert digits().class_names == tuple("0123456789")
    assert train.images.min() == 0 and train.images.max() == 255
    assert np.ptp(np.bincount(test.labels)) <= 2
    assert np.array_equal(train.images, data.load("digits").train.images)


def test_validation_images_are_a_share_of_each_class_and_always_the_same():
    kept, again = (data.load("digits").hold_out(0.1) for _ in range(2))
    assert kept.counts == (1293, 360, 144) and kept.judge == "validation" and digits().judge == "test"
    of_all, held_out = (np.bincount(split.labels) for split in (digits().train, kept.validation))
    assert (abs(held_out - 0.1 * of_all) <= 1).all()
    for array, copy in zip(kept.arrays, again.arrays, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert kept.test is not None and np.array_equal(kept.test.images, digits().test.images)


def test_validation_images_are_no_training_images():
    numbered = split(60)
    whole = data.Dataset("x", data.Split(numbered.images, numbered.labels % 3), GOOD, "abcd", (0.5,), (0.5,))
    kept = whole.hold_out(0.25)
    images = np.concatenate([kept.train.images, kept.validation.images])
    assert {image.tobytes() for image in images} == {image.tobytes() for image in numbered.images}
    assert np.bincount(kept.validation.labels).tolist() == [5, 5, 5]
    with pytest.raises(ValueError, match=r"expected 34 or more images per class, to hold out 3%\. Received: 20 in one"):
        whole.hold_out(0.03)


@given(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_channel_statistics_against_numpy(count, channels, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, 5, channels), dtype=np.uint8)
    mean, std = data.channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12)


def test_constant_channel_divides_by_one():
    images = split(10000, channels=3).images.copy()
    images[..., 1] = 77
    assert data.channel_statistics(images)[1][1] == 1.0


GOOD = split(4)
BAD_SPLITS = [
    (GOOD.images / 255, GOOD.labels, "uint8"),
    (GOOD.images[..., 0], GOOD.labels, "uint8"),
    (np.repeat(GOOD.images, 2, axis=-1), GOOD.labels, "1 or 3"),
    (GOOD.images[:0], GOOD.labels[:0], "at least one"),
    (GOOD.images, GOOD.labels[:3], r"\(4,\)"),
    (GOOD.images, GOOD.labels.astype(np.int64), "int32"),
]


@pytest.mark.parametrize(("images", "labels", "message"), BAD_SPLITS)
def test_split_rejects(images, labels, message):
    with pytest.raises(ValueError, match=f"expected .*{message}.*Received: "):
        data.Split(images, labels)


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        (GOOD, split(4, size=9), "abcd", "one shape"),
        (GOOD, GOOD, "abc", r"train labels in 0\.\.2.*0\.\.3"),
        (GOOD, data.Split(GOOD.images, GOOD.labels - 1), "abcd", r"test labels in 0\.\.3.*-1\.\.2"),
    ],
)
def test_dataset_rejects(train, test, names, message):
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        data.Dataset("x", train, test, tuple(names), (0.5,), (0.5,))


def test_a_tfds_that_cannot_be_imported_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", ModuleType("tensorflow_datasets"))  # so it goes on
    with pytest.raises(ImportError, match=r"fits protobuf; .*tensorflow-metadata<1.18.* Received: .*'protobuf': '"):
        data.load("mnist")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("mnits", "mnist"),
        ("digit", "digits"),
        ("npz", "npz:FILE"),
        ("cifar10:9.9.9", "cifar10"),
        ("mnist/a=True,b=3", "mnist_corrupted"),
    ],
)
def test_unknown_name_has_a_nearest_match(name, nearest):
    with pytest.raises(ValueError, match=f"unknown dataset '{name}'; did you mean '{nearest}'.*Received: '{name}'"):
        data.load(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fashion_mnist", "prepared for TFDS.*tfds build fashion_mnist.*TFDS_DATA_DIR"),
        ("imdb_reviews", "features image and label.*text"),
    ],
)
def test_tfds_sets_that_cannot_be_used(name, message, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        data.load(name)


@pytest.mark.parametrize(
    ("parts", "judge"), [(("test", "train", "validation"), "validation"), (("train", "validation"), "test")]
)
def test_tfds_sets_with_validation_images(parts, judge, tmp_path, monkeypatch):
    tf, tfds = pytest.importorskip("tensorflow"), pytest.importorskip("tensorflow_datasets")
    kinds = {"image": tfds.features.Image(shape=(4, 4, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
    counts = {"train": 6, "test": 2, "validation": 4}

    def examples(count):
        images, labels = np.zeros((count, 4, 4, 1), "uint8"), np.arange(count) % 2
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

    tfds.dataset_builders.store_as_tfds_dataset(
        "tiny",
        "1.0.0",
        features=tfds.features.FeaturesDict(kinds),
        split_datasets={part: examples(counts[part]) for part in parts},
        data_dir=tmp_path,
        disable_shuffling=True,
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    loaded = data.load("tiny")
    assert loaded.counts == ((6, 2, 4) if judge == "validation" else (6, 4)) and loaded.judge == judge


def test_tfds_directory_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/sets")
    with pytest.raises(ValueError, match=f"no data in {tmp_path}/sets/fashion_mnist"):
        data.load("fashion_mnist")


def shortened(folder):
    file = next(folder.glob("*train*record*"))
    file.write_bytes(file.read_bytes()[:1000])


DAMAGED_SETS = {
    "no info": (
        lambda folder: (folder / "dataset_info.json").write_text("{}"),
        r"dataset_info\.json' \(name: Field required",
    ),
    "half an info": (lambda folder: (folder / "dataset_info.json").write_bytes(b'{"name": "mn'), "Invalid JSON"),
    "records cut off": (shortened, "/3.0.1' .DataLossError: "),
    "no records": (lambda folder: next(folder.glob("*train*record*")).unlink(), "/3.0.1' .NotFoundError: .*train"),
}


@pytest.mark.parametrize("case", DAMAGED_SETS)
def test_a_damaged_tfds_set_is_named_with_what_to_do(case, tmp_path, monkeypatch):
    if not (TFDS / "mnist").is_dir():
        pytest.skip(f"mnist is not prepared in {TFDS}; set TFDS_DATA_DIR")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    damage, message = DAMAGED_SETS[case]
    damage(shutil.copytree(TFDS / "mnist" / "3.0.1", tmp_path / "mnist" / "3.0.1"))
    with pytest.raises(ValueError, match=f"delete its folder and prepare it again with `tfds build`.*{message}"):
        data.load("mnist")


def test_images_in_memory_are_reduced_to_means():
    whole, reduced = data.load("digits"), data.load("digits", image_size=4)
    image = whole.test.images[5, :, :, 0].astype(float)
    means = [[image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(4)] for i in range(4)]
    np.testing.assert_array_equal(reduced.test.images[5, :, :, 0], np.rint(means))
    assert (reduced.mean, reduced.std, reduced.counts) == (whole.mean, whole.std, whole.counts)
    np.testing.assert_array_equal(reduced.train.labels, whole.train.labels)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [("digits", 3, "divides their size. Received: image_size=3 for images of 8x8"), ("folder:x", 0, "Received: 0")],
)
def test_image_sizes_that_do_not_fit(name, size, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, image_size=size)


def test_unknown_on_corrupt():
    with pytest.raises(ValueError, match="did you mean 'skip'"):
        data.load("digits", on_corrupt="skipp")


# --- npz -------------------------------------------------------------------------------------------------------------

ARRAYS = {"x_train": GOOD.images[..., 0], "y_train": [[0], [1], [1], [0]], "x_test": GOOD.images[:2], "y_test": [2, 0]}


def test_npz_reads_keras_layout(tmp_path):
    np.savez(tmp_path / "set.npz", **ARRAYS)
    loaded = data.load(f"npz:{tmp_path / 'set.npz'}")
    assert np.array_equal(loaded.train.images, GOOD.images) and loaded.train.labels.tolist() == [0, 1, 1, 0]
    assert loaded.class_names == ("0", "1", "2")
    assert (loaded.mean, loaded.std) == data.channel_statistics(GOOD.images)
    np.savez_compressed(tmp_path / "set.npz", **ARRAYS, class_names=["ant", "bee", "cow"])
    assert data.load(f"npz:{tmp_path / 'set.npz'}").class_names == ("ant", "bee", "cow")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": GOOD.images / 255}, "uint8.*float64"),
        ({"y_train": [0.0, 1.0, 1.0, 0.0]}, "whole-number labels.*float64"),
        ({"y_train": np.eye(4, dtype=int)}, r"whole-number labels.*\(4, 4\)"),
        ({"y_train": np.array([0, 1, "x", None], object)}, "pickled"),
        ({"y_test": [0, -1]}, r"test labels in .*-1\.\.0"),
        ({"y_train": [0, 1, 2, 2**32]}, r"labels below 1000000\. Received: 0\.\.4294967296"),
        ({"mean": np.array([0.5j]), "std": [1.0]}, "numbers as mean.*complex128"),
        ({"mean": [np.nan], "std": [1.0]}, "positive deviations"),
        ({"mean": [0.5], "std": [1e-300]}, "positive deviations"),
        ({"mean": [0.5], "std": [np.inf]}, "positive deviations"),
        ({"class_names": ["a", "b"]}, r"test labels in 0\.\.1"),
    ],
)
def test_npz_rejects(change, message, tmp_path):
    np.savez(tmp_path / "set.npz", **ARRAYS | change)
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        data.load(f"npz:{tmp_path / 'set.npz'}")


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64", "int64"])
def test_npz_labels_of_any_integer_type_and_from_1(dtype, tmp_path):
    labels = {part: np.array([1, 2, 1, 2], dtype)[: len(ARRAYS[part])] for part in ("y_train", "y_test")}
    np.savez(tmp_path / "set.npz", **ARRAYS | labels)
    assert data.load(f"npz:{tmp_path / 'set.npz'}").classes == 3


def test_npz_that_would_fill_the_memory(tmp_path):
    blank = {"x_train": np.zeros((4, 1024, 1024, 3), np.uint8), "y_train": np.arange(4)}
    np.savez_compressed(tmp_path / "set.npz", **blank, x_test=GOOD.images, y_test=GOOD.labels)
    with pytest.raises(
        ValueError, match=r"set\.npz \('x_train\.npy' unpacks from \d+ bytes to 12583040; write it with"
    ):
        data.load(f"npz:{tmp_path / 'set.npz'}")
    np.savez(tmp_path / "set.npz", **blank, x_test=blank["x_train"], y_test=GOOD.labels)
    assert data.load(f"npz:{tmp_path / 'set.npz'}").counts == (4, 4)


def test_clean_images_are_no_classes():
    with pytest.raises(ValueError, match=r"expected a data set with classes\. Received: 'denoise:images'"):
        data.load("denoise:images")


def test_npz_names_what_is_missing(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=GOOD.images, y_train=GOOD.labels)
    with pytest.raises(ValueError, match="Received: no x_test, y_test"):
        data.load(f"npz:{tmp_path / 'set.npz'}")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_npz_that_cannot_be_read(content, tmp_path):
    file = tmp_path / "set.npz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected an \.npz file.*set\.npz"):
        data.load(f"npz:{file}")


# --- folder ----------------------------------------------------------------------------------------------------------


def write(root, modes=("L", "L"), count=5, size=(6, 6)):
    """Class i of `modes` has `count` images of the level 100 i + 20."""
    for i, mode in enumerate(modes):
        folder = root / f"class{i}"
        folder.mkdir(parents=True)
        for j in range(count):
            Image.new("L", size, 100 * i + 20).convert(mode).save(folder / f"{j}.png")


def test_folder_holds_a_fifth_out(tmp_path):
    write(tmp_path, count=10)
    (tmp_path / ".cache").mkdir()
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.class_names == ("class0", "class1") and loaded.input_shape == (6, 6, 1)
    for part, count in ((loaded.train, 8), (loaded.test, 2)):
        assert np.bincount(part.labels).tolist() == [count, count]
        assert (part.images == (100 * part.labels + 20)[:, None, None, None]).all()


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Train", "VAL"), ("train", "validation"), ("train", "dev")]
)
def test_folder_with_train_and_test(train, test, tmp_path):
    write(tmp_path / train, count=3)
    write(tmp_path / test, count=1)
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.train.labels.tolist() == [0, 0, 0, 1, 1, 1] and loaded.test.labels.tolist() == [0, 1]
    assert loaded.test.images[1, 0, 0, 0] == 120


@pytest.mark.parametrize("name", ["val", "Valid", "validation", "dev"])
def test_folder_with_validation_images_of_its_own(name, tmp_path):
    for part, count in (("train", 4), ("test", 1), (name, 2)):
        write(tmp_path / part, count=count)
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.counts == (8, 2, 4) and loaded.judge == "validation"
    for split in loaded.splits.values():
        assert (split.images == (100 * split.labels + 20)[:, None, None, None]).all()
    with pytest.raises(
        ValueError, match=r"expected no share .* validation images of its own\. Received: validation=0\.5"
    ):
        loaded.hold_out(0.5)
    shutil.rmtree(tmp_path / name / "class1")
    with pytest.raises(ValueError, match=r"same class folders in train, test, .*\['class1'\] not in all"):
        data.load(f"folder:{tmp_path}")


def test_folder_with_train_alone(tmp_path):
    write(tmp_path / "train", count=5)
    loaded = data.load(f"folder:{tmp_path}")
    assert loaded.class_names == ("class0", "class1") and loaded.counts == (8, 2)


def test_a_class_may_be_called_train(tmp_path):
    write(tmp_path)
    (tmp_path / "class0").rename(tmp_path / "train")
    assert data.load(f"folder:{tmp_path}").class_names == ("class1", "train")


def test_folders_that_are_not_read_are_named(tmp_path):
    for part in ("train", "val", "test", "dev", "extra"):
        write(tmp_path / part, count=2)
    with pytest.warns(UserWarning, match=r"read train, test, val in .* and not dev, extra"):
        assert data.load(f"folder:{tmp_path}").counts == (4, 4, 4)
    with pytest.raises(ValueError, match=r"expected a folder train next to .* Received: test, val"):
        shutil.rmtree(tmp_path / "train")
        data.load(f"folder:{tmp_path}")


def test_images_of_any_depth_and_suffix_are_read_and_other_files_named(tmp_path):
    write(tmp_path, count=10)
    for i, suffix in enumerate((".jfif", ".JPE", ".dib")):
        (tmp_path / "class0" / "deeper" / "still").mkdir(parents=True, exist_ok=True)
        form = "BMP" if suffix == ".dib" else "JPEG"
        Image.new("L", (6, 6), 9).save(tmp_path / "class0" / "deeper" / "still" / f"{i}{suffix}", form)
    assert sum(data.load(f"folder:{tmp_path}").counts) == 23
    for name in ("a.heic", "b.jp2", "notes.txt", "z"):
        (tmp_path / "class1" / name).write_text("")
    with pytest.warns(UserWarning, match=r"ignored 4 files .*class1.a\.heic, .*b\.jp2, .*notes\.txt, \.\.\."):
        assert sum(data.load(f"folder:{tmp_path}").counts) == 23


def test_a_single_class_is_told(tmp_path):
    write(tmp_path, modes="L")
    (tmp_path / "class0").rename(tmp_path / "class\x1b[2J")
    with pytest.warns(UserWarning, match=r"has a single class, class \[2J: there is nothing to learn") as told:
        data.load(f"folder:{tmp_path}")
    assert told[0].filename == __file__


@pytest.mark.filterwarnings("ignore:16-bit pixels of at most 120 become")
@pytest.mark.parametrize(
    ("modes", "channels"), [(("L", "1"), 1), (("LA", "I;16"), 1), (("L", "RGB"), 3), (("P", "RGBA"), 3)]
)
def test_folder_is_grey_only_if_every_image_is(modes, channels, tmp_path):
    write(tmp_path, modes)
    assert data.load(f"folder:{tmp_path}").input_shape == (6, 6, channels)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white_whatever_colour_they_hide(mode, tmp_path):
    hidden = {"RGBA": (200, 10, 10, 0), "LA": (10, 0), "P": 0}[mode]
    image = Image.new(mode, (2, 1), hidden)
    image.putpixel((1, 0), {"RGBA": (0, 0, 255, 255), "LA": (9, 255), "P": 1}[mode])
    if mode == "P":
        image.putpalette([200, 10, 10, 0, 0, 255])
        image.info["transparency"] = 0
    image.save(tmp_path / "glass.png")
    assert decode(tmp_path / "glass.png", channels=3)[0].tolist() == [
        [255] * 3,
        [9] * 3 if mode == "LA" else [0, 0, 255],
    ]
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 51))
    half.save(tmp_path / "half.png")
    assert decode(tmp_path / "half.png").tolist() == [[[204] * 3]]


def test_sixteen_bits_keep_their_high_byte(tmp_path):
    write(tmp_path)
    ramp = np.arange(36, dtype=np.uint16).reshape(6, 6) * 1800
    for file in (tmp_path / "class0").iterdir():
        Image.fromarray(ramp).save(file)
    loaded = data.load(f"folder:{tmp_path}")
    assert np.array_equal(loaded.train.images[loaded.train.labels == 0][0, ..., 0], ramp // 256)


def test_folder_sizes(tmp_path):
    write(tmp_path)
    Image.new("L", (7, 6)).save(tmp_path / "class1" / "9.png")
    both = r"class0.0\.png' \(6, 6\) and .*class1.9\.png' \(6, 7\)"
    with pytest.raises(ValueError, match=f"one size; --image-size.*{both}"):
        data.load(f"folder:{tmp_path}")
    assert data.load(f"folder:{tmp_path}", image_size=4).input_shape == (4, 4, 1)


def test_resizing_is_antialiased(tmp_path):
    write(tmp_path)
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(200)
    for file in tmp_path.glob("*/*.png"):
        Image.fromarray(board.astype(np.uint8)).save(file)
    assert np.ptp(data.load(f"folder:{tmp_path}", image_size=8).train.images[:, 1:-1, 1:-1]) <= 4


@pytest.mark.parametrize("keep", [0, 20, 45])
def test_corrupt_file(keep, tmp_path):
    write(tmp_path, count=6)
    bad = tmp_path / "class1" / "3.png"
    bad.write_bytes(bad.read_bytes()[:keep])
    with pytest.warns(UserWarning, match=r"skipped an unreadable image: .*class1.3\.png"):
        loaded = data.load(f"folder:{tmp_path}")
    assert len(loaded.train.labels) + len(loaded.test.labels) == 11
    with pytest.raises(ValueError, match=r"readable image\. Received: .*class1.3\.png"):
        data.load(f"folder:{tmp_path}", on_corrupt="error")


def test_folder_without_enough_to_learn_from(tmp_path):
    def refused(message):
        with pytest.raises(ValueError, match=f"expected .*{message}"):
            data.load(f"folder:{tmp_path / 'set'}")

    (tmp_path / "set").touch()
    refused("a folder of images. Received: .*set")
    (tmp_path / "set").unlink()
    (tmp_path / "set").mkdir()
    refused("none in .*set")
    write(tmp_path / "set", count=4)
    refused("5 or more images per class, to hold out 20%.*Received: 4")
    (tmp_path / "set" / "empty").mkdir()
    refused("readable images.*empty")
    shutil.rmtree(tmp_path / "set")
    write(tmp_path / "set" / "train")
    write(tmp_path / "set" / "test", modes="L")
    refused(r"same class folders.*\['class1'\]")


def test_an_npz_file_may_bring_its_normalization(tmp_path):
    images, labels = np.zeros((4, 8, 8, 3), "uint8"), np.arange(4)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "d.npz", **arrays, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    loaded = data.load(f"npz:{tmp_path / 'd.npz'}")
    assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    np.savez(tmp_path / "e.npz", **arrays, mean=[0.1, 0.2, 0.3], std=[0.4, 0.0, 0.6])
    with pytest.raises(ValueError, match="expected 3 means and as many positive deviations"):
        data.load(f"npz:{tmp_path / 'e.npz'}")
