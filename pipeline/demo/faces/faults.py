"""Bad photographs, of the kinds that real collections hold: each must be dropped later, with its reason."""

from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np

from pipeline.demo.faces.portrait import Frame, Portrait, draw_frame, photograph, take
from pipeline.params import SyntheticSource

QUOTA_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Google Drive - Quota exceeded</title></head>\n"
    b"<body><p>Sorry, you can't view or download this file at this time.</p></body></html>\n"
)
"""What a file service sends in place of a photograph when too many have asked for it."""


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


@dataclass(frozen=True, slots=True)
class Item:
    """One number of the set: the file's bytes and its landmark row, None where it has none."""

    content: bytes | None
    landmarks: tuple[int, ...] | None
    attributes: list[int]


def good(source: SyntheticSource, number: int) -> Item:
    """A photograph with nothing wrong."""
    portrait = take(source.seed, number, source.face_pixels_min, source.face_pixels_max)
    return Item(portrait.jpeg, portrait.landmarks, portrait.attributes)


def bad(source: SyntheticSource, number: int, fault: Fault, occurrence: int) -> Item:
    """A photograph with `fault`; `occurrence` counts those of this kind, from 0."""
    if fault is Fault.OUTSIDE_IMAGE:
        return _whole(_staged(source, number, face_fraction=0.15, x=-0.45, y=0.45))
    if fault is Fault.TOO_SMALL:
        return _whole(_staged(source, number, face_fraction=0.055, x=0.5, y=0.45))
    item = good(source, number)
    assert item.content is not None  # a photograph without fault has its bytes
    spoiled = {
        Fault.TRUNCATED: replace(item, content=item.content[: len(item.content) * 11 // 20]),
        Fault.NO_LANDMARK_ROW: replace(item, landmarks=None),
        Fault.NO_PHOTOGRAPH: replace(item, content=None),
        Fault.NOT_AN_IMAGE: replace(item, content=QUOTA_PAGE),
        Fault.ABSURD_LANDMARKS: replace(item, landmarks=(99999 if occurrence % 2 == 0 else 1,) * 10),
        Fault.EMPTY_FILE: replace(item, content=b""),
    }
    return spoiled[fault]


def _staged(source: SyntheticSource, number: int, *, face_fraction: float, x: float, y: float) -> Portrait:
    """A square photograph of 180 pixels with the head at a chosen place, in fractions of the side."""
    rng = np.random.default_rng([source.seed, number])
    side = 180
    pose = draw_frame(rng, face_fraction * side).pose
    return photograph(Frame(side, side, replace(pose, x=x * side, y=y * side)), rng, number)


def _whole(portrait: Portrait) -> Item:
    return Item(portrait.jpeg, portrait.landmarks, portrait.attributes)
