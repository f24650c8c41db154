"""Trainable nonlinear reaction-diffusion, a denoiser (Chen, Pock 2017)."""

import math

from keras_mgnet.layers.diffusion import DiffusionLevel
from keras_mgnet.models.checks import positive_integer, within
from keras_mgnet.models.image_frame import ImageFrame
from keras_mgnet.models.network import Graph, Network, family


@family
class ReactionDiffusion(Network):
    """u_{t+1} = u_t - (sum_i K_i^T psi_i(K_i u_t) + lambda (u_t - f)), u_0 = f: noisy grey images to clean ones, any size.

    Each stage has filters, influence functions and lambda of its own. Images are grey values 0..255, in and out, for in these
    the Gaussians of the influence functions stand; nothing is clipped or rounded. K^T is the exact adjoint on an image
    mirrored at its edges. Height and width are at least `filter_size` - 1.

    Source: Chen, Pock 2017 (TNRD); the sizes are those of VLOGroup's README, which counts m^2 coefficients per filter: that of
    the constant, which zero mean leaves without effect, is one of them. See `keras_mgnet.layers.DiffusionLevel`.

    Args:
        stages: steps of the iteration.
        filter_size: m, odd.
        filters: per stage, None for m^2 - 1.
        functions: Gaussians of each influence function.
        reaction: the initial lambda.

    The other arguments are those of every network between images, see `keras_mgnet.models.ImageFrame`.

    Example:
        >>> from keras_mgnet import count_params
        >>> count_params(ReactionDiffusion(5, 5)), count_params(ReactionDiffusion(5, 7))
        (10565, 26885)
    """

    frame = ImageFrame

    @classmethod
    def graph(cls, frame, stages=5, filter_size=5, *, filters=None, functions=63, reaction=0.1):
        sizes = {"stages": stages, "filter_size": filter_size, "functions": functions}
        stages, filter_size, functions = (positive_integer(name, value) for name, value in sizes.items())
        filters = filters if filters is None else positive_integer("filters", filters)
        reaction = within("reaction", reaction, -math.inf, math.inf)
        level = DiffusionLevel(
            stages, filter_size, filters, functions, reaction=reaction, name="level1", **frame.common
        )
        name = f"reaction_diffusion{stages}_{filter_size}x{filter_size}"
        return Graph(level(frame.image()), name, "tnrd")
