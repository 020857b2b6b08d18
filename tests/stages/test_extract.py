"""The extract stage: data/download becomes containers, a table and annotations under fixed names."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline import manifest
from pipeline.container import read_stored
from pipeline.errors import TooManyDroppedError
from pipeline.manifest import Photograph
from stages import RECORD, download, extract
from tests.outside import REAL

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _at_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "manifests", "manifests")


def _run(watch: str, source: object, max_dropped: float = 0.5) -> dict[str, object]:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["download"] = {"watch": watch, "source": source}
    params["extract"] |= {"photographs_per_container": 4, "max_dropped": max_dropped}
    params["align"]["max_dropped"] = 1.0
    Path("params.yaml").write_text(yaml.safe_dump(params))
    download.download()
    extract.extract()
    return json.loads(Path("data/extract", RECORD).read_text())["report"]


def _synthetic(bad: int) -> dict[str, object]:
    sizes = {"face_pixels_min": 40, "face_pixels_max": 50}
    return {"kind": "synthetic", "photographs": 2, "bad_photographs": bad, "seed": 1, **sizes}


def test_the_synthetic_set_is_extracted_and_counted() -> None:
    assert _run("manifests/celeba.yaml", _synthetic(8)) == {"given": 9, "kept": 7, "dropped": {"not an image": 2}}
    containers = [f"extract-{number:05d}.tar" for number in range(3)]
    assert sorted(path.name for path in Path("data/extract").iterdir()) == [
        "SHA256SUMS", "attributes.txt", *containers, "extract.parquet", "landmarks.txt", "partition.txt", RECORD,
    ]  # fmt: skip
    rows = manifest.read_kept(Path("data/extract/extract.parquet"), Photograph)
    assert all(read_stored(Path("data"), row.photograph).startswith(b"\xff\xd8\xff") for row in rows)
    assert all(row.file == f"{row.index + 1:06d}.jpg" for row in rows)
    published = Path("data/download/Anno/list_landmarks_celeba.txt").read_bytes()
    assert Path("data/extract/landmarks.txt").read_bytes() == published


def test_too_many_drops_end_the_stage() -> None:
    with pytest.raises(TooManyDroppedError, match="extract: 2 of 9 inputs dropped"):
        _run("manifests/celeba.yaml", _synthetic(8), max_dropped=0.1)
    assert not Path("data/extract").exists()


@pytest.mark.vectors
def test_the_twenty_real_photographs_keep_their_bytes() -> None:
    images = REAL.needed("celeba/img_celeba")
    landmarks = REAL.needed("celeba/list_landmarks_celeba.sample.txt")
    source = {
        "kind": "celeba",
        "images": str(images),
        "landmarks": str(landmarks),
        "partition": None,
        "attributes": None,
        "deltas": None,
    }
    assert _run(str(images.parent), source) == {"given": 20, "kept": 20, "dropped": {}}
    for row in manifest.read_kept(Path("data/extract/extract.parquet"), Photograph):
        assert row.index == int(row.file[:6]) - 1
        assert read_stored(Path("data"), row.photograph) == (images / row.file).read_bytes()
    assert Path("data/extract/landmarks.txt").read_bytes() == landmarks.read_bytes()


def test_folders_are_classes_and_junk_and_others_are_reported(capsys: pytest.CaptureFixture) -> None:
    files = ("cats/a b.png", "cats/old/c.png", "dogs/d.png", "top.png", "notes.txt", "cats/Thumbs.db", "same.png")
    for name in files[:-1]:
        path = Path("photographs/images", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" if name.endswith("png") else b"")
    Path("photographs/images/same.png").symlink_to("top.png")
    marks = Path("photographs/landmarks.txt")
    marks.write_text("dogs/d.png 10 10 30 10 20 20 12 30 28 30\n")
    source = {"kind": "folder", "images": "photographs/images", "landmarks": str(marks), "attributes": "folders"}
    report = _run("photographs", source)
    dropped = {"not an image, nor named as one": 1}
    assert report == {"given": 6, "kept": 5, "dropped": dropped, "junk": 1, "suspicions": 6}
    found = json.loads(Path("data/extract/attributes.txt").read_text())
    assert found["classes"] == {"0": "cats", "1": "dogs"}
    assert found["labels"] == [["cats/a b.png", [1, -1]], ["cats/old/c.png", [1, -1]], ["dogs/d.png", [-1, 1]]]
    said = capsys.readouterr().err
    assert "1 files of systems and programs are left out ('cats/Thumbs.db')" in said
    assert "1 other files are no photographs: celebahq drops extract lists them" in said
    assert "the same file under two names: 1 of 6 (top.png is same.png)" in said
    copies = "cats/old/c.png is cats/a b.png, dogs/d.png is cats/a b.png, same.png is cats/a b.png"
    assert f"a copy of another photograph, byte for byte: 3 of 5 ({copies})" in said, "top.png is reported above"
    assert "a photograph in no folder, so of no class: 2 of 5 (same.png, top.png)" in said
    assert all(path.stat().st_nlink == 1 for path in Path("photographs").rglob("*") if path.is_file())
