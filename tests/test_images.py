"""Image files: which are opened, and what is refused before it is decoded."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from keras_mgnet import images
from keras_mgnet.benchmarks.serving_hostile import progressive
from keras_mgnet.images import FORMATS, decode, look


def encoded(form, size=(6, 5), mode="RGB"):
    stream = io.BytesIO()
    Image.new(mode, size, 7).save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_decoded_from_bytes_and_from_a_file_of_any_name(form, tmp_path):
    (tmp_path / "picture").write_bytes(encoded(form))
    assert look(encoded(form)) == 30
    found = decode(encoded(form)), decode(tmp_path / "picture")
    assert found[0].shape == (5, 6, 3) and found[0].dtype == np.uint8
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_photographs_are_turned_upright(orientation, turns):
    upright = np.arange(20, dtype=np.uint8).reshape(4, 5) * 12
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rot90(upright, -turns)).save(stream, "PNG", exif=exif)
    np.testing.assert_array_equal(decode(stream.getvalue())[..., 0], upright)


@pytest.mark.parametrize(("bits", "kept"), [(12, 15), (8, 0)])
def test_fewer_bits_in_sixteen_are_told(bits, kept):
    stream = io.BytesIO()
    Image.fromarray(np.arange(2**bits, dtype=np.uint16).reshape(16, -1)).save(stream, "PNG")
    with pytest.warns(UserWarning, match=rf"16-bit pixels of at most {2**bits - 1} become 0\.\.{kept} of 0\.\.255"):
        decode(stream.getvalue())


HOSTILE = {
    "PostScript that loops": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n{} loop\n", "expected an image, BMP or GIF"),
    "no image": (b"hello", "Received: 5 bytes"),
    "nothing": (b"", "Received: 0 bytes"),
    "many scans": (progressive(40, 8), "expected at most 32 scans of a JPEG"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused_undecoded(name, tmp_path):
    content, message = HOSTILE[name]
    with pytest.raises(ValueError, match=message):
        look(content)
    (tmp_path / "loop.png").write_bytes(content)
    with pytest.raises(ValueError, match=f"expected a readable image. Received: '{tmp_path}/loop.png'.*{message}"):
        decode(tmp_path / "loop.png")


def test_scans_are_counted_between_segments_alone():
    picture = encoded("JPEG")
    profile = b"\xff\xe2" + (2 + 80).to_bytes(2) + b"\xff\xda" * 40  # inside of a segment
    assert look(picture[:2] + profile + picture[2:]) == look(picture + b"\xff\xda" * 40) == 30  # and behind the end
    stream, image = io.BytesIO(), Image.new("RGB", (8, 8))
    image.save(stream, "MPO", save_all=True, append_images=[image], progressive=True)  # a JPEG by another name
    both = stream.getvalue()
    end = both.index(b"\xff\xd9")
    with pytest.raises(ValueError, match="at most 32 scans"):
        look(both[:end] + both[both.rindex(b"\xff\xda", 0, end) : end] * 40 + both[end:])
    with pytest.raises(ValueError, match="at most 4096 segments"):
        look(picture[:2] + b"\xff\xe5\0\2" * 5000 + picture[2:])


def test_more_pixels_than_the_limit_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"expected at most 29 pixels. Received: 30"):
        look(encoded("PNG"), most=29)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ValueError, match=f"expected at most {images.MAX_PIXELS} pixels. Received: more"):
        look(encoded("PNG", (7, 6)))  # beyond twice Pillow's own limit


def test_a_pipe_named_like_an_image_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match=f"expected a file. Received: '{tmp_path}/x.png'"):
        decode(tmp_path / "x.png")
