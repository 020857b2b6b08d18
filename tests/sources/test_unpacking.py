"""Photographs as plain files: the published bytes under the published names, resumed, checked."""

from pathlib import Path
from typing import cast

import packing
import pytest
from typer.testing import CliRunner

from pipeline import atomic
from pipeline.errors import ParamsError, SourceError, TableError
from pipeline.params import FolderSource
from pipeline.provenance import RECORD
from pipeline.sources import extraction
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.folder import Folder
from pipeline.sources.source import Contents
from pipeline.sources.unpacking import unpack
from stages.__main__ import app

PHOTOGRAPHS = {f"{name}.jpg": b"\xff\xd8\xff" + name.encode() for name in ("b", "trip/a", "äpfel", "x" * 120)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = packing.sevenzip(tmp_path, {**PHOTOGRAPHS, "Thumbs.db": b"no image"})
    contents = Contents(images=path.name, numbering="sorted", landmarks=None, partition=None, attributes=None)
    extraction.extract(tmp_path, contents, 2, tmp_path / "data" / "extract", max_dropped=1.0)
    return tmp_path / "data"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_photograph_has_its_bytes_and_name(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("manifests", "profiles", "params.yaml"):  # as at the repository's root
        Path(name).touch()
    result = CliRunner().invoke(app, ["unpack", "photographs"], catch_exceptions=False)
    assert _files(tmp_path / "photographs") == PHOTOGRAPHS
    assert "4 photographs written, 0 were there already" in result.output
    result = CliRunner().invoke(app, ["unpack", "photographs"], catch_exceptions=False)
    assert "0 photographs written, 4 were there already" in result.output


@pytest.mark.parametrize("target", ["data/extract", "data/new/photographs", "runs/new", "link", "built/new"])
def test_a_folder_of_results_is_refused(
    target: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC would find it modified."""
    monkeypatch.chdir(tmp_path)
    for name in ("manifests", "profiles", "params.yaml"):
        Path(name).touch()
    Path("link").symlink_to("data/extract")
    Path("built").mkdir()
    Path("built", RECORD).write_text('{"digest": "0"}')
    before = _files(tmp_path)
    with pytest.raises(ParamsError, match=rf"{target}: lies in {tmp_path}/\w+.*Name a folder elsewhere"):
        CliRunner().invoke(app, ["unpack", target], catch_exceptions=False)
    assert _files(tmp_path) == before


def test_a_stopped_run_is_continued(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, folder = data / "extract/extract.parquet", tmp_path / "photographs"
    write_bytes = atomic.write_bytes
    left = [2]

    def stopping(path: Path, content: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_bytes", stopping)
        with pytest.raises(KeyboardInterrupt):
            unpack(data, table, folder)
    assert len(_files(folder)) == 2
    assert unpack(data, table, folder) == (2, 2)
    assert _files(folder) == PHOTOGRAPHS


def test_nothing_is_overwritten_and_nothing_wrong_is_written(data: Path, tmp_path: Path) -> None:
    table, folder = data / "extract/extract.parquet", tmp_path / "photographs"
    folder.mkdir()
    (folder / "b.jpg").write_bytes(b"mine")
    with pytest.raises(SourceError, match=r"photographs/b\.jpg: MD5 is .* move it away"):
        unpack(data, table, folder)
    assert (folder / "b.jpg").read_bytes() == b"mine"
    (folder / "b.jpg").unlink()
    container = data / "extract/extract-00000.tar"
    content = container.read_bytes()
    container.write_bytes(content.replace(b"\xff\xd8\xff", b"\xff\xd8\xfe"))
    with pytest.raises(
        SourceError, match=rf"{container.name}: the 4 bytes at 512 have MD5 .* run dvc repro -f -s extract"
    ):
        unpack(data, table, tmp_path / "other")
    with pytest.raises(TableError, match="dvc repro extract"):
        unpack(data, data / "absent/extract.parquet", folder)


def test_photographs_of_a_folder_are_unpacked_too_and_a_name_that_no_folder_takes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/a b.jpg").write_bytes(b"\xff\xd8\xffa")
    source = Folder(FolderSource(kind="folder", images=Path("mine"), landmarks=None, attributes=None))
    contents = source.stage({}, cast(Downloads, None), Path("data/download"), lambda _: None)
    extraction.extract(Path("data/download"), contents, 2, Path("data/extract"), max_dropped=1.0)
    assert unpack(Path("data"), Path("data/extract/extract.parquet"), Path("out")) == (1, 0)
    assert _files(tmp_path / "out") == {"a b.jpg": b"\xff\xd8\xffa"}
    zipped = packing.zipped(tmp_path, {"img": b"\xff\xd8\xff1", "img/1.jpg": b"\xff\xd8\xff2"})
    contents = Contents(images=zipped.name, numbering="sorted")
    extraction.extract(tmp_path, contents, 2, tmp_path / "two/extract", max_dropped=1.0)
    with pytest.raises(SourceError, match=r"img/1\.jpg: cannot be written, since another photograph has the name of"):
        unpack(tmp_path / "two", tmp_path / "two/extract/extract.parquet", tmp_path / "out")
