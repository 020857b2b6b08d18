"""Inspects one image of CelebA-HQ: each step of the exact recipe, and the first that differs from the published one."""

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
from pipeline.published.exact.steps import RESOLUTION, Step, run_steps
from pipeline.published.image_list import PublishedImage, md5_of
from pipeline.published.ledger import Verdict

STEPS = "steps.csv"
"""In the folder of the image list: MD5s of every step of some images whose processed image equals the published one."""


@dataclass(frozen=True, slots=True)
class Original:
    """What an image is made from: all bytes of its photograph, and its landmarks, float32 (5, 2)."""

    jpeg: bytes
    landmarks_52: Points


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result for one image.

    `steps` has each step with its known MD5, or None where none is known. `mismatch` is the first step whose MD5 is not
    the known one, or None.
    """

    image: PublishedImage
    steps: list[tuple[Step, str | None]]
    verdict: Verdict
    detail: str
    mismatch: str | None


def inspect_image(
    image: PublishedImage, original: Original, deltas: Path | None, known: Mapping[str, str]
) -> Inspection:
    """Run the recipe on one photograph step by step, and compare with the MD5s in `known`, by step.

    `deltas` is the folder of delta archives; None to stop before the delta.
    """
    steps: list[tuple[Step, str | None]] = []
    try:
        made, proc_CHW = run_steps(original.jpeg, original.landmarks_52)
        known = {**known, "proc": image.proc_md5}
        steps = [(step, known.get(step.name)) for step in made]
        mismatch = next((step.name for step, md5 in steps if md5 not in (None, step.md5)), None)
        if mismatch is not None:
            return Inspection(image, steps, Verdict.PROC_MISMATCH, f"differs from step {mismatch} on", mismatch)
        if deltas is None:
            return Inspection(image, steps, Verdict.MATCH, "processed image; there is no folder of deltas", None)
        delta_CHW = open_delta(read_token(deltas, image.idx), original.jpeg, image.file)
    except RejectedInputError as rejected:
        return rejection(image, rejected, steps)
    final_md5 = md5_of(apply_delta(proc_CHW, delta_CHW))
    steps.append((Step("final", RESOLUTION, RESOLUTION, final_md5), image.final_md5))
    if final_md5 != image.final_md5:
        return Inspection(image, steps, Verdict.FINAL_MISMATCH, "differs from step final on: another delta", "final")
    return Inspection(image, steps, Verdict.MATCH, "final image", None)


def rejection(
    image: PublishedImage, rejected: RejectedInputError, steps: list[tuple[Step, str | None]] | None = None
) -> Inspection:
    """The result for an image whose photograph, landmarks or delta cannot be used."""
    return Inspection(image, steps or [], Verdict.of(rejected.reason), str(rejected), None)


def original_of_run(image: PublishedImage, aligned: Path, data: Path) -> Original:
    """The original of an image in a run: from the table of `align`, and the containers below `data`.

    `RejectedInputError`: the reason of the drop where the photograph was dropped; NO_PHOTOGRAPH where the table has no
    row of it.
    """
    files = manifest.kept_columns(aligned, ["file"])["file"].to_numpy()
    places = np.flatnonzero(files == image.file)
    for row in manifest.read_kept_at(aligned, Aligned, places.tolist()):
        if row.landmarks is not None:
            return Original(read_stored(data, row.photograph), _points(row.landmarks))
    for drop in manifest.iterate_dropped(aligned, [image.file]):
        raise RejectedInputError(drop.reason, drop.detail)
    raise RejectedInputError(DropReason.NO_PHOTOGRAPH, f"{aligned} has no row {image.file}")


def original_of_files(image: PublishedImage, photographs: Path, landmarks: Path) -> Original:
    """The original of an image from a folder of CelebA's photographs and a landmarks file.

    `RejectedInputError`: NO_PHOTOGRAPH or NO_LANDMARKS.
    """
    path = photographs / image.file
    if not path.is_file():
        raise RejectedInputError(DropReason.NO_PHOTOGRAPH, f"{path} does not exist")
    values = read_landmarks(landmarks).values.get(image.file)
    if values is None:
        raise RejectedInputError(DropReason.NO_LANDMARKS, f"{landmarks} has no row {image.file}")
    return Original(path.read_bytes(), _points(values[0]))


def known_steps(image_list: Path) -> dict[int, dict[str, str]]:
    """The known MD5s by image and step, from the file `STEPS`; empty without it, `SourceError` for another table."""
    path = image_list / STEPS
    if not path.is_file():
        return {}
    known: dict[int, dict[str, str]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                known.setdefault(int(row["idx"]), {})[row["step"]] = row["md5"]
            except (KeyError, ValueError) as error:
                raise SourceError(f"{path}: the columns idx, step and md5 are needed, found {row}") from error
    return known


def _points(values: tuple[float, ...]) -> Points:
    return np.array(values, np.float32).reshape(5, 2)
