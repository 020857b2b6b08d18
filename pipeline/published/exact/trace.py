"""The exact recipe one step at a time, with the MD5 of what each step leaves: to find the step that departs."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.decode import decode
from pipeline.faces.geometry import Padding, Points, Rectangle
from pipeline.faces.lanczos import resize
from pipeline.faces.region import cut, enlarge, reduce
from pipeline.published.exact import reference
from pipeline.published.exact.padding import pad

RESOLUTION = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """The image after one step that changed it; `md5` is over its (height, width, 3) uint8 bytes, of `proc` CHW."""

    name: str
    width: int
    height: int
    md5: str


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What the recipe did with one photograph.

    Attributes
    ----------
    steps
        `decode`, then those of `shrink`, `crop`, `superres` and `pad` that apply, `transform` and `proc`.
    rectangle
        The square that was transformed, in pixels of the last image before.
    padding
        None where nothing was padded.
    proc_CHW
        (3, 1024, 1024) uint8: the image before any delta.
    """

    steps: list[Step]
    rectangle: Rectangle
    padding: Padding | None
    proc_CHW: NDArray[np.uint8]


def trace(jpeg: bytes, landmarks_52: Points) -> Trace:
    """Put a photograph through the recipe at 1024².

    Parameters
    ----------
    jpeg
        The bytes of the file.
    landmarks_52
        Float32; left eye, right eye, nose, left and right mouth corner in pixels.

    Raises
    ------
    RejectedInputError
        The photograph cannot be decoded, or the landmarks span no square in it.
    """
    steps: list[Step] = []
    image_HWC = decode(jpeg, "libjpeg-8d")
    _note(steps, "decode", image_HWC)
    whole = reduce(image_HWC, geometry.rectangle_of_landmarks(landmarks_52, RESOLUTION), RESOLUTION)
    _note(steps, "shrink", whole.image_HWC)
    region = cut(whole)
    _note(steps, "crop", region.image_HWC)
    region = enlarge(region, max(geometry.enlarge_factor(region.rectangle.zoom), 1))
    _note(steps, "superres", region.image_HWC)
    image_HWC, rectangle = region.image_HWC, region.rectangle
    height, width, _ = image_HWC.shape
    padding = geometry.padding(rectangle, width, height, region.border, RESOLUTION)
    if padding is not None:
        image_HWC, rectangle = pad(image_HWC, padding), rectangle.moved(padding.left, padding.top)
    _note(steps, "pad", image_HWC)
    samples_HWC = reference.transform(image_HWC, rectangle.transform_corners_42, reference.SUPERSAMPLING * RESOLUTION)
    _note(steps, "transform", samples_HWC)
    proc_CHW = np.ascontiguousarray(resize(samples_HWC, RESOLUTION, RESOLUTION).transpose(2, 0, 1))
    steps.append(Step("proc", RESOLUTION, RESOLUTION, _md5(proc_CHW)))
    return Trace(steps, rectangle, padding, proc_CHW)


def _note(steps: list[Step], name: str, image_HWC: NDArray[np.uint8]) -> None:
    """Add a step, unless it left the image as it was."""
    height, width, _ = image_HWC.shape
    step = Step(name, width, height, _md5(image_HWC))
    if not steps or (step.width, step.height, step.md5) != (steps[-1].width, steps[-1].height, steps[-1].md5):
        steps.append(step)


def _md5(pixels: NDArray[np.uint8]) -> str:
    return hashlib.md5(np.ascontiguousarray(pixels).data, usedforsecurity=False).hexdigest()
