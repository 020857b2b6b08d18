"""Stage superres on a few made-up faces: every input accounted for, sheets written, strips removed, equal bytes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline import manifest
from pipeline.faces.artefacts import BlockGrid
from pipeline.faces.final_image import FinalRenderer
from pipeline.faces.geometry import Rectangle
from pipeline.faces.png import decode_png
from pipeline.faces.quality import quality, sharpness
from pipeline.faces.render import render
from pipeline.manifest import Cropped, Denoised, Scored, extend
from pipeline.report import sheets
from pipeline.report.sheets import Picture
from stages import read_params
from stages import superres as stage
from stages.align import align
from stages.crop import crop
from stages.denoise import denoise
from stages.superres import FACE_PIXELS, PREVIEW_PIXELS, superres
from tests.stages.faces import LANDMARKS, choose, photograph, write_extract

DATA = Path("data")
OUT = DATA / "superres"
TABLE = OUT / "superres.parquet"
RESOLUTION = 64
FACES = 5
SECTIONS = {
    "align": {"resolution": RESOLUTION},
    "crop": {"faces_per_chunk": 3},
    "superres": {"method": "lanczos", "faces_per_chunk": 2, "previews": 3},
    "fit_superres": {"network": {"kind": "none"}},
}


@pytest.fixture(autouse=True)
def _denoised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    files = {f"{number:06d}.jpg": photograph(number) for number in range(1, FACES + 1)}
    write_extract(files, "".join(f"{file} {LANDMARKS}\n" for file in files))
    choose(address, **SECTIONS)
    align()
    crop()
    # the output of denoise with method none: the rows of crop
    rows = manifest.read_kept(DATA / "crop" / "crop.parquet", Cropped)
    unchanged = [extend(row, Denoised, denoised=False) for row in rows]
    manifest.write_rows(DATA / "denoise" / "denoise.parquet", Denoised, unchanged)
    (DATA / "fit_superres").mkdir()
    (DATA / "fit_superres" / "network.json").write_text('{"kind": "none"}')


def test_faces_of_one_photograph_are_told_apart(address: str) -> None:
    files = {f"{number:06d}.jpg": photograph(number) for number in (1, 2)}
    other = "30 40 60 42 44 55 32 70 58 72"
    write_extract(files, f"000001.jpg {LANDMARKS}\n000001.jpg {other}\n000002.jpg {LANDMARKS}\n")
    shutil.rmtree(DATA / "fit_denoise", ignore_errors=True)
    (DATA / "fit_denoise").mkdir()
    (DATA / "fit_denoise" / "network.json").write_text('{"kind": "none"}')
    none = {"denoise": {"method": "none"}, "fit_denoise": {"network": {"kind": "none"}}}
    choose(address, **SECTIONS | none | {"superres": SECTIONS["superres"] | {"previews": 1}})
    for run in (align, crop, denoise, superres):
        run()
    rows = manifest.read_kept(TABLE, Scored)
    assert [row.key for row in rows] == [(0, 0), (0, 1), (1, 0)]
    assert len({row.quality for row in rows}) == 3
    assert [row.label for row in rows] == ["000000", "000000-1", "000001"]
    assert not list(OUT.glob("*.strip*"))
    report = json.loads(Path("reports/align.json").read_text())
    assert (report["given"], report["further_faces"]) == (3, 1)


def test_every_face_has_the_quality_of_its_final_image() -> None:
    superres()
    rows = manifest.read_kept(TABLE, Scored)
    assert [row.index for row in rows] == list(range(FACES))
    params, network = read_params(), DATA / "fit_superres"
    renderer = FinalRenderer(
        params.superres, params.photographs, render, resolution=RESOLUTION, network=network, data=DATA
    )
    for row in rows:
        final = renderer.render(row)
        grid = BlockGrid.in_final_image(Rectangle.from_row(row.quad, row.zoom), row.shrink)
        scores = (quality(final.image_HWC, grid), sharpness(final.image_HWC))
        assert (row.quality, row.sharpness, row.padded, row.enlarge) == (*scores, final.padded, final.enlarge)
    report = json.loads(Path("reports/superres.json").read_text())
    assert (report["given"], report["kept"], report["dropped"]) == (FACES, FACES, {})
    assert report["enlarged"] == {"no": FACES}, "their squares have more than 64 pixels"


def test_the_sheets_show_the_faces_and_no_strip_is_left() -> None:
    superres()
    names = {path.name for path in OUT.iterdir()}
    sheets = {"faces.png", "before_after.png", "best_and_worst.png"}
    assert names == {"superres.parquet", *sheets, "record.json", "SHA256SUMS"}
    before_after = decode_png((OUT / "before_after.png").read_bytes())
    assert before_after.shape == (4 * PREVIEW_PIXELS, 3 * PREVIEW_PIXELS, 3)
    decoded, denoised = before_after[:PREVIEW_PIXELS], before_after[PREVIEW_PIXELS : 2 * PREVIEW_PIXELS]
    np.testing.assert_array_equal(decoded, denoised)  # here denoise changed nothing
    assert decoded.std() > 10


def test_only_faces_of_the_overview_are_drawn_and_the_best_and_worst_are_rendered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "EXTREMES", 1)
    superres()
    first = {path.name: path.read_bytes() for path in OUT.iterdir()}
    drawn: list[int] = []

    def write_strip(path: Path, columns: Sequence[Sequence[Picture]]) -> None:
        drawn.append(len(columns) if ".faces." in path.name else 0)
        write(path, columns)

    write = sheets.write_strip
    monkeypatch.setattr(sheets, "write_strip", write_strip)
    monkeypatch.setattr(stage, "FACES", 1)
    shutil.rmtree(OUT)
    superres()
    assert 2 <= sum(drawn) <= 3, "the one of the overview, the best and the worst, which one of them may be"
    names = {path.name for path in OUT.iterdir()}
    assert names == set(first), "nothing of the second rendering is left"
    for name in names - {"faces.png", "SHA256SUMS"}:
        assert (OUT / name).read_bytes() == first[name]
    assert decode_png((OUT / "faces.png").read_bytes()).shape == (FACE_PIXELS, FACE_PIXELS, 3)


def test_a_run_without_previews_writes_no_before_after_sheet(address: str) -> None:
    choose(address, **{**SECTIONS, "superres": {**SECTIONS["superres"], "previews": 0}})
    superres()
    assert not (OUT / "before_after.png").exists()
    assert (OUT / "faces.png").exists()


def test_without_scores_there_is_no_best_and_no_worst(tmp_path: Path) -> None:
    """As with deltas."""
    rows = manifest.read_kept(DATA / "denoise" / "denoise.parquet", Denoised)
    scores = tmp_path / "scores.parquet"
    without = [extend(row, Scored, quality=None, padded=False, enlarge=1) for row in rows]
    for some in (without, []):
        manifest.write_rows(scores, Scored, some)
        assert stage._extremes(scores) == []


def test_other_chunks_give_the_same_bytes(address: str) -> None:
    superres()
    first = {path.name: path.read_bytes() for path in OUT.iterdir()}
    choose(address, **{**SECTIONS, "superres": {**SECTIONS["superres"], "faces_per_chunk": 4}})
    superres()
    assert {path.name: path.read_bytes() for path in OUT.iterdir()} == first


def test_a_run_killed_between_the_sheets_and_the_end_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    superres()
    first = {path.name: path.read_bytes() for path in OUT.iterdir()}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.atomic.publish", killed)
        superres()
    superres()
    assert {path.name: path.read_bytes() for path in OUT.iterdir()} == first
