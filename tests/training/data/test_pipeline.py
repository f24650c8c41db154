"""The pipeline as a pure function of (seed, epoch, step); `test_on_device` runs this file on JAX too."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.models.datasets import CIFAR10
from keras_mgnet.recipes import RECIPES
from keras_mgnet.training.data import dataset as data
from keras_mgnet.training.data import mixing, pipeline, views
from support import slow_unless

PLAIN = {"mean": (0.0,), "std": (1.0,)}
APART = [name for name in AUGMENTATIONS if name != "rand_augment"]  # which is in rand_augment_cut_mix
CROPS = [name for name, row in AUGMENTATIONS.items() if not (row.mixes or row.crop)]
GREY = data.Split(
    np.random.default_rng(3).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8), np.arange(12, dtype=np.int32)
)


def split(count, size=8, channels=1):
    """Noise whose labels tell the images apart."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return data.Split(images, np.arange(count, dtype=np.int32))


def raw(images):
    """Takes back `normalize` with the constants of PLAIN."""
    return np.rint(np.asarray(images) * 255).astype(np.uint8)


def collected(batches):
    images, labels = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def key(number):
    """A key of the backend's random functions."""
    dtype = "uint32" if keras.backend.backend() == "jax" else "int64"
    return keras.ops.convert_to_tensor([17, number], dtype)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**6))
def test_every_epoch_is_a_permutation(count, batch_size, seed, first_epoch):
    numbered = split(count)
    batches = pipeline.train_batches(numbered, batch_size, **PLAIN, seed=seed, first_epoch=first_epoch, epochs=2)
    assert len(batches) == 2 * pipeline.steps_per_epoch(numbered, batch_size)
    images, labels = collected(batches)
    for epoch in np.split(labels, 2):
        assert sorted(epoch) == list(range(count))
    assert np.array_equal(raw(images), numbered.images[labels])


def test_epoch_depends_on_seed_and_number_alone():
    def epochs(first, number, seed=5, batch_size=7):
        options = {"seed": seed, "augment": "crop_flip", "first_epoch": first, "epochs": number}
        images, labels = collected(pipeline.train_batches(split(60), batch_size, **PLAIN, **options))
        return [(images[i : i + 60].tobytes(), labels[i : i + 60].tobytes()) for i in range(0, 60 * number, 60)]

    full = epochs(0, 4)
    assert epochs(3, 1) == full[3:] and epochs(1, 2) == full[1:3]
    assert epochs(0, 4, batch_size=60) == full
    seen = full + epochs(0, 4, seed=6)
    assert all(len(set(part)) == len(seen) for part in zip(*seen, strict=True))


def test_views_differ_between_epochs_and_batches():
    same = data.Split(np.repeat(split(1).images, 64, axis=0), np.zeros(64, np.int32))
    run = pipeline.train_batches(same, 32, **PLAIN, seed=0, augment="crop_flip", epochs=2)
    assert len({np.asarray(images).tobytes() for images, _ in run}) == 4


def view(image, number, augmentation):
    """The numpy twin of one view."""
    side, pad = 2 * augmentation.pad + 1, augmentation.pad
    offset, mirrored = divmod(number, 2) if augmentation.flip else (number, 0)
    top, left = divmod(offset, side)
    framed = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], "reflect" if augmentation.reflect else "constant")
    crop = framed[top : top + image.shape[0], left : left + image.shape[1]]
    return crop[:, ::-1] if mirrored else crop


@pytest.mark.parametrize("name", CROPS)
def test_views_against_numpy(name):
    augmentation = AUGMENTATIONS[name]
    image = np.random.default_rng(1).integers(1, 256, (9, 12, 3), dtype=np.uint8)
    numbers = np.arange(augmentation.views)
    ours = np.asarray(views.augmented(np.repeat(image[None], len(numbers), axis=0), numbers, augmentation))
    assert np.array_equal(ours, [view(image, number, augmentation) for number in numbers])


@pytest.mark.parametrize("name", CROPS)
def test_training_sees_every_view_about_equally_often(name):
    augmentation, each = AUGMENTATIONS[name], 25
    image = np.random.default_rng(1).integers(1, 256, (12, 12, 1), dtype=np.uint8)
    count = augmentation.views * each
    same = data.Split(np.repeat(image[None], count, axis=0), np.zeros(count, np.int32))
    images, _ = collected(pipeline.train_batches(same, 512, **PLAIN, seed=0, augment=name, epochs=1))
    number = {view(image, n, augmentation).tobytes(): n for n in range(augmentation.views)}
    seen = np.bincount([number[x.tobytes()] for x in raw(images)], minlength=augmentation.views)
    assert each / 4 < seen.min() and seen.max() < 2.5 * each


def test_alternating_flips_mirror_in_each_epoch_what_the_epoch_before_did_not():
    """The first epoch mirrors about half of the images. A run that starts later mirrors the same ones."""
    numbered, form = split(64), AUGMENTATIONS["shift_flip"]
    options = {"seed": 3, "augment": "shift_flip"}
    images, labels = collected(pipeline.train_batches(numbered, 20, **PLAIN, **options, epochs=3))
    found = np.zeros((3, 64), int)
    for place, (image, label) in enumerate(zip(raw(images), labels, strict=True)):
        views = [view(numbered.images[label], number, form) for number in range(form.views)]
        (number,) = [number for number, x in enumerate(views) if np.array_equal(x, image)]
        found[place // 64, label] = number
    mirrored, crops = found % 2, found // 2
    assert 20 < mirrored[0].sum() < 44
    assert np.array_equal(mirrored[1], 1 - mirrored[0]) and np.array_equal(mirrored[2], mirrored[0])
    assert not np.array_equal(crops[0], crops[2])
    later, _ = collected(pipeline.train_batches(numbered, 20, **PLAIN, **options, first_epoch=2, epochs=1))
    assert np.array_equal(later, images[128:])


@pytest.mark.parametrize("batched", [False, True])
def test_the_layer_of_a_recipe_draws_the_same_views(batched):
    """As a map of tf.data, image by image or in batches, and as a layer of a model; on every backend."""
    tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    image = np.random.default_rng(1).integers(1, 256, (12, 9, 3), dtype=np.uint8)
    form, each = AUGMENTATIONS["crop_flip"], 25
    augment, same = RECIPES["xuteam"].augmentation(image.shape), np.repeat(image[None], each * form.views, axis=0)
    ds = tf.data.Dataset.from_tensor_slices((same, np.arange(len(same))))
    ds = ds.batch(50) if batched else ds
    mapped = [np.asarray(x) for x, _ in ds.map(lambda x, y: (augment(x, training=True), y)).as_numpy_iterator()]
    number = {view(image, n, form).tobytes(): n for n in range(form.views)}
    for images in (np.concatenate(mapped) if batched else np.stack(mapped), np.asarray(augment(same, training=True))):
        found = [number.get(x.astype("uint8").tobytes()) for x in images]
        assert found.count(None) <= 1  # drawn just between two pixels
        seen = np.bincount([n for n in found if n is not None], minlength=form.views)
        assert each / 4 < seen.min() and seen.max() < 2.5 * each
    assert np.array_equal(np.asarray(augment(same[:2], training=False)), same[:2])


def test_the_layer_of_a_recipe_leaves_grey_images_alone():
    pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    grey = split(3).images
    assert np.array_equal(np.asarray(RECIPES["xuteam"].augmentation(grey.shape[1:])(grey, training=True)), grey)
    with pytest.raises(ValueError, match=r"flips and crops of one scale only.*rand_augment_cut_mix"):
        RECIPES["modern"].augmentation((32, 32, 3))


def test_frame_is_raw_zero():
    bright = data.Split(np.full((64, 8, 8, 3), 255, np.uint8), np.zeros(64, np.int32))
    constants = {"mean": (0.5, 0.25, 0.0), "std": (0.5, 0.25, 0.5)}
    images, _ = collected(pipeline.train_batches(bright, 64, **constants, seed=0, augment="shift", epochs=1))
    assert [set(np.unique(images[..., c].round(5))) for c in range(3)] == [{-1.0, 1.0}, {-1.0, 3.0}, {0.0, 2.0}]


@given(st.integers(1, 40), st.integers(1, 50))
def test_test_batches_are_the_split_in_order(count, batch_size):
    coloured = split(count, channels=3)
    mean, std = CIFAR10.mean, CIFAR10.std
    batches = pipeline.test_batches(coloured, batch_size, mean=mean, std=std)
    assert len(batches) == pipeline.steps_per_epoch(coloured, batch_size)
    images, labels = collected(batches)
    assert images.dtype == np.float32 and np.array_equal(labels, coloured.labels)
    np.testing.assert_allclose(images, (coloured.images / 255 - mean) / std, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of tf.data")
@pytest.mark.parametrize("augment", slow_unless(APART, AUGMENTATIONS))
def test_shapes_are_known_before_the_data(augment):
    train = pipeline.train_batches(GREY, 8, **PLAIN, seed=0, augment=augment, classes=12, epochs=1)
    test = pipeline.test_batches(GREY, 8, **PLAIN, classes=12)
    for images, labels in (train.element_spec, test.element_spec):
        assert images.shape.as_list() == [None, 8, 8, 1] and labels.shape.as_list() == [None, 12]


@pytest.mark.parametrize("augment", slow_unless(APART, AUGMENTATIONS))
def test_a_run_from_within_an_epoch_sees_what_the_whole_run_sees(augment):
    def batches(**where):
        options = {"seed": 7, "augment": augment, "classes": 12, "label_smoothing": 0.1}
        run = pipeline.train_batches(GREY, 4, **PLAIN, **options, **where)
        taken = [np.asarray(x).tobytes() + np.asarray(y).tobytes() for x, y in run]
        assert len(run) == len(taken)
        return taken

    full = batches(epochs=3)
    assert len(set(full)) == len(full) == 9
    assert batches(first_epoch=1, first_step=2, epochs=2) == full[5:]
    assert batches(first_epoch=2, epochs=1) == full[6:]


def test_batches_can_be_taken_again():
    for batches in (
        pipeline.train_batches(GREY, 5, **PLAIN, seed=0, augment="crop_flip", epochs=2),
        pipeline.test_batches(GREY, 5, **PLAIN),
    ):
        first, second = collected(batches), collected(batches)
        assert all(np.array_equal(x, y) for x, y in zip(first, second, strict=True))


def test_smoothed_labels():
    constants = {**PLAIN, "seed": 0, "epochs": 1}
    _, plain = collected(pipeline.train_batches(GREY, 5, **constants))
    _, smoothed = collected(pipeline.train_batches(GREY, 5, **constants, classes=12, label_smoothing=0.3))
    np.testing.assert_allclose(smoothed, 0.7 * np.eye(12)[plain] + 0.3 / 12, rtol=1e-6)
    _, test = collected(pipeline.test_batches(GREY, 5, **PLAIN, classes=12))
    assert np.array_equal(test, np.eye(12))


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_treats_each_image_alone(channels):
    """Images go over the whole range, where an operation would leave it; a change of one image changes no other."""
    augment = mixing.RandAugment(2, channels)
    images = np.random.default_rng(0).choice([0, 100, 255], (20, 8, 8, channels)).astype("float32")
    others = images.copy()
    others[5:] = 255 - others[5:]
    one, two = (np.asarray(augment(batch, mixing.Seeds(key(1)))) for batch in (images, others))
    assert one.shape == images.shape and one.min() >= 0 and one.max() <= 255
    assert np.array_equal(one[:5], two[:5])
    assert sum((a != b).any() for a, b in zip(one, images, strict=True)) > 14
    assert (one != np.asarray(augment(images, mixing.Seeds(key(2))))).any()


@pytest.mark.parametrize("count", [1, 3])
def test_rand_augment_of_fewer_images_than_operations(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1))
    assert np.isfinite(np.asarray(mixing.RandAugment(2, 1)(images, mixing.Seeds(key(0))))).all()


def test_cut_mix_labels_are_the_areas_pasted():
    """Image i has the value i everywhere, so that its pixels say where they come from."""
    values = np.arange(16)
    images = np.broadcast_to(values[:, None, None, None], (16, 8, 8, 3)).astype("float32")
    mixed, labels = mixing.CutMix()(images, np.eye(16, dtype="float32"), mixing.Seeds(key(0)))
    areas = np.array([np.bincount(image[..., 0].astype(int).ravel(), minlength=16) for image in np.asarray(mixed)]) / 64
    assert np.array_equal(np.asarray(labels), areas)
    assert (areas.max(axis=1) < 1).sum() > 8


@pytest.mark.parametrize(("height", "width"), [(8, 10), (3, 2)])
def test_cut_out_is_a_square_inside_the_image(height, width):
    images = np.random.default_rng(0).uniform(1, 2, (64, height, width, 3)).astype("float32")
    cut = np.asarray(mixing.cut_out(images, 3, mixing.Seeds(key(0))))
    gone = cut[..., 0] == 0
    assert np.array_equal(cut, np.where(gone[..., None], 0, images))
    assert set(gone.any(axis=2).sum(axis=1)) == {3} and set(gone.any(axis=1).sum(axis=1)) == {min(3, width)}
    corners = {tuple(np.argwhere(image)[0]) for image in gone}
    assert np.ptp(list(corners), axis=0).tolist() == [height - 3, max(width - 3, 0)]
    if width > 3:
        assert not np.array_equal(cut, mixing.cut_out(images, 3, mixing.Seeds(key(1))))


def test_batches_are_cut_after_normalisation():
    batch = pipeline.train_batches(
        split(20, 16, 3), 20, mean=(0.5,) * 3, std=(0.25,) * 3, seed=0, augment="shift_flip_cut", epochs=1
    )
    images, _ = collected(batch)
    assert ((images == 0).all(axis=-1).sum(axis=(1, 2)) >= 64).all()


def test_pipeline_rejects():
    with pytest.raises(ValueError, match="unknown augmentation 'cropflip'; did you mean 'crop_flip'"):
        pipeline.train_batches(GREY, 2, **PLAIN, seed=0, augment="cropflip", epochs=1)
    with pytest.raises(ValueError, match=r"expected batch_size >= 1\. Received: batch_size=0"):
        pipeline.steps_per_epoch(GREY, 0)
    with pytest.raises(ValueError, match=r"expected first_step in 0\.\.2\. Received: 3"):
        pipeline.train_batches(GREY, 4, **PLAIN, seed=0, first_step=3, epochs=1)
    for options in ({"augment": "cut_mix"}, {"label_smoothing": 0.1}):
        with pytest.raises(ValueError, match="expected classes, the number of classes, with label smoothing or CutMix"):
            pipeline.train_batches(GREY, 4, **PLAIN, seed=0, epochs=1, **options)
