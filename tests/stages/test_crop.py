"""Stage crop on a small table of align: where regions lie and which pixels they have; truncated photographs dropped."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import manifest, sizes
from pipeline.container import read_stored
from pipeline.errors import DecoderError, TooManyDroppedError
from pipeline.faces.decode import AS_PUBLISHED, SELF_TEST_MD5, decode
from pipeline.faces.final_image import read_region
from pipeline.faces.geometry import rectangle_of_landmarks
from pipeline.manifest import Aligned, Cropped
from stages import read_params
from stages.align import align
from stages.crop import crop, crop_chunk
from tests.stages.faces import LANDMARKS, choose, photograph, write_extract

DATA = Path("data")
TABLE = DATA / "crop" / "crop.parquet"
RESOLUTION = 64
CALLS: list[int] = []
"""The rows of each call of `_counting`, which workers of this process find here."""


@pytest.fixture(autouse=True)
def _aligned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    files = {f"{number:06d}.jpg": photograph(number) for number in range(1, 6)}
    files["000002.jpg"] = files["000002.jpg"][:2500]
    files["000004.jpg"] = photograph(4, size=(900, 800))
    rows = dict.fromkeys(files, LANDMARKS) | {"000004.jpg": "300 300 560 310 430 420 310 560 520 580"}
    write_extract(files, "".join(f"{file} {values}\n" for file, values in rows.items()))
    choose(address, align={"resolution": RESOLUTION}, crop={"max_dropped": 0.5, "faces_per_chunk": 2})
    align()


def test_regions_hold_the_decoded_pixels_around_the_square() -> None:
    crop()
    rows = {row.file: row for row in manifest.read_kept(TABLE, Cropped)}
    assert list(rows) == ["000001.jpg", "000003.jpg", "000004.jpg", "000005.jpg"]
    landmarks_52 = np.array(LANDMARKS.split(), np.float32).reshape(5, 2)
    rectangle = rectangle_of_landmarks(landmarks_52, RESOLUTION)
    for file in ("000001.jpg", "000003.jpg", "000005.jpg"):
        row = rows[file]
        region_HWC = read_region(DATA, row, read_params().photographs).image_HWC
        assert region_HWC.shape == (row.crop_height, row.crop_width, 3)
        assert (row.shrink, row.zoom) == (1, rectangle.zoom)
        x, y = (rectangle.quad_42[0] - np.array(row.quad[:2])).round().astype(int)
        whole_HWC = decode(read_stored(DATA, row.photograph), AS_PUBLISHED)
        assert np.array_equal(region_HWC, whole_HWC[y : y + row.crop_height, x : x + row.crop_width])


def test_the_room_is_that_of_the_regions() -> None:
    crop()
    pixels = sum(row.crop_width * row.crop_height for row in manifest.read_kept(TABLE, Cropped))
    rows = manifest.read_kept(DATA / "align/align.parquet", manifest.Aligned)
    truncated = next(row for row in rows if row.file == "000002.jpg")
    expected = sizes.PNG_BYTES_PER_PIXEL * (pixels + truncated.width * truncated.height / 2)
    assert sizes.regions(DATA / "align/align.parquet", RESOLUTION) == pytest.approx(expected, rel=0.3)


def test_a_huge_face_is_shrunk_and_its_square_with_it() -> None:
    crop()
    row = next(row for row in manifest.read_kept(TABLE, Cropped) if row.file == "000004.jpg")
    aligned = next(row for row in manifest.read_kept(DATA / "align/align.parquet", manifest.Aligned) if row.index == 3)
    assert row.shrink == int(0.5 / aligned.zoom) > 1
    assert row.zoom == aligned.zoom * row.shrink
    assert row.crop_width <= 900 // row.shrink
    again_HWC = read_region(DATA, row, read_params().photographs).image_HWC
    assert again_HWC.shape == (row.crop_height, row.crop_width, 3)
    assert hashlib.md5(again_HWC.tobytes()).hexdigest() == row.region_md5


def test_a_truncated_photograph_is_dropped_and_the_decoder_named() -> None:
    crop()
    (dropped,) = manifest.read_dropped(TABLE)
    assert (dropped.file, dropped.reason.name) == ("000002.jpg", "TRUNCATED")
    report = json.loads(Path("reports/crop.json").read_text())
    assert (report["given"], report["kept"]) == (5, 4)
    assert report["decoder"] == "libjpeg-8d"
    assert report["decoder_self_test_md5"] == SELF_TEST_MD5["libjpeg-8d"]
    names = {path.name for path in TABLE.parent.iterdir()}
    assert names == {"crop.parquet", "record.json", "SHA256SUMS", "suspicions.csv"}


def test_two_runs_give_the_same_bytes() -> None:
    contents: list[dict[str, bytes]] = []
    for _ in range(2):
        crop()
        contents.append({path.name: path.read_bytes() for path in TABLE.parent.iterdir()})
    assert contents[0] == contents[1]


def test_another_decoder_gives_other_pixels(address: str) -> None:
    crop()
    exact = manifest.read_kept(TABLE, Cropped)
    choose(address, align={"resolution": RESOLUTION}, crop={"max_dropped": 0.5}, photographs={"decoder": "pillow"})
    crop()
    rows = manifest.read_kept(TABLE, Cropped)
    assert all(one.region_md5 != other.region_md5 for one, other in zip(exact, rows, strict=True))
    with pytest.raises(
        DecoderError, match=r"000001\.jpg: the photograph decodes to other pixels than in the stage crop"
    ):
        read_region(DATA, exact[0], read_params().photographs)


def test_a_decoder_that_fails_its_test_ends_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SELF_TEST_MD5, "libjpeg-8d", "0" * 32)
    with pytest.raises(DecoderError, match="libjpeg-8d"):
        crop()
    assert not TABLE.exists()


def _counting(rows: Sequence[Aligned], stem: Path, **values: Any) -> Any:
    CALLS.append(len(rows))
    return crop_chunk(rows, stem, **values)


def test_more_drops_than_allowed_end_the_stage_and_a_higher_limit_repeats_nothing(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(address, align={"resolution": RESOLUTION}, crop={"max_dropped": 0.1, "faces_per_chunk": 2})
    for _ in range(2):  # the second run finds it in what the first one left
        with pytest.raises(TooManyDroppedError, match=r"crop: 1 of 5 .*\n  truncated image: 1 \(000002\.jpg\)\n"):
            crop()
    folders = {root: files for root, _, files in os.walk(DATA / ".work")}
    assert any(Path(root).name == "crop-000000" for root in folders)
    CALLS.clear()
    monkeypatch.setattr("stages.crop.crop_chunk", _counting)
    choose(address, align={"resolution": RESOLUTION}, crop={"max_dropped": 0.2, "faces_per_chunk": 3})
    crop()
    assert sum(CALLS) <= 3, "the first chunk of two is not done again"
    assert manifest.account(TABLE).kept == 4


def test_what_is_odd_is_used_and_reported_once(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, clear = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (64, 64), (90, 80, 70)).save(turned, "JPEG", exif=exif)
    Image.new("RGBA", (64, 64), (255, 0, 255, 0)).save(clear, "PNG")
    damaged = bytearray(photograph(4, size=(64, 64)))
    damaged[-60:-20] = bytes(40)
    files = {"clear.png": clear.getvalue(), "damaged.jpg": bytes(damaged), "plain.png": photograph(1, "PNG", (64, 64)),
             "turned.jpg": turned.getvalue()}  # fmt: skip
    write_extract(files, "")
    choose(address, align={"rectangle": "whole", "resolution": 64}, superres={"method": "none"},
           fit_superres={"network": {"kind": "none"}}, photographs={"damaged": "keep"})  # fmt: skip
    align()
    assert "align: orientation tag, not applied (photographs.orientation: stored): 1 of 4 (turned.jpg)" in (
        capsys.readouterr().err
    )
    crop()
    assert (TABLE.parent / "suspicions.csv").read_text().splitlines()[1:] == [
        '"damaged image data, kept (photographs.damaged: keep)",1,4,damaged.jpg',
        '"transparent pixels, shown over photographs.background",1,4,clear.png',
    ]
    rows = {row.file: row for row in manifest.read_kept(TABLE, Cropped)}
    assert [len(rows[file].remarks) for file in files] == [1, 1, 0, 1]
    region = read_region(DATA, rows["clear.png"], read_params().photographs)
    assert (region.image_HWC == 128).all()
    choose(address, align={"rectangle": "whole", "resolution": 64}, superres={"method": "none"},
           fit_superres={"network": {"kind": "none"}}, photographs={"damaged": "drop"},
           crop={"max_dropped": 0.5})  # fmt: skip
    align()
    crop()
    assert [drop.file for drop in manifest.read_dropped(TABLE)] == ["damaged.jpg"]


def test_images_that_are_square_already_stay_as_they_are(address: str) -> None:
    files = {"a.png": photograph(1, "PNG", (64, 64)), "b.png": photograph(2, "PNG", (256, 256))}
    write_extract(files, "")
    choose(address, align={"rectangle": "whole", "resolution": 64}, superres={"method": "none"},
           fit_superres={"network": {"kind": "none"}})  # fmt: skip
    align()
    crop()
    for row in manifest.read_kept(TABLE, Cropped):
        region = read_region(DATA, row, read_params().photographs)
        assert np.array_equal(region.image_HWC, decode(files[row.file], AS_PUBLISHED))
        assert (row.shrink, row.border) == (1, 0)
        assert row.quad == (0, 0, 0, row.width, row.width, row.width, row.width, 0)
        assert row.zoom == 64 / row.width
