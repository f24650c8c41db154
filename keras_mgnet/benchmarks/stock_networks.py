"""The networks of `networks` from stock Keras layers, in the form of the papers, without our kernels for TensorFlow."""

import keras
from keras import layers

from keras_mgnet.benchmarks.networks import CLASSES, IMAGE


def conv(channels: int, size: int = 3, strides: int = 1) -> layers.Conv2D:
    """Returns a convolution without bias."""
    return layers.Conv2D(channels, size, strides, padding="same", use_bias=False)


def normed(x):
    """Returns s(x) = ReLU(batch normalisation(x))."""
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def mgnet(nu=(2, 2, 2, 2), channels=64) -> keras.Model:
    """Builds MgNet, He2019 (4.3)-(4.4): u <- u + s(B s(f - A u)), where s is a norm and ReLU.

    Each grid has one A and one B. A is also applied to the first u, which is zero.
    """
    image = keras.Input(IMAGE)
    f = normed(conv(channels)(image))
    u = layers.Rescaling(0.0)(f)
    A = None
    for j, count in enumerate(nu):
        before, A, B = A, conv(channels), conv(channels)
        if j:
            u, r = (normed(conv(channels, strides=2)(x)) for x in (u, layers.Subtract()([f, before(u)])))
            f = layers.Add()([r, A(u)])
        for _ in range(count):
            u = layers.Add()([u, normed(B(normed(layers.Subtract()([f, A(u)]))))])
    return _classifier(image, u)


def preact_resnet18(share_A=False) -> keras.Model:
    """Builds a pre-activation ResNet18, He2019 (2.1), (2.2): x <- R x + A s(B s(x)), where s is a norm and ReLU."""
    image = keras.Input(IMAGE)
    x = conv(64)(image)
    for channels in (64, 128, 256, 512):
        shared = conv(channels)
        for i in range(2):
            strides = 2 if channels > 64 and not i else 1
            s = normed(x)
            x = conv(channels, 1, strides)(s) if strides > 1 else x
            x = layers.Add()([x, (shared if share_A else conv(channels))(normed(conv(channels, strides=strides)(s)))])
    return _classifier(image, x)


def _classifier(image, x) -> keras.Model:
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))
