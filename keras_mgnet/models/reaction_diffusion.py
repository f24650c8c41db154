"""Trainable nonlinear reaction-diffusion, a denoiser (Chen, Pock 2017)."""

import math
from typing import Unpack

from keras_mgnet.layers import Diffusion, EulerFromData, Level
from keras_mgnet.models.checks import positive_integer, within
from keras_mgnet.models.datasets import BSD68
from keras_mgnet.models.family import Family, Published, Row
from keras_mgnet.models.image_frame import ImageFrame, ImageFrameArguments
from keras_mgnet.models.network import Network
from keras_mgnet.models.picture import Edge, Picture, carried
from keras_mgnet.serialization import serializable

README = "Chen, Pock 2017; VLOGroup README"  # prints the mean PSNR at noise of standard deviation 25
ROWS = tuple(
    Row(
        name,
        {"stages": 5, "filter_size": m},
        params,
        (Published(README, BSD68, f"{params:,}", psnr=psnr),),
        dataset=BSD68,
    )
    for name, m, params, psnr in (("tnrd5_5x5", 5, 10_565, 28.78), ("tnrd5_7x7", 7, 26_885, 28.92))
)
PICTURE = Picture(
    ("u", "f"),
    (carried("u"), Edge(("u", 0), ("u", 1), "−Kᵀ ψ(K u)", 0.55), Edge(("f", 0), ("u", 1), "λ"), carried("f")),
    segments=((1, 3),),
)


@serializable
class ReactionDiffusion(Network):
    """Learned reaction-diffusion: a denoiser that maps noisy grey images of any size to clean images.

    The first stage gets the noisy image u_0 = f. Stage t computes

        u_{t+1} = u_t - (sum_i K_i^T psi_i(K_i u_t) + lambda (u_t - f))

    Each stage has its own filters K_i, influence functions psi_i and weight lambda. K_i first mirrors the image at its edges.
    K_i^T is the exact adjoint of K_i, mirroring included. With several scales the sum also has such terms on coarser grids, see
    `keras_mgnet.layers.DiffusionStep`. Input and output are grey values from 0 to 255, without clipping or rounding. The height
    and the width of an image must be at least `filter_size` - 1, and 2 (`filter_size` - 2) + 1 with two scales.

    Source: Chen, Pock 2017 (TNRD). As in VLOGroup's README, the number of parameters includes m^2 coefficients for each filter.
    One of these coefficients has no effect, because filters have zero mean. See `keras_mgnet.layers.Diffusion`.

    Args:
        stages: number of stages.
        filter_size: height and width m of a filter, an odd number.
        filters: number of filters in each stage; None for m^2 - 1.
        functions: number of Gaussians that make up each influence function.
        reaction: initial lambda.
        scales: number of grids of a stage. Each coarser grid has its own filters and functions, and half the width of the one
            before.

    Example:
        >>> from keras_mgnet import count_params
        >>> count_params(ReactionDiffusion(5, 5)), count_params(ReactionDiffusion(5, 7))
        (10565, 26885)
    """

    frame = ImageFrame

    family = Family(recipe="tnrd", small={"stages": 1, "filter_size": 3}, picture=PICTURE, rows=ROWS)

    def __init__(
        self,
        stages: int = 5,
        filter_size: int = 5,
        *,
        filters: int | None = None,
        functions: int = 63,
        reaction: float = 0.1,
        scales: int = 1,
        **arguments: Unpack[ImageFrameArguments],
    ) -> None:
        sizes = {"stages": stages, "filter_size": filter_size, "functions": functions, "scales": scales}
        stages, filter_size, functions, scales = (positive_integer(name, value) for name, value in sizes.items())
        filters = filters if filters is None else positive_integer("filters", filters)
        reaction = within("reaction", reaction, -math.inf, math.inf)

        frame = ImageFrame(**arguments)
        options = {"reaction": reaction, "scales": scales, "name": "f", **frame.common}
        field = Diffusion(stages, filter_size, filters, functions, **options)
        level = Level(EulerFromData(**frame.common), field, name="level1", **frame.common)
        name = f"reaction_diffusion{stages}_{filter_size}x{filter_size}{f'_scales{scales}' if scales > 1 else ''}"
        super().__init__(frame, level(frame.image()), name=name)
