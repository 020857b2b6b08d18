"""Good photographs, and bad ones of the kinds that real collections hold: each must be dropped, with its reason."""

from dataclasses import replace
from enum import Enum, auto

import numpy as np

from pipeline.demo.portrait import Item, draw_frame, photograph
from pipeline.params import SyntheticSource

QUOTA_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Google Drive - Quota exceeded</title></head>\n"
    b"<body><p>Sorry, you can't view or download this file at this time.</p></body></html>\n"
)
"""What a file service sends in place of a photograph after too many downloads."""


class Fault(Enum):
    """What is wrong, in the order in which a synthetic set cycles through."""

    TRUNCATED = auto()
    NO_LANDMARK_ROW = auto()
    NO_PHOTOGRAPH = auto()
    NOT_AN_IMAGE = auto()
    ABSURD_LANDMARKS = auto()
    OUTSIDE_IMAGE = auto()
    EMPTY_FILE = auto()
    TOO_SMALL = auto()


def good(source: SyntheticSource, number: int) -> Item:
    """Photograph `number` (from 1): a head between the source's two widths, somewhere in the picture."""
    rng = np.random.default_rng([source.seed, number])
    face_pixels = rng.uniform(source.face_pixels_min, source.face_pixels_max)
    return photograph(rng, number, *draw_frame(rng, face_pixels))


def bad(source: SyntheticSource, number: int, fault: Fault, occurrence: int) -> Item:
    """Photograph `number` with `fault`; `occurrence` counts those of this kind, from 0."""
    if fault in (Fault.OUTSIDE_IMAGE, Fault.TOO_SMALL):
        rng, side = np.random.default_rng([source.seed, number]), 180
        face_pixels, x = (0.15 * side, -0.45 * side) if fault is Fault.OUTSIDE_IMAGE else (0.055 * side, 0.5 * side)
        _, _, pose = draw_frame(rng, face_pixels)
        return photograph(rng, number, side, side, replace(pose, x=x, y=0.45 * side))
    item = good(source, number)
    jpeg = item.content or b""
    changed = {
        Fault.TRUNCATED: {"content": jpeg[: len(jpeg) * 11 // 20]},
        Fault.NO_LANDMARK_ROW: {"landmarks": None},
        Fault.NO_PHOTOGRAPH: {"content": None},
        Fault.NOT_AN_IMAGE: {"content": QUOTA_PAGE},
        Fault.ABSURD_LANDMARKS: {"landmarks": (99999 if occurrence % 2 == 0 else 1,) * 10},
        Fault.EMPTY_FILE: {"content": b""},
    }
    return item._replace(**changed[fault])
