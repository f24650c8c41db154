"""ResNet and pre-activation ResNet 18/34 with shared data-feature maps A and smoothers B (He2019, sections 2, 3, 5)."""

import keras

from keras_mgnet.layers import ResidualLevel, Stem
from keras_mgnet.layers.sharing import PUBLISHED_SIZE, check_share
from keras_mgnet.models.network import Head, Network, check_image, image_input, is_integer
from keras_mgnet.recipes import recipe
from keras_mgnet.serialization import serializable

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@serializable
class ResNet(Network):
    """ResNet 18/34 on four grids: r^{l,i} = s(r^{l,i-1} + A^{l,i} * s(B^{l,i} * r^{l,i-1})), He2019 (2.3), (2.4).

    Structure and norms are those of kuangliu/pytorch-cifar and, with the "imagenet" stem, torchvision. Returns logits.

    Args:
        depth: 18 or 34.
        share_A: one A per grid, the pooling block's included (A^l); False for A^{l,i}.
        share_B: one B per grid (B^l), the pooling block's excluded; False for B^{l,i}. Both also take "published_size",
            the rule that reproduces the sizes of He2019's tables: nothing is shared on the first grid, and with share_B the
            pooling block restricts first and then uses the shared B, (6.4).
        base_width: channels of the first grid; each coarser one has twice as many.
        stem: "cifar", "mnist" (3x3) or "imagenet" (7x7 with stride 2 and max pooling).
        input_shape: (height, width, channels).
        input_tensor, include_top, pooling, classes, classifier_activation: as in keras.applications.
        activation: sigma.
        weights: None or the path of a .weights.h5 file.
        init: "he_fan_out" or "torch_default".
        name, dtype: of the model.

    Raises:
        ValueError: for arguments that do not make a network, before anything is built.

    Example:
        >>> ResNet(18, share_A=True, base_width=8).count_params() < ResNet(18, base_width=8).count_params()
        True
    """

    preactivation = False

    def __init__(
        self,
        depth=18,
        *,
        share_A=False,
        share_B=False,
        base_width=64,
        stem="cifar",
        input_shape=(32, 32, 3),
        input_tensor=None,
        include_top=True,
        pooling="avg",
        classes=10,
        classifier_activation=None,
        activation="relu",
        weights=None,
        init="he_fan_out",
        name=None,
        dtype=None,
    ):
        if depth not in BLOCKS:
            raise ValueError(f"expected depth to be one of {', '.join(map(str, BLOCKS))}. Received: depth={depth!r}")
        check_share("share_A", share_A, PUBLISHED_SIZE)
        check_share("share_B", share_B, PUBLISHED_SIZE)
        if not (is_integer(base_width) and base_width >= 1):
            raise ValueError(f"expected base_width to be an integer >= 1. Received: base_width={base_width!r}")
        head = Head(include_top, pooling, classes, classifier_activation, weights, init)
        check_image(input_shape, input_tensor, stem, len(BLOCKS[depth]))
        policy = keras.dtype_policies.get(dtype)
        preactivation = type(self).preactivation

        inputs, image = image_input(input_shape, input_tensor, policy)
        common = {"activation": activation, "init": init, "dtype": policy}
        options = {"share_A": share_A, "share_B": share_B, "preactivation": preactivation, **common}
        normalize = not preactivation or stem == "imagenet"
        r = Stem(base_width, stem, normalize=normalize, name="stem", **common)(image)
        for level, blocks in enumerate(BLOCKS[depth]):
            strides = 2 if level else 1
            r = ResidualLevel(base_width * 2**level, blocks, strides=strides, name=f"level{level + 1}", **options)(r)
        name = name or f"{'preact_' if preactivation else ''}resnet{depth}"
        super().__init__(inputs, r, head, recipe(f"he2019_resnet{depth}"), name)


@serializable
class PreActResNet(ResNet):
    """Pre-activation ResNet 18/34: r^{l,i} = r^{l,i-1} + A^{l,i} * s(B^{l,i} * s(r^{l,i-1})), He2019 (2.1), (2.2).

    With share_A it is MgNet's smoothing seen in the residual, Theorem 1 of He2019. As in kuangliu/pytorch-cifar the CIFAR
    stem has no norm, no norm stands before the classifier, and a pooling block restricts s(r), not r as (2.2) and (6.4) print.
    Arguments as `ResNet`.

    Example:
        >>> PreActResNet(18, base_width=8, share_A=True, share_B="published_size").output_shape
        (None, 10)
    """

    preactivation = True
