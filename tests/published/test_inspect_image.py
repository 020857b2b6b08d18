"""Images taken apart: the step that departs is named, and what is missing is said."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ExactMatchError, RejectedInputError
from pipeline.published.deltas import member_name, seal_delta
from pipeline.published.exact.trace import trace
from pipeline.published.image_list import PublishedImage
from pipeline.published.inspect_image import Given, given_by_files, inspect_image, known_steps
from pipeline.published.ledger import Verdict, check_matches, md5_of
from tests.published.exact.published import IMAGE_LIST
from tests.stages.faces import photograph

LANDMARKS = np.float32([[60, 70], [100, 74], [80, 90], [62, 110], [92, 114]])
DELTA = np.full((3, 1024, 1024), 3, np.uint8)


@pytest.fixture(scope="module")
def given() -> Given:
    return Given(photograph(1), LANDMARKS)


@pytest.fixture(scope="module")
def steps(given: Given) -> dict[str, str]:
    return {step.name: step.md5 for step in trace(given.jpeg, LANDMARKS).steps}


@pytest.fixture(scope="module")
def image(given: Given, steps: dict[str, str]) -> PublishedImage:
    final_CHW = trace(given.jpeg, LANDMARKS).proc_CHW + DELTA
    return PublishedImage(0, 41, steps["proc"], md5_of(final_CHW))


def test_a_match_up_to_the_final_image(
    given: Given, image: PublishedImage, steps: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / member_name(0)).write_bytes(seal_delta(DELTA, given.jpeg, image.file))
    examined = inspect_image(image, given, tmp_path, steps)
    assert (examined.verdict, examined.departs) == (Verdict.MATCH, None)
    assert [step.name for step, _ in examined.steps] == [*steps, "final"]
    (tmp_path / member_name(0)).write_bytes(seal_delta(DELTA + 1, given.jpeg, image.file))
    assert inspect_image(image, given, tmp_path, {}).verdict is Verdict.FINAL_MISMATCH
    (tmp_path / member_name(0)).unlink()
    assert inspect_image(image, given, tmp_path, {}).verdict is Verdict.MISSING_INPUT


def test_the_first_step_that_departs_is_named(given: Given, image: PublishedImage, steps: dict[str, str]) -> None:
    moved = Given(given.jpeg, LANDMARKS + np.float32([1, 0]))
    examined = inspect_image(image, moved, None, steps)
    assert examined.verdict is Verdict.PROC_MISMATCH
    assert examined.departs in ("crop", "superres", "pad", "transform")
    assert inspect_image(image, moved, None, {}).departs == "proc"


def test_an_undecodable_photograph_has_a_verdict(image: PublishedImage, given: Given) -> None:
    examined = inspect_image(image, Given(given.jpeg[:400], LANDMARKS), None, {})
    assert examined.verdict is Verdict.UNDECODABLE


def test_files_that_are_not_there_are_named(image: PublishedImage, tmp_path: Path) -> None:
    with pytest.raises(RejectedInputError, match=r"000042\.jpg"):
        given_by_files(image, tmp_path, tmp_path / "landmarks.txt")


def test_steps_of_five_published_images_are_known() -> None:
    known = known_steps(IMAGE_LIST)
    assert sorted(known) == [5212, 9575, 9901, 18128, 23927]
    assert known[5212]["proc"] == "570455283f4d3d98613e45294aca8ea8"


def test_too_few_matches_end_the_run_with_the_counts() -> None:
    counts = {"match": 3, "proc mismatch": 1, "missing input": 0}
    check_matches(counts, 0.75, Path("ledger.parquet"))
    with pytest.raises(ExactMatchError, match=r"3 of 4 images equal the published ones \(3 match, 1 proc mismatch\)"):
        check_matches(counts, 0.8, Path("ledger.parquet"))
