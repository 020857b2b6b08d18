"""The exact recipe against what NVIDIA published of CelebA-HQ: real photographs, the MD5s of the image list."""

import csv
import hashlib
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.faces import geometry
from pipeline.faces.decode import decode
from pipeline.faces.exact.render import render
from pipeline.faces.image_list import read_list
from pipeline.faces.region import cut_region, enlarge
from tests.faces.celebahq import REAL, real_photograph
from tests.faces.exact.published import IMAGE_LIST

pytestmark = pytest.mark.vectors


def _rows() -> list:
    path = REAL / "celebahq" / "proc_verified.csv"
    if not path.is_file():
        reason = f"no {path}; name the folder of the real data in CELEBAHQ_REAL"
        return [pytest.param({}, id="none", marks=pytest.mark.skip(reason=reason))]
    with path.open(newline="") as file:
        return [pytest.param(row, id=row["orig_file"]) for row in csv.DictReader(file)]


def _finals() -> list:
    paths = sorted((REAL / "celebahq" / "final").glob("imgHQ*.png"))
    if not paths:
        reason = f"no image in {REAL / 'celebahq' / 'final'}; name the folder of the real data in CELEBAHQ_REAL"
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=path.stem) for path in paths]


@pytest.mark.parametrize("row", _rows())
def test_real_photograph_gives_the_published_processed_image(row: dict[str, str]) -> None:
    points = ("lefteye", "righteye", None, "leftmouth", "rightmouth")
    landmarks_52 = np.float32([[float(row[f"{p}_{axis}"]) if p else 0 for axis in "xy"] for p in points])
    photograph = decode(real_photograph(row["orig_file"]).read_bytes(), "libjpeg-8d")
    region = cut_region(photograph, geometry.rectangle_of_landmarks(landmarks_52, 1024), 1024)
    factor = max(geometry.enlarge_factor(region.rectangle.zoom), 1)
    region = enlarge(region, factor)
    rendered = render(region.image_HWC, region.rectangle, border=region.border, resolution=1024)
    md5 = hashlib.md5(rendered.image_HWC.transpose(2, 0, 1).tobytes(), usedforsecurity=False).hexdigest()
    assert (factor, int(rendered.padded)) == (int(row["superres"]), int(row["padded"]))
    assert md5 == row["proc_md5"]
    published = read_list(IMAGE_LIST)[int(row["idx"])]
    assert (published.file, published.proc_md5) == (row["orig_file"], row["proc_md5"])


@pytest.mark.parametrize("path", _finals())
def test_real_final_image_has_the_published_md5(path) -> None:
    idx = int(re.sub(r"\D", "", path.stem))
    image_CHW = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    md5 = hashlib.md5(image_CHW.tobytes(), usedforsecurity=False).hexdigest()
    assert md5 == read_list(IMAGE_LIST)[idx].final_md5


def test_real_photograph_is_decoded_as_the_published_tool_wants() -> None:
    image_HWC = decode(real_photograph("000001.jpg").read_bytes(), "libjpeg-8d")
    assert image_HWC.shape == (687, 409, 3)
    assert hashlib.md5(image_HWC, usedforsecurity=False).hexdigest() == "9cad8178d6cb0196b36f7b34bc5eb6d3"
