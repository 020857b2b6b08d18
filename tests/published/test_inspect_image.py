"""Inspection of single images: the first step that differs is named, and so is what is missing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ExactMatchError, RejectedInputError
from pipeline.published import inspect_image as module
from pipeline.published.deltas import member_name, seal_delta
from pipeline.published.exact.steps import Step, run_steps
from pipeline.published.image_list import PublishedImage, md5_of
from pipeline.published.inspect_image import Original, inspect_image, known_steps, original_of_files
from pipeline.published.ledger import Verdict, check_matches
from tests.published.exact.published import IMAGE_LIST
from tests.stages.faces import photograph

LANDMARKS = np.float32([[60, 70], [100, 74], [80, 90], [62, 110], [92, 114]])
DELTA = np.full((3, 1024, 1024), 3, np.uint8)


@pytest.fixture(scope="module")
def original() -> Original:
    return Original(photograph(1), LANDMARKS)


@pytest.fixture(scope="module", autouse=True)
def once(original: Original) -> Iterator[tuple[list[Step], np.ndarray]]:
    """The recipe takes seconds and gives the same for the same photograph: the original runs through it once."""
    made = run_steps(original.jpeg, LANDMARKS)
    with pytest.MonkeyPatch.context() as patched:
        given = (original.jpeg, LANDMARKS.tobytes())
        patched.setattr(
            module, "run_steps", lambda jpeg, at: made if (jpeg, at.tobytes()) == given else run_steps(jpeg, at)
        )
        yield made


@pytest.fixture(scope="module")
def steps(once: tuple[list[Step], np.ndarray]) -> dict[str, str]:
    return {step.name: step.md5 for step in once[0]}


@pytest.fixture(scope="module")
def image(once: tuple[list[Step], np.ndarray], steps: dict[str, str]) -> PublishedImage:
    return PublishedImage(0, 41, steps["proc"], md5_of(once[1] + DELTA))


def test_a_match_up_to_the_final_image(
    original: Original, image: PublishedImage, steps: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / member_name(0)).write_bytes(seal_delta(DELTA, original.jpeg, image.file))
    found = inspect_image(image, original, tmp_path, steps)
    assert (found.verdict, found.mismatch) == (Verdict.MATCH, None)
    assert [step.name for step, _ in found.steps] == [*steps, "final"]
    (tmp_path / member_name(0)).write_bytes(seal_delta(DELTA + 1, original.jpeg, image.file))
    assert inspect_image(image, original, tmp_path, {}).verdict is Verdict.FINAL_MISMATCH
    (tmp_path / member_name(0)).unlink()
    assert inspect_image(image, original, tmp_path, {}).verdict is Verdict.MISSING_INPUT


def test_the_first_step_that_differs_is_named(original: Original, image: PublishedImage, steps: dict[str, str]) -> None:
    moved = Original(original.jpeg, LANDMARKS + np.float32([1, 0]))
    found = inspect_image(image, moved, None, steps)
    assert found.verdict is Verdict.PROC_MISMATCH
    assert found.mismatch in ("crop", "superres", "pad", "transform")
    other = PublishedImage(image.idx, image.orig_idx, "0" * 32, image.final_md5)
    assert inspect_image(other, original, None, {}).mismatch == "proc"


def test_an_undecodable_photograph_has_a_verdict(image: PublishedImage, original: Original) -> None:
    found = inspect_image(image, Original(original.jpeg[:400], LANDMARKS), None, {})
    assert found.verdict is Verdict.UNDECODABLE


def test_files_that_are_not_there_are_named(image: PublishedImage, tmp_path: Path) -> None:
    with pytest.raises(RejectedInputError, match=r"000042\.jpg"):
        original_of_files(image, tmp_path, tmp_path / "landmarks.txt")


def test_steps_of_five_published_images_are_known() -> None:
    known = known_steps(IMAGE_LIST)
    assert sorted(known) == [5212, 9575, 9901, 18128, 23927]
    assert known[5212]["proc"] == "570455283f4d3d98613e45294aca8ea8"


def test_too_few_matches_end_the_run_with_the_counts() -> None:
    counts = {"match": 3, "proc mismatch": 1, "missing input": 0}
    check_matches(counts, 0.75, Path("ledger.parquet"))
    with pytest.raises(ExactMatchError, match=r"3 of 4 images equal the published ones \(3 match, 1 proc mismatch\)"):
        check_matches(counts, 0.8, Path("ledger.parquet"))
