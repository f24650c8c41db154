"""The crops of ImageNet's recipes against numpy: which box they take, and what pixels it becomes."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from keras_mgnet import crops
from keras_mgnet.augmentations import AUGMENTATIONS
from keras_mgnet.images import decode
from keras_mgnet.recipes import RECIPES

SIDES = st.integers(20, 700)


def shorter_side(image, side, zoom, place):
    """The twin of a crop of side `side` from an image that was resized to the shorter side `zoom` * `side`."""
    factor = zoom * side / min(image)
    start = [(length * factor - side) * where for length, where in zip(image, place, strict=True)]
    return np.array([*start, *(first + side for first in start)]) / factor


def inception(image, rng):
    """The twin of the scale-and-aspect crop of Szegedy et al. 2015."""
    width, height = image
    for _ in range(10):
        area = (0.08 + 0.92 * rng.random()) * width * height
        ratio = np.exp(np.log(3 / 4) + (np.log(4 / 3) - np.log(3 / 4)) * rng.random())
        w, h = (area * ratio) ** 0.5, (area / ratio) ** 0.5
        if w <= width and h <= height:
            x, y = (width - w) * rng.random(), (height - h) * rng.random()
            return x, y, x + w, y + h
    w, h = min(width, height * 4 / 3), min(height, width * 4 / 3)
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2


@given(SIDES, SIDES, st.integers(0, 10**6))
def test_boxes_are_those_of_the_twins_and_inside_the_image(width, height, seed):
    image, twin = (width, height), np.random.default_rng(seed)
    zoom = (256 + 224 * twin.random()) / 224
    expected = {
        "centre": (crops.centre(image, (56, 56)), shorter_side(image, 56, 256 / 224, (0.5, 0.5))),
        "scale": (
            crops.scale(image, (56, 56), np.random.default_rng(seed)),
            shorter_side(image, 56, zoom, twin.random(2)),
        ),
        "scale_aspect": (
            crops.scale_aspect(image, (56, 56), np.random.default_rng(seed)),
            inception(image, np.random.default_rng(seed)),
        ),
    }
    for name, (box, of_twin) in expected.items():
        np.testing.assert_allclose(box, of_twin, atol=1e-6 * max(image), err_msg=name)
        left, upper, right, lower = box
        assert 0 <= left < right <= width and 0 <= upper < lower <= height
    _, _, right, lower = np.subtract(expected["scale_aspect"][0], 2 * expected["scale_aspect"][0][:2])
    if max(image) <= 4 / 3 * min(image):
        assert right * lower >= 0.08 * width * height * (1 - 1e-9)


def test_a_narrow_image_gives_its_largest_centre_with_a_ratio_in_the_range():
    box = crops.scale_aspect((400, 20), (8, 8), np.random.default_rng(0))
    np.testing.assert_allclose(box, (200 - 40 / 3, 0, 200 + 40 / 3, 20))


def triangle(pixels, start, stop, count):
    """Averages a first axis to `count` values between start and stop, by triangles as wide as a value is."""
    scale = (stop - start) / count
    support = max(scale, 1.0)
    centres = start + (np.arange(count) + 0.5) * scale
    weights = np.maximum(0, 1 - abs(np.arange(len(pixels)) + 0.5 - centres[:, None]) / support)
    return np.tensordot(weights / weights.sum(axis=1, keepdims=True), pixels, 1)


@pytest.mark.parametrize("box", [(3.3, 5.25, 37.5, 29.75), (10.0, 8.0, 18.0, 12.0)])
def test_pixels_of_a_box_are_those_of_numpy(box):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream := io.BytesIO(), "PNG")
    found = decode(stream.getvalue(), (16, 12), 3, lambda size: box)
    left, upper, right, lower = box
    across = triangle(pixels.astype(float).swapaxes(0, 1), left, right, 16)
    np.testing.assert_allclose(found, triangle(across.swapaxes(0, 1), upper, lower, 12), atol=1.0)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 1)])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(orientation, turns, monkeypatch):
    sizes, upright = [], ImageOps.exif_transpose
    monkeypatch.setattr(ImageOps, "exif_transpose", lambda image: sizes.append(image.size) or upright(image))
    y, x = np.mgrid[:600, :801]
    smooth = np.stack([x / 801, y / 600, np.sin(x / 90) / 2 + 0.5], axis=-1)
    picture = Image.fromarray((255 * smooth).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rot90(picture, turns)).save(stream := io.BytesIO(), "JPEG", exif=exif, quality=95)
    box = (80.0, 120.0, 560.0, 520.0)
    found = decode(stream.getvalue(), (60, 50), 3, lambda size: box if size == (801, 600) else None)
    assert sizes == [(201, 150) if orientation == 1 else (150, 201)]
    expected = np.asarray(picture.resize((60, 50), Image.Resampling.BILINEAR, box))
    assert np.abs(found.astype(int) - expected).max() <= 6
    decode(stream.getvalue(), (60, 50), 3, lambda size: (80.0, 120.0, 140.0, 170.0))
    assert max(sizes[1]) == 801


def test_recipes_name_the_crops_of_their_texts():
    assert AUGMENTATIONS[RECIPES["lu2018_imagenet"].augment].crop is crops.scale_aspect  # Szegedy et al. 2015
    assert AUGMENTATIONS[RECIPES["he2019_imagenet"].augment].crop is crops.scale
    assert AUGMENTATIONS[RECIPES["densenet_imagenet"].augment].crop is crops.scale_aspect
    assert all(AUGMENTATIONS[RECIPES[name].augment].flip for name in RECIPES if name.endswith("imagenet"))
