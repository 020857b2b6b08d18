"""Real images as the discriminator sees them: range, mirroring, and the fade between two resolutions."""

import math

import numpy as np
import torch
from torch import Tensor

from training.networks.layers import downscale, upscale


def process_reals(images_NCHW: Tensor, mirrored_N: Tensor | None, lod: float) -> Tensor:
    """uint8 images at the current resolution to float32 in [-1, 1], mirrored and faded.

    Parameters
    ----------
    mirrored_N
        Booleans: which images to flip left to right; None flips none.
    lod
        Its fraction is the weight of the image downscaled to the resolution below (Karras et al. 2018, figure 2).
    """
    images = images_NCHW.to(torch.float32) * (2 / 255) - 1
    if mirrored_N is not None:
        images = torch.where(mirrored_N.view(-1, 1, 1, 1), images.flip(3), images)
    fade = float(np.float32(lod) - np.float32(math.floor(lod)))  # lod is a float32 in the original implementation
    return images + (upscale(downscale(images)) - images) * fade if fade > 0 else images
