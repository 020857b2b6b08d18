"""The exact recipe against the golden vectors of the original stack: every step, the image, the delta."""

import hashlib
import os
from typing import Any

import numpy as np
import pytest

from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.region import crop_region, enlarge
from pipeline.published.deltas import apply_delta, open_delta
from pipeline.published.exact.render import render_photograph
from pipeline.published.exact.steps import run_steps
from pipeline.published.image_list import md5_of
from tests.outside import VECTORS, cases
from tests.published.exact import reference

pytestmark = pytest.mark.vectors


def _jpeg(case: dict[str, Any]) -> bytes:
    content = (VECTORS / case["jpeg"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == case["jpeg_sha256"]
    return content


def _landmarks(case: dict[str, Any]) -> np.ndarray:
    return np.array(case["landmarks"], np.float32)


def _proc(case: dict[str, Any]) -> np.ndarray:
    image_HWC = render_photograph(decode(_jpeg(case), AS_PUBLISHED), _landmarks(case), 1024).image_HWC
    return np.ascontiguousarray(image_HWC.transpose(2, 0, 1))


def _one_of_each_branch() -> list[Any]:
    if VECTORS.absent("cases.json"):
        return cases()
    chosen: dict[Any, Any] = {}
    for case in cases():
        (values,) = case.values
        chosen.setdefault((values["padded"], values["shrink"] > 1, values["superres"] > 1), case)
    return list(chosen.values())


@pytest.mark.parametrize("case", cases() if os.environ.get("CELEBAHQ_EVERY_CASE") else _one_of_each_branch())
def test_exact_every_step(case: dict[str, Any]) -> None:
    steps, _ = run_steps(_jpeg(case), _landmarks(case))
    expected = [
        ("decode", case["width"], case["height"], case["rgb_md5"]),
        *((stage["name"], stage["width"], stage["height"], stage["md5"]) for stage in case["stages"]),
        ("transform", 4096, 4096, case["transform_4096_md5"]),
        ("proc", 1024, 1024, case["proc_md5"]),
    ]
    assert steps == expected


@pytest.mark.parametrize("case", cases())
def test_exact_fused_image(case: dict[str, Any]) -> None:
    assert md5_of(_proc(case)) == case["proc_md5"]


# the plain renderer takes seconds
@pytest.mark.parametrize("case", _one_of_each_branch()[: None if os.environ.get("CELEBAHQ_EVERY_CASE") else 2])
def test_exact_plain_image(case: dict[str, Any]) -> None:
    rectangle = geometry.rectangle_of_landmarks(_landmarks(case), 1024)
    region = enlarge(crop_region(decode(_jpeg(case), AS_PUBLISHED), rectangle, 1024))
    rendered = reference.render(region, 1024)
    assert md5_of(rendered.image_HWC.transpose(2, 0, 1)) == case["proc_md5"]
    assert rendered.padded == case["padded"]


@pytest.mark.parametrize("case", [case for case in cases() if not case.values[0] or "delta" in case.values[0]])
def test_exact_final_image(case: dict[str, Any]) -> None:
    token = (VECTORS / case["delta"]).read_bytes()
    assert hashlib.sha256(token).hexdigest() == case["delta_sha256"]
    delta_CHW = open_delta(token, _jpeg(case), case["jpeg"])
    assert md5_of(delta_CHW) == case["delta_plain_md5"]
    assert md5_of(apply_delta(_proc(case), delta_CHW)) == case["final_md5"]
