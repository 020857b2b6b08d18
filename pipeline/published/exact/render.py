"""The exact renderer: a region to the final image of the published recipe, and its self-test.

Compilers may contract a multiplication and an addition into one operation with one rounding, and mathematical
libraries may differ in the last bit. Either gives wrong pixels without an error, so the renderer is tested first.
"""

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RendererError
from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, SELF_TEST, decode
from pipeline.faces.geometry import Points
from pipeline.faces.region import Region, crop_region, enlarge_square
from pipeline.faces.render import RegionRenderer, Rendered
from pipeline.faces.render import render as render_fast
from pipeline.published.exact.pad import pad
from pipeline.published.exact.warp import warp
from pipeline.published.image_list import md5_of


def select_renderer(name: Literal["fast", "exact"]) -> RegionRenderer:
    """The renderer that `superres.renderer` names; `RendererError` where the exact one fails its self-test."""
    if name == "fast":
        return render_fast
    self_test()
    return render


def render(region: Region, resolution: int) -> Rendered:
    """Pad, transform and resize one enlarged region."""
    image_HWC, rectangle = region.image_HWC, region.rectangle
    height, width, _ = image_HWC.shape
    padding = geometry.padding(rectangle, width, height, region.border, resolution)
    if padding is not None:
        rectangle = rectangle.moved(padding.left, padding.top)
        image_HWC = pad(image_HWC, padding, geometry.read_box(rectangle, *padding.size(width, height)))
    image_CHW = warp(image_HWC, rectangle.transform_corners_42, resolution)
    return Rendered(image_CHW.transpose(1, 2, 0), padded=padding is not None)


def render_photograph(image_HWC: NDArray[np.uint8], landmarks_52: Points, resolution: int) -> Rendered:
    """The whole recipe on the pixels of a photograph; errors as `rectangle_of_landmarks` and `crop_region`."""
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, resolution)
    return render(enlarge_square(crop_region(image_HWC, rectangle, resolution), resolution), resolution)


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
    "shrunk, padded": Answer(((14, 20), (43, 25), (0, 0), (12, 40), (36, 46)), 16, "5e277a4c32027bc04446518ef92d0462"),
}
"""Made with tests/published/exact/reference.py, which equals the golden vectors of the original stack."""


@cache
def self_test() -> None:
    """Render the packaged picture in each way; `RendererError` where this machine gives other pixels."""
    picture_HWC = decode(SELF_TEST.read_bytes(), AS_PUBLISHED)
    for name, answer in ANSWERS.items():
        landmarks_52 = np.array(answer.landmarks, np.float32)
        image_HWC = render_photograph(picture_HWC, landmarks_52, answer.resolution).image_HWC
        found = md5_of(image_HWC.transpose(2, 0, 1))
        if found != answer.md5:
            raise RendererError(
                f"the exact renderer gives MD5 {found} for {SELF_TEST} ({name}), expected is {answer.md5}: on this "
                f"machine every image would come out wrong in places. Install the locked versions (make env); if it "
                f"stays, run on another kind of processor, or set superres.renderer to fast, which is not exact."
            )
