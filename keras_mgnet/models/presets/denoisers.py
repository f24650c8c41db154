"""The denoisers, whose published figure is the mean PSNR over the 68 images of BSD68 at noise of deviation 25."""

from keras_mgnet.registry import ModelInfo

GREY = (None, None, 1)
SOURCE = "Chen, Pock 2017; VLOGroup README"

ROWS = {  # name -> arguments, exact parameters, PSNR in dB
    "tnrd5_5x5": ({"stages": 5, "filter_size": 5}, 10_565, 28.78),
    "tnrd5_7x7": ({"stages": 5, "filter_size": 7}, 26_885, 28.92),
}


def rows() -> list[ModelInfo]:
    """Returns the rows of this table."""
    return [
        ModelInfo(name, "ReactionDiffusion", {"input_shape": GREY, **kwargs}, params, SOURCE, {"bsd68": psnr}, "tnrd")
        for name, (kwargs, params, psnr) in ROWS.items()
    ]
