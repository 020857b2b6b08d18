"""Generator and discriminator that grow with `lod` (Karras et al. 2018, appendix A).

`lod` is how far the current resolution lies below the full one, in powers of two: 0 is full resolution, a fraction
is a cross-fade between two. Images go in and out at the current resolution r = R / 2^floor(lod); range about [-1, 1].
Modules carry the names of the original's variables, `.` in place of `/`, so weights map one to one
(`training.interop.tf_variables`).
"""

from training.networks.discriminator import Discriminator
from training.networks.generator import Generator
from training.networks.progressive import feature_maps

__all__ = ["Discriminator", "Generator", "feature_maps"]
