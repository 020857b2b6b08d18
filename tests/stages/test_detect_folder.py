"""`celebahq detect` on a folder far from any checkout."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline import manifest
from pipeline.errors import NetworkError, ParamsError, PipelineError, SourceError, TermsError
from pipeline.faces.landmarks import read_landmarks
from pipeline.faces.png import decode_png
from pipeline.manifest import Detected
from stages.__main__ import app
from stages.detect_folder import detect_folder
from tests.faces.detection.drawn import drawn, needs_mtcnn
from tests.stages.faces import photograph


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_folder(faces: int = 2) -> Path:
    """Drawn faces, a picture without one, a damaged one, in folders with spaces."""
    folder = Path("my photographs")
    (folder / "of mum").mkdir(parents=True)
    for number in range(faces):
        (folder / "of mum" / f"{number} ä.jpg").write_bytes(drawn(number)[0])
    (folder / "wall.png").write_bytes(photograph(1, "PNG"))
    (folder / "cut.jpg").write_bytes(drawn(4)[0][:900])
    return folder


def detect(folder: Path, out: str, address: str, *options: str) -> str:
    words = ["detect", str(folder), "--out", out, "--scheduler", address, *options]
    return CliRunner().invoke(app, words, catch_exceptions=False).stdout


@needs_mtcnn
def test_a_folder_gives_a_table_a_sheet_and_what_has_no_face(address: str) -> None:
    folder = make_folder()
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*"))
    printed = detect(folder, "out", address)
    assert printed.splitlines()[-3:] == [
        "out/faces.parquet: 2 faces in 2 photographs",
        "out/dropped.csv: 2 files (1 truncated image, 1 no face found)",
        "out/faces.png: look at it before you use the table",
    ]
    rows = manifest.read_kept(Path("out/faces.parquet"), Detected)
    assert [(row.file, row.face) for row in rows] == [("of mum/0 ä.jpg", 0), ("of mum/1 ä.jpg", 0)]
    with Path("out/dropped.csv").open(encoding="utf-8") as file:
        dropped = [(row["file"], row["stage"], row["reason"]) for row in csv.DictReader(file)]
    assert dropped == [("cut.jpg", "detect", "truncated image"), ("wall.png", "detect", "no face found")]
    assert decode_png(Path("out/faces.png").read_bytes()).shape == (222, 384, 3)
    assert {path.name for path in Path("out").iterdir()} == {"faces.parquet", "faces.png", "dropped.csv"}
    assert sorted(path.stat().st_mtime_ns for path in folder.rglob("*")) == before
    read = read_landmarks(Path("out/faces.parquet"))  # the table is a landmarks file
    assert read.values == {row.file: (row.landmarks,) for row in rows}


@needs_mtcnn
def test_a_stopped_run_is_resumed_and_gives_the_same(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder()
    detect(folder, "whole", address)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.report.sheets.write_sheet", _stop)
        detect_folder(folder, Path("stopped"), {}, orientation="shown", cluster={"scheduler": address})
    assert [*Path("stopped").glob(".work/data/.work/detect-*/detect.parquet")]
    monkeypatch.setattr("pipeline.chunks.run_chunks", _stop)  # nothing is searched again
    detect(folder, "stopped", address)
    for name in ("faces.parquet", "faces.png", "dropped.csv"):
        assert Path("whole", name).read_bytes() == Path("stopped", name).read_bytes()


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


@needs_mtcnn
def test_a_folder_without_faces_is_an_error_with_the_reasons(address: str) -> None:
    with pytest.raises(SourceError, match=r"(?s)my photographs: no face was found.*no face found: 1 \(wall\.png\)"):
        detect(make_folder(faces=0), "out", address)
    assert not Path("out/faces.parquet").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--engine", "yunet"], TermsError, "celebahq terms --accept-terms weights"),
        (["--engine", "yunet", "--weights", "none.onnx"], SourceError, r"none\.onnx: no such file"),
        (["--weights", "nowhere"], NetworkError, r"nowhere/pnet\.onnx: no such file"),
        (["--out", "my photographs/faces"], ParamsError, "lies in the folder of the pictures"),
        (["--engine", "haar"], ParamsError, "(?s)detect.engine.*'mtcnn' or 'yunet'"),
    ],
)
def test_wrong_options_are_named(address: str, options: list[str], error: type[PipelineError], message: str) -> None:
    with pytest.raises(error, match=message):
        detect(make_folder(1), "out", address, *options)


def test_a_folder_that_is_not_there_is_named(address: str) -> None:
    with pytest.raises(ParamsError, match="holidays: no such file or folder"):
        detect(Path("holidays"), "out", address)
