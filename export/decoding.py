"""Decodes image files inside a TensorFlow graph, to the same pixels as Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

PNG = b"\x89PNG\r\n\x1a\n"
GREY = (19595, 38470, 7471)  # weights of red, green, blue over 2^16 (ITU-R 601), as Pillow rounds them


def can_decode(image_shape: tuple[int | None, ...]) -> bool:
    """Returns whether `decode_images` supports an image shape (H, W, C): the size must be fixed, and C must be 1 or 3.

    Example:
        >>> can_decode((32, 32, 3)), can_decode((None, None, 3)), can_decode((32, 32, 2))
        (True, False, False)
    """
    *size, channels = image_shape
    return None not in size and channels in (1, 3)


def decode_images(files: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Decodes JPEG, PNG and GIF files of any size to pixels: whole numbers 0..255 in float32.

    The pixels equal those of `keras_mgnet.images.decode`, with one exception: the EXIF orientation is not applied, because no
    TensorFlow operation reads it. JPEG files are decoded with the accurate integer DCT. Colours become grey with
    Pillow's weights. Resizing is bilinear and antialiased: first the width, then the height, each rounded to whole numbers.
    Transparent pixels are composited on white.

    Args:
        files: (N,) strings, the content of each file.
        image_shape: (H, W, C), where C is 1 or 3.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, if a file is empty, truncated or not an image.

    Example:
        >>> import tensorflow as tf
        >>> file = tf.io.encode_png(tf.fill((5, 7, 3), tf.constant(9, tf.uint8)))
        >>> decode_images(file[None], (2, 2, 1))[0, ..., 0].numpy().tolist()
        [[9.0, 9.0], [9.0, 9.0]]
    """
    import tensorflow as tf

    spec = tf.TensorSpec(image_shape, tf.float32)
    return tf.map_fn(lambda file: _decode(file, *image_shape), files, fn_output_signature=spec)


def _decode(file: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    import tensorflow as tf

    pixels = tf.cond(
        tf.strings.substr(file, 0, len(PNG)) == PNG,
        lambda: _on_white(tf.cast(tf.io.decode_png(file), tf.int32)),
        lambda: tf.cast(tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"), tf.int32),  # and GIF
    )
    if channels == 1:
        weighted = tf.reduce_sum(pixels * GREY, axis=-1, keepdims=True)
        pixels = (weighted + 2**15) // 2**16
    rows = _resize(tf.cast(pixels, tf.float32), (tf.shape(pixels)[0], width))
    return _resize(rows, (height, width))


def _on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Returns the colours (H, W, 3) of pixels on a white page, rounded as Pillow rounds them.

    An even number of channels ends in transparency: grey has 1 or 2 channels, colour has 3 or 4.
    """
    import tensorflow as tf

    last, full = pixels[..., -1:], tf.fill(tf.shape(pixels[..., -1:]), 255)
    colour, alpha = tf.cond(tf.shape(pixels)[-1] % 2 == 0, lambda: (pixels[..., :-1], last), lambda: (pixels, full))
    blend = colour * alpha + 255 * (255 - alpha) + 128
    return tf.ensure_shape(tf.zeros(3, tf.int32) + (blend + blend // 256) // 256, (None, None, 3))


def _resize(pixels: tf.Tensor, size) -> tf.Tensor:
    import tensorflow as tf

    return tf.floor(tf.image.resize(pixels, size, antialias=True) + 0.5)
