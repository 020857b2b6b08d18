"""The download stage: the source in params.yaml becomes data/download."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.errors import SourceError
from pipeline.sources.contents import Contents
from stages import download

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "kind": "synthetic",
    "photographs": 2,
    "bad_photographs": 1,
    "face_pixels_min": 40,
    "face_pixels_max": 50,
    "seed": 1,
}


@pytest.fixture(autouse=True)
def _at_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "manifests", "manifests")


def _params(watch: str, source: object) -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["download"] = {"watch": watch, "source": source}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_the_synthetic_set_is_published_with_its_size() -> None:
    _params("manifests/celeba.yaml", TINY)
    download.download()
    contents = Contents.read(Path("data/download"))
    files = [path for path in Path("data/download").rglob("*") if path.is_file()]
    assert Path("data/download", contents.images) in files
    report = json.loads(Path("reports/download.json").read_text())
    assert report == {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def test_a_published_name_with_other_bytes_is_refused() -> None:
    Path("mine").mkdir()
    Path("mine/img_celeba.tar").write_bytes(b"")
    Path("mine/list_landmarks_celeba.txt").write_bytes(b"1\n")
    source = {"kind": "celeba", "images": "mine/img_celeba.tar", "landmarks": "mine/list_landmarks_celeba.txt"}
    _params("mine", source | {"partition": None, "attributes": None, "deltas": None})
    with pytest.raises(SourceError, match=r"2 bytes, but the published Anno/list_landmarks_celeba\.txt has 12352635"):
        download.download()
    assert not Path("data/download").exists()


def test_a_watched_file_that_is_absent_is_an_error() -> None:
    _params("photographs", {"kind": "folder", "images": "photographs", "landmarks": None})
    with pytest.raises(SourceError, match=r"correct download\.watch"):
        download.download()


def test_the_manifest_names_all_fourteen_parts_of_celeba() -> None:
    files = yaml.safe_load(Path("manifests/celeba.yaml").read_text())["files"]
    parts = [entry for entry in files if entry["path"].startswith("Img/img_celeba.7z/")]
    assert [entry["path"][-3:] for entry in parts] == [f"{number:03d}" for number in range(1, 15)]
    assert sum(entry["bytes"] for entry in parts) == 13 * 734003200 + 649030866


def test_a_manifest_that_is_none_is_an_error() -> None:
    _params("manifests/celeba.yaml", TINY)
    Path("manifests/celeba.yaml").write_text("files: 1\n")
    with pytest.raises(SourceError, match="not a list of published files"):
        download.download()
