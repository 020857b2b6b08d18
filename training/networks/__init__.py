"""Generator and discriminator that grow with `lod` (Karras et al. 2018, appendix A).

`lod`, the level of detail, counts the halvings from full to current resolution; a fraction is a fade between two.
Images have the current resolution R / 2^floor(lod) and a range of about [-1, 1].
Parameters have the names of the original's variables with `.` for `/` (`training.interop.tf_variables`).
"""

from training.networks.discriminator import Discriminator
from training.networks.generator import Generator
from training.networks.progressive import feature_maps

__all__ = ["Discriminator", "Generator", "feature_maps"]
