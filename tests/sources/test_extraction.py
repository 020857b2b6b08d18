"""Containers of photographs: every byte kept, every member counted, a killed run continued."""

from pathlib import Path

import packing
import pytest

from pipeline import manifest
from pipeline.container import read_stored
from pipeline.errors import DropReason, SourceError
from pipeline.manifest import Accounting, Photograph
from pipeline.sources import archive, extraction
from pipeline.sources.archive_safety import Limits
from pipeline.sources.source import Contents, Numbering

JPEG = b"\xff\xd8\xff\xe0"
MEMBERS = {
    "img/000003.jpg": JPEG + b"three",
    "img/000001.jpg": JPEG + b"one",
    "img/000002.jpg": b"<!DOCTYPE html>",
    "img/notes.txt": b"notes",
    "img/Thumbs.db": b"\xd0\xcf\x11\xe0",
    "__MACOSX/img/._000001.jpg": b"\0\5\x16\7",
    "img/000006.jpg": b"",
    "img/000005.jpg": JPEG + b"five",
}


def _download(tmp_path: Path, pack: packing.Pack, numbering: Numbering = "celeba") -> tuple[Path, Contents]:
    folder = tmp_path / "download"
    folder.mkdir(exist_ok=True)
    images = pack(folder, MEMBERS).name
    (folder / "marks.txt").write_bytes(b"marks")
    return folder, Contents(images=images, numbering=numbering, landmarks="marks.txt", partition=None, attributes=None)


def _extract(folder: Path, contents: Contents, data: Path, per_container: int = 2) -> Accounting:
    return extraction.extract(folder, contents, per_container, data / "extract", max_dropped=1.0)


@pytest.mark.parametrize("pack", packing.ALL)
def test_photographs_keep_their_bytes_and_the_rest_is_dropped_with_a_reason(pack: packing.Pack, tmp_path: Path) -> None:
    account = _extract(*_download(tmp_path, pack), tmp_path)
    assert account == Accounting(6, 3, {"not an image": 2, "not an image, nor named as one": 1})
    table = tmp_path / "extract" / "extract.parquet"
    rows = manifest.read_kept(table, Photograph)
    assert [(row.index, row.file) for row in rows] == [(0, "000001.jpg"), (2, "000003.jpg"), (4, "000005.jpg")]
    assert all(read_stored(tmp_path, row.photograph) == MEMBERS[f"img/{row.file}"] for row in rows)
    drops = manifest.read_dropped(table)
    assert [(drop.index, drop.file, drop.reason) for drop in drops] == [
        (1, "000002.jpg", DropReason.NOT_AN_IMAGE),
        (5, "000006.jpg", DropReason.NOT_AN_IMAGE),
        (6, "img/notes.txt", DropReason.OTHER_FILE),
    ]
    assert drops[0].detail == "HTML page (15 bytes)"


def test_only_the_final_files_are_left(tmp_path: Path) -> None:
    _extract(*_download(tmp_path, packing.tar), tmp_path)
    assert sorted(path.name for path in (tmp_path / "extract").iterdir()) == [
        "extract-00000.tar", "extract-00001.tar", "extract-00002.tar", "extract.parquet", "landmarks.txt",
    ]  # fmt: skip
    assert (tmp_path / "extract" / "landmarks.txt").read_bytes() == b"marks"


@pytest.mark.parametrize("pack", [packing.tar, packing.sevenzip_parts])
@pytest.mark.parametrize("stop_after", [0, 1, 3, 5])
def test_a_killed_run_continues_to_the_same_bytes(
    pack: packing.Pack, stop_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, contents = _download(tmp_path, pack)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    _extract(folder, contents, whole)
    wanted: list[int] = []
    original = archive.read_members

    def counted(path: Path, names: list[str], *, stop: int) -> object:
        wanted.append(len(names))
        for place, member in enumerate(original(path, names)):
            if place == stop:
                raise KeyboardInterrupt
            yield member

    monkeypatch.setattr(archive, "read_members", lambda path, names: counted(path, names, stop=stop_after))
    with pytest.raises(KeyboardInterrupt):
        _extract(folder, contents, resumed)
    monkeypatch.setattr(archive, "read_members", lambda path, names: counted(path, names, stop=-1))
    _extract(folder, contents, resumed)
    assert wanted == [6, 6 - stop_after // 2 * 2]
    assert {p.name: p.read_bytes() for p in (resumed / "extract").iterdir()} == {
        p.name: p.read_bytes() for p in (whole / "extract").iterdir()
    }


def test_a_finished_work_folder_is_only_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, contents = _download(tmp_path, packing.tar)
    account = _extract(folder, contents, tmp_path)
    monkeypatch.delattr(archive, "read_members")
    assert _extract(folder, contents, tmp_path) == account


def test_names_that_a_plain_tar_cannot_hold_are_kept_in_the_table(tmp_path: Path) -> None:
    long = "x" * 120 + ".png"
    png = b"\x89PNG\r\n\x1a\n"
    path = packing.sevenzip(tmp_path, {"äpfel.JPG": JPEG, long: png})
    contents = Contents(images=path.name, numbering="sorted", landmarks=None, partition=None, attributes=None)
    _extract(tmp_path, contents, tmp_path / "data")
    rows = manifest.read_kept(tmp_path / "data" / "extract" / "extract.parquet", Photograph)
    assert [row.file for row in rows] == [long, "äpfel.JPG"]
    names = archive.list_members(tmp_path / "data" / "extract" / "extract-00000.tar")
    assert sorted(names) == ["000000.png", "000001.JPG"]


def test_members_that_are_missing_or_not_published_are_named(tmp_path: Path) -> None:
    folder, contents = _download(tmp_path, packing.zipped)
    complete = contents.model_copy(update={"photographs": 6})
    with pytest.raises(SourceError) as refused:
        _extract(folder, complete, tmp_path)
    assert str(refused.value).startswith(
        f"{folder / 'images.zip'}: 6 members, published are 6: 1 missing (000004.jpg); "
    )
    assert "1 not published (img/notes.txt)" in str(refused.value)
    with pytest.raises(SourceError, match=r"14 missing \(000004\.jpg, 000007\.jpg, .*000015\.jpg, \.\.\.\)"):
        _extract(folder, contents.model_copy(update={"photographs": 19}), tmp_path)
    assert not list((tmp_path / "extract").glob("*.tar"))


def test_a_bomb_is_refused_by_the_limits_of_its_source(tmp_path: Path) -> None:
    path = packing.sevenzip(tmp_path, {"000001.jpg": JPEG + bytes(100_000)})
    contents = Contents(images=path.name, numbering="celeba", landmarks=None, partition=None, attributes=None)
    small = Limits(member_bytes=1 << 20, total_bytes=1 << 30, ratio=10.0)
    with pytest.raises(SourceError, match=r"limits\.ratio allows"):
        extraction.extract(
            tmp_path, contents.model_copy(update={"limits": small}), 2, tmp_path / "extract", max_dropped=1.0
        )
