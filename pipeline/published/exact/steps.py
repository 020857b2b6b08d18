"""The exact recipe one step at a time, with an MD5 of each result, to find the first step that differs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.geometry import Box, Points
from pipeline.faces.lanczos import resize
from pipeline.faces.region import crop, enlarge, shrink
from pipeline.published.exact.pad import pad
from pipeline.published.exact.warp import SUPERSAMPLING, quad_coefficients
from pipeline.published.image_list import md5_of

RESOLUTION = 1024


class Step(NamedTuple):
    """The image after one step that changed it; `md5` is of its (height, width, 3) uint8 bytes, for `proc` CHW."""

    name: str
    width: int
    height: int
    md5: str


def run_steps(jpeg: bytes, landmarks_52: Points) -> tuple[list[Step], NDArray[np.uint8]]:
    """Run the recipe at 1024² on the bytes of a JPEG file, with float32 landmarks.

    Returns the steps that changed the image (`decode`, `shrink`, `crop`, `superres`, `pad`, `transform`, `proc`: the
    words of dataset_tool.py), and the processed image, (3, 1024, 1024) uint8.

    `RejectedInputError`: the photograph cannot be decoded, or the landmarks span no square in it.
    """
    steps: list[Step] = []
    image_HWC = decode(jpeg, AS_PUBLISHED)
    _append(steps, "decode", image_HWC)
    region = shrink(image_HWC, geometry.rectangle_of_landmarks(landmarks_52, RESOLUTION), RESOLUTION)
    _append(steps, "shrink", region.image_HWC)
    region = crop(region)
    _append(steps, "crop", region.image_HWC)
    region = enlarge(region)
    _append(steps, "superres", region.image_HWC)
    image_HWC, rectangle = region.image_HWC, region.rectangle
    height, width, _ = image_HWC.shape
    padding = geometry.padding(rectangle, width, height, region.border, RESOLUTION)
    if padding is not None:
        whole = Box(0, 0, *padding.size(width, height))
        image_HWC, rectangle = pad(image_HWC, padding, whole), rectangle.moved(padding.left, padding.top)
    _append(steps, "pad", image_HWC)
    samples_HWC = transform(image_HWC, rectangle.transform_corners_42, SUPERSAMPLING * RESOLUTION)
    _append(steps, "transform", samples_HWC)
    proc_CHW = np.ascontiguousarray(resize(samples_HWC, RESOLUTION, RESOLUTION).transpose(2, 0, 1))
    steps.append(Step("proc", RESOLUTION, RESOLUTION, md5_of(proc_CHW)))
    return steps, proc_CHW


def transform(image_HWC: NDArray[np.uint8], corners_42: Points, size: int) -> NDArray[np.uint8]:
    """A quadrilateral to `size` x `size` pixels, bilinear, as Pillow 3.1.1's QUAD; 0 outside of the image.

    Plain numpy, and the whole image at once: `warp` makes the final image without it.
    """
    height, width, _ = image_HWC.shape
    result_HWC = np.zeros((size, size, 3), np.uint8)
    coefficients_24 = quad_coefficients(corners_42, size)
    x = np.arange(size, dtype=np.float64)
    for y in range(size):
        x_in, y_in = (((a0 + a1 * x) + a2 * y) + (a3 * x) * y for a0, a1, a2, a3 in coefficients_24)
        inside = (x_in >= 0) & (x_in < width) & (y_in >= 0) & (y_in < height)
        x_in, y_in = x_in[inside] - 0.5, y_in[inside] - 0.5
        column, row = np.floor(x_in).astype(int), np.floor(y_in).astype(int)
        dx, dy = (x_in - column)[:, None], (y_in - row)[:, None]
        left, right = column.clip(0, width - 1), (column + 1).clip(0, width - 1)
        upper, lower = row.clip(0, height - 1), (row + 1).clip(0, height - 1)
        above = _lerp(image_HWC[upper, left], image_HWC[upper, right], dx)
        below = _lerp(image_HWC[lower, left], image_HWC[lower, right], dx)
        result_HWC[y, inside] = _lerp(above, below, dy)
    return result_HWC


def _lerp(start: NDArray, stop: NDArray, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    start = start.astype(np.float64)
    return start + (stop.astype(np.float64) - start) * weight


def _append(steps: list[Step], name: str, image_HWC: NDArray[np.uint8]) -> None:
    """Add a step, unless it left the image as it was."""
    height, width, _ = image_HWC.shape
    step = Step(name, width, height, md5_of(image_HWC))
    if not steps or step[1:] != steps[-1][1:]:
        steps.append(step)
