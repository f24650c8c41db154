"""A small data set of ImageNet's form: generated photographs of several sizes, formats, modes and orientations.

The same pictures are written as folders, as TFRecords and as a set of TensorFlow Datasets (TFDS). Their classes differ in colour
and in the direction of their stripes.
"""

import colorsys
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = 20
FORMATS = (("JPEG", "RGB"), ("JPEG", "RGB"), ("PNG", "P"), ("JPEG", "L"), ("PNG", "RGBA"), ("WEBP", "RGB"))
ORIENTATION = 274


class Picture(NamedTuple):
    part: str  # "train" or "validation"
    label: int
    content: bytes
    suffix: str


def pictures(train, validation, classes=CLASSES, sides=(40, 120), formats=FORMATS):
    """Returns so many pictures of each part, all different, the classes one after the other."""
    rng = np.random.default_rng(0)
    counts = {"train": train, "validation": validation}
    return [
        picture(rng, part, number % classes, classes, number, sides, formats)
        for part, count in counts.items()
        for number in range(count)
    ]


def picture(rng, part, label, classes, number, sides, formats):
    height, width = rng.integers(*sides, 2)
    y, x = np.mgrid[:height, :width]
    angle = np.pi * label / classes
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 4 + rng.uniform(0, 6))[..., None]
    colour = np.array(colorsys.hsv_to_rgb(label / classes, 0.7, 0.9))
    pixels = 127 + 90 * stripes * colour + rng.normal(0, 12, (height, width, 3))
    kind, mode = formats[number % len(formats)]
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)
    options = {}
    if kind == "JPEG":
        exif = Image.Exif()
        exif[ORIENTATION] = 1 + number % 8
        options = {"exif": exif, "quality": 90}
    image.save(stream := io.BytesIO(), kind, **options)
    return Picture(part, label, stream.getvalue(), f".{kind.lower()}")


def write_folder(root, found):
    """Writes root/<part>/<class>/<number>.<suffix> and returns the name of the data set."""
    for number, picture in enumerate(found):
        folder = root / picture.part / f"class{picture.label:02}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}{picture.suffix}").write_bytes(picture.content)
    return f"folder:{root}"


def write_tfrecords(root, found, shards=2):
    """Writes root/<part>-<shard>-of-<shards>, with labels from 1 as ImageNet's, and returns the name of the data set."""
    import tensorflow as tf

    root.mkdir()
    for part in dict.fromkeys(picture.part for picture in found):
        chosen = [picture for picture in found if picture.part == part]
        for shard in range(shards):
            with tf.io.TFRecordWriter(str(root / f"{part}-{shard:05}-of-{shards:05}")) as file:
                for picture in chosen[shard::shards]:
                    file.write(example(picture).SerializeToString())
    return f"tfrecord:{root}"


def example(picture):
    import tensorflow as tf

    bytes_of = {
        "image/encoded": picture.content,
        "image/format": b"JPEG",
        "image/class/text": f"class{picture.label:02}".encode(),
    }
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[content])) for name, content in bytes_of.items()
    }
    features["image/class/label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[picture.label + 1]))
    features["image/object/bbox/xmin"] = tf.train.Feature(float_list=tf.train.FloatList(value=[]))
    return tf.train.Example(features=tf.train.Features(feature=features))


def write_tfds(root, found, title="photos", file_format="tfrecord"):
    """Prepares a set of TFDS in the folder root. Its test images have no labels, as ImageNet's. Returns its name."""
    import tensorflow_datasets as tfds

    class Photos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = title
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = root

        def _info(self):
            labels = tfds.features.ClassLabel(names=[f"class{label:02}" for label in range(CLASSES)])
            features = tfds.features.FeaturesDict({"image": tfds.features.Image(), "label": labels})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            parts = {part: self._of(part) for part in ("train", "validation")}
            return parts | {"test": ((0, {"image": found[0].content, "label": -1}) for _ in range(1))}

        def _of(self, part):
            for number, picture in enumerate(found):
                if picture.part == part:
                    yield number, {"image": picture.content, "label": picture.label}

        def _generate_examples(self):
            raise NotImplementedError

    Photos(data_dir=root, file_format=file_format).download_and_prepare()
    return title
