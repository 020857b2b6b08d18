"""One image of CelebA-HQ taken apart: each step of the exact recipe, and the first one that departs."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import manifest
from pipeline.container import read_stored
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.geometry import Points
from pipeline.faces.landmarks import read_landmarks
from pipeline.manifest import Aligned
from pipeline.published.deltas import apply_delta, open_delta, read_token
from pipeline.published.exact.trace import RESOLUTION, Step, trace
from pipeline.published.image_list import PublishedImage
from pipeline.published.ledger import VERDICTS, Verdict, md5_of

STEPS = "steps.csv"
"""Beside the image list: MD5s of every step of some images, whose processed image is proven by the list."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an image is made from: all bytes of its photograph, and its landmarks, float32 (5, 2)."""

    jpeg: bytes
    landmarks_52: Points


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of one image, step by step.

    Attributes
    ----------
    steps
        Each step with the MD5 that is known for it, None where none is known.
    departs
        The first step whose MD5 is not the known one; None where none departs, or nothing is known.
    """

    image: PublishedImage
    steps: list[tuple[Step, str | None]]
    verdict: Verdict
    detail: str
    departs: str | None


def inspect_image(image: PublishedImage, given: Given, deltas: Path | None, known: Mapping[str, str]) -> Examined:
    """Run the recipe on one photograph, one step at a time, and compare with what is known.

    Parameters
    ----------
    deltas
        The folder of delta archives; None to stop before the delta.
    known
        MD5s by step.
    """
    steps: list[tuple[Step, str | None]] = []
    try:
        traced = trace(given.jpeg, given.landmarks_52)
        known = {**known, "proc": image.proc_md5}
        steps = [(step, known.get(step.name)) for step in traced.steps]
        departs = next((step.name for step, md5 in steps if md5 not in (None, step.md5)), None)
        if departs is not None:
            return Examined(image, steps, Verdict.PROC_MISMATCH, f"departs at {departs}", departs)
        if deltas is None:
            return Examined(image, steps, Verdict.MATCH, "processed image; the delta was not asked for", None)
        final_CHW = apply_delta(traced.proc_CHW, open_delta(read_token(deltas, image.idx), given.jpeg, image.file))
    except RejectedInputError as rejected:
        verdict = VERDICTS.get(rejected.reason, Verdict.PROC_MISMATCH)
        return Examined(image, steps, verdict, str(rejected), None)
    steps.append((Step("final", RESOLUTION, RESOLUTION, md5_of(final_CHW)), image.final_md5))
    if md5_of(final_CHW) != image.final_md5:
        return Examined(image, steps, Verdict.FINAL_MISMATCH, "departs at final: another delta", "final")
    return Examined(image, steps, Verdict.MATCH, "final image", None)


def given_by_run(image: PublishedImage, aligned: Path, data: Path) -> Given:
    """What a run has of an image: from the table of `align`, and the containers below `data`.

    Raises
    ------
    RejectedInputError
        The photograph was dropped, with its reason; NO_PHOTOGRAPH where the table does not know it.
    """
    for row in manifest.read_kept(aligned, Aligned):
        if row.file == image.file and row.landmarks is not None:
            return Given(read_stored(data, row.photograph), _points(row.landmarks))
    for drop in manifest.read_dropped(aligned):
        if drop.file == image.file:
            raise RejectedInputError(drop.reason, drop.detail)
    raise RejectedInputError(DropReason.NO_PHOTOGRAPH, f"{aligned} has no row {image.file}")


def given_by_files(image: PublishedImage, photographs: Path, landmarks: Path) -> Given:
    """What lies in a folder of CelebA's photographs and a landmarks file.

    Raises
    ------
    RejectedInputError
        NO_PHOTOGRAPH or NO_LANDMARKS.
    """
    path = photographs / image.file
    if not path.is_file():
        raise RejectedInputError(DropReason.NO_PHOTOGRAPH, f"{path} is not there")
    values = read_landmarks(landmarks).values.get(image.file)
    if values is None:
        raise RejectedInputError(DropReason.NO_LANDMARKS, f"{landmarks} has no row {image.file}")
    return Given(path.read_bytes(), _points(values))


def known_steps(image_list: Path) -> dict[int, dict[str, str]]:
    """MD5s by image and step, where they are known; empty without the file `STEPS`.

    Raises
    ------
    SourceError
        The file is not such a table.
    """
    path = image_list / STEPS
    if not path.is_file():
        return {}
    known: dict[int, dict[str, str]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                known.setdefault(int(row["idx"]), {})[row["step"]] = row["md5"]
            except (KeyError, ValueError) as error:
                raise SourceError(f"{path}: columns idx, step, md5 are wanted, found {row}") from error
    return known


def _points(values: tuple[float, ...]) -> Points:
    return np.array(values, np.float32).reshape(5, 2)
