"""Each worker reads its own part of each batch, and the parts are the batch of one device; runs on JAX too."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest

from keras_mgnet.training.data import pipeline
from keras_mgnet.training.data.dataset import Split
from keras_mgnet.training.data.encoded import Rasters
from keras_mgnet.training.data.plan import WHOLE, Batches, Share
from keras_mgnet.training.data.streaming import Pictures

COUNT, BATCH, SIDE = 22, 8, 6  # batches of 8, 8 and 6 images
FORM = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
TRAIN = FORM | {"seed": 3, "epochs": 2, "classes": 5}
BOTH = pytest.mark.parametrize("is_streamed", [True, False])


@dataclass(frozen=True)
class Counted(Rasters):
    """Images that note which of them are read. Those in `broken` cannot be."""

    broken: Sequence[int] = ()
    read: list[int] = field(default_factory=list)

    def __getitem__(self, place):
        self.read.append(int(place))
        return b"broken" if place in self.broken else super().__getitem__(place)


def split(is_streamed, broken=()):
    images = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.arange(COUNT, dtype=np.int32) % 5
    if is_streamed:
        images = Pictures(Counted(images, broken), np.arange(COUNT), (SIDE, SIDE), 3, "exact", "skip")
    return Split(images, labels)


def made(batches):
    return [tuple(map(np.asarray, batch)) for batch in batches]


def joined(parts):
    """The batches of which workers have made these parts."""
    of_steps = zip(*parts, strict=True)
    return [tuple(np.concatenate([batch[i] for batch in of_step]) for i in range(2)) for of_step in of_steps]


def assert_same(ours, theirs):
    for batch, other in zip(ours, theirs, strict=True):
        for array, expected in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, expected)


@BOTH
@pytest.mark.parametrize("augment", ["crop_flip", "scale_aspect_flip", "cut_mix"])
def test_parts_of_training_batches_join_to_those_of_one_device(augment, is_streamed):
    whole = made(pipeline.train_batches(split(is_streamed), BATCH, augment=augment, **TRAIN))
    for workers in (2, 3):
        splits = [split(is_streamed) for _ in range(workers)]
        shares = [Share(worker, workers, full=True) for worker in range(workers)]
        parts = [
            made(pipeline.train_batches(own, BATCH, augment=augment, **TRAIN, share=share))
            for own, share in zip(splits, shares, strict=True)
        ]
        assert_same(joined(parts), whole)
        sizes = [len(labels) for _, labels in whole]
        for of_worker, share in zip(parts, shares, strict=True):
            assert [len(batch[1]) for batch in of_worker] == [b - a for a, b in (share.of(0, n) for n in sizes)]
            if keras.backend.backend() == "tensorflow":
                assert [int(batch[2]) for batch in of_worker] == sizes
        if is_streamed and augment != "cut_mix":  # which needs the whole batch
            read = [sorted(own.images.source.read) for own in splits]
            assert sorted(place for of_one in read for place in of_one) == sorted([*range(COUNT)] * 2)
            assert workers == 3 or [len(of_one) for of_one in read] == [COUNT, COUNT]  # half of two epochs


@BOTH
def test_parts_of_test_batches_join_to_those_of_one_device(is_streamed):
    whole = made(pipeline.test_batches(split(is_streamed), BATCH, **FORM))
    splits = [split(is_streamed) for _ in range(2)]
    parts = [
        made(pipeline.test_batches(own, BATCH, **FORM, share=Share(worker, 2))) for worker, own in enumerate(splits)
    ]
    assert_same(joined(parts), whole)
    if is_streamed:
        assert [len(own.images.source.read) for own in splits] == [11, 11]
        assert not set(splits[0].images.source.read) & set(splits[1].images.source.read)


@pytest.mark.filterwarnings("ignore:skipped an unreadable image")
def test_a_broken_image_is_replaced_where_batches_must_keep_their_size():
    options = TRAIN | {"augment": "none"}
    sizes = [8, 8, 6] * 2
    alone = made(pipeline.train_batches(split(True, broken=(4, 5)), BATCH, **options, share=WHOLE))
    assert sum(len(batch[1]) for batch in alone) == sum(sizes) - 4
    full = made(pipeline.train_batches(split(True, broken=(4, 5)), BATCH, **options, share=Share(full=True)))
    assert [len(batch[1]) for batch in full] == sizes
    for (images, labels), (kept, _) in zip(full, alone, strict=True):
        assert {image.tobytes() for image in images} == {image.tobytes() for image in kept}
        assert len({(image.tobytes(), label.tobytes()) for image, label in zip(images, labels, strict=True)}) == len(
            {image.tobytes() for image in images}
        )
    images = split(True, broken=range(COUNT)).images
    with pytest.raises(ValueError, match=r"expected a readable image among 3 of a batch\. Received: none"):
        images.read(np.arange(3), fill=True)
    assert images.failures


def test_batches_made_ahead_come_in_order_even_if_one_is_asked_for_twice():
    """Keras reads the first batch for its shapes before it trains."""
    made = []
    batches = Batches(lambda number: made.append(number) or (number,), 5, ahead=True)
    assert [batches[number] for number in (0, *range(5))] == [(0,), *((number,) for number in range(5))]
    assert sorted(made) == list(range(5))
