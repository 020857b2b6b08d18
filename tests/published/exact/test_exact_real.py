"""The exact recipe on real photographs: the MD5s of the published image list."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.region import crop_region
from pipeline.published.exact.render import render_photograph
from pipeline.published.image_list import md5_of, read_list
from tests.outside import REAL
from tests.published.exact.published import IMAGE_LIST

pytestmark = pytest.mark.vectors


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


ROWS = REAL.parameters("celebahq/proc_verified.csv", _rows, lambda row: row["orig_file"])
FINALS = REAL.parameters("celebahq/final", lambda folder: sorted(folder.glob("imgHQ*.png")), lambda path: path.stem)


@pytest.mark.parametrize("row", ROWS)
def test_real_photograph_gives_the_published_processed_image(row: dict[str, str]) -> None:
    points = ("lefteye", "righteye", None, "leftmouth", "rightmouth")
    landmarks_52 = np.float32([[float(row[f"{p}_{axis}"]) if p else 0 for axis in "xy"] for p in points])
    photograph = decode(REAL.needed(f"celeba/img_celeba/{row['orig_file']}").read_bytes(), AS_PUBLISHED)
    region = crop_region(photograph, geometry.rectangle_of_landmarks(landmarks_52, 1024), 1024)
    factor = geometry.enlarge_factor(region.rectangle.zoom)
    rendered = render_photograph(photograph, landmarks_52, 1024)
    md5 = md5_of(rendered.image_HWC.transpose(2, 0, 1))
    assert (factor, int(rendered.padded)) == (int(row["superres"]), int(row["padded"]))
    assert md5 == row["proc_md5"]
    published = read_list(IMAGE_LIST)[int(row["idx"])]
    assert (published.file, published.proc_md5) == (row["orig_file"], row["proc_md5"])


@pytest.mark.parametrize("path", FINALS)
def test_real_final_image_has_the_published_md5(path) -> None:
    idx = int(re.sub(r"\D", "", path.stem))
    image_CHW = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    assert md5_of(image_CHW) == read_list(IMAGE_LIST)[idx].final_md5


def test_real_photograph_is_decoded_as_by_the_published_tool() -> None:
    image_HWC = decode(REAL.needed("celeba/img_celeba/000001.jpg").read_bytes(), AS_PUBLISHED)
    assert image_HWC.shape == (687, 409, 3)
    assert md5_of(image_HWC) == "9cad8178d6cb0196b36f7b34bc5eb6d3"
