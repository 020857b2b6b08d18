"""Whether this machine computes the recipe to the bit: known answers for a packaged picture.

Compilers may contract a multiplication and an addition into one operation with one rounding, and mathematical
libraries may differ in the last bit. Either makes wrong pixels without a word, so the answer is looked at first.
"""

import hashlib
from functools import cache
from typing import NamedTuple

import numpy as np

from pipeline.errors import RendererError
from pipeline.faces import geometry
from pipeline.faces.decode import SELF_TEST, decode
from pipeline.faces.region import cut_region, enlarge
from pipeline.published.exact.render import render


class Answer(NamedTuple):
    """Landmarks in the picture (eyes, nose, mouth corners), the resolution, and the MD5 of the (3, R, R) image."""

    landmarks: tuple[tuple[float, float], ...]
    resolution: int
    md5: str


ANSWERS = {
    "enlarged, not padded": Answer(
        ((29, 24), (38, 25), (0, 0), (30, 32), (37, 33)), 512, "89dfbb2c39d060e338f1548b49a967db"
    ),
    "enlarged, padded": Answer(
        ((14, 20), (43, 25), (0, 0), (12, 40), (36, 46)), 256, "a1f486afad9b7d3462a7ad15b429e2d5"
    ),
    "reduced, padded": Answer(((14, 20), (43, 25), (0, 0), (12, 40), (36, 46)), 16, "5e277a4c32027bc04446518ef92d0462"),
}
"""Made with `reference`, which equals the golden vectors of the original stack (tests/golden/make_self_test.py)."""


@cache
def self_test() -> None:
    """Render the packaged picture in each way, and compare.

    Raises
    ------
    RendererError
        This machine gives other pixels.
    """
    picture_HWC = decode(SELF_TEST.read_bytes(), "libjpeg-8d")
    for name, answer in ANSWERS.items():
        rectangle = geometry.rectangle_of_landmarks(np.array(answer.landmarks, np.float32), answer.resolution)
        region = cut_region(picture_HWC, rectangle, answer.resolution)
        region = enlarge(region, max(geometry.enlarge_factor(region.rectangle.zoom), 1))
        image_HWC = render(
            region.image_HWC, region.rectangle, border=region.border, resolution=answer.resolution
        ).image_HWC
        found = hashlib.md5(image_HWC.transpose(2, 0, 1).tobytes(), usedforsecurity=False).hexdigest()
        if found != answer.md5:
            raise RendererError(
                f"the exact renderer gives MD5 {found} for {SELF_TEST} ({name}), expected is {answer.md5}: on this "
                f"machine every image would come out wrong in places. Install the locked versions (make env); if it "
                f"stays, run on another kind of processor, or set superres.renderer to fast, which is not exact."
            )
