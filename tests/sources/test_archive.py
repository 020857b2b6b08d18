"""One reader over tar, zip and 7z: nothing lost, nothing unsafe let through."""

import errno
import io
import os
import tempfile
import threading
import time
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any

import packing
import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.sources import sevenzip, sevenzip_program
from pipeline.sources.archive import list_members, read_members

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
    assert list_members(path) == list(MEMBERS)
    assert {member.name: member.content for member in read_members(path, list(MEMBERS))} == MEMBERS


@pytest.mark.parametrize("pack", packing.ALL)
def test_only_the_wanted_members_are_read(pack: packing.Pack, tmp_path: Path) -> None:
    path = pack(tmp_path, MEMBERS)
    wanted = ["000004.jpg", "folder/000003.jpg", "folder/000001.jpg"]
    read = list(read_members(path, wanted))
    assert [member.name for member in read] == [name for name in MEMBERS if name in wanted]
    assert all(member.content == MEMBERS[member.name] for member in read)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,6}(/[a-z0-9]{1,8}){0,2}\.jpg", fullmatch=True), st.binary(max_size=400)),
    st.sampled_from(packing.ALL),
    st.integers(40, 300),
)
def test_any_members_survive_any_format(members: dict[str, bytes], pack: packing.Pack, part_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if pack is packing.sevenzip_parts:
            path = packing.sevenzip_parts(folder, members, part_bytes)
        else:
            path = pack(folder, members)
        assert {member.name: member.content for member in read_members(path, list_members(path))} == members


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 17])
def test_a_slow_reader_gets_every_member(count: int, tmp_path: Path) -> None:
    """However many members wait, fewer or more than the reader holds in advance."""
    members = {f"{number:06d}.jpg": bytes([number]) for number in range(count)}
    path = packing.sevenzip(tmp_path, members)
    stream = read_members(path, list(members))
    first = list(islice(stream, 1))
    time.sleep(0.05)
    assert {member.name: member.content for member in [*first, *stream]} == members


def test_a_reader_that_stops_early_ends_the_unpacking_thread(tmp_path: Path) -> None:
    path = packing.sevenzip(tmp_path, {f"{n:06d}.jpg": os.urandom(2000) for n in range(100)})
    before = threading.active_count()
    stream = read_members(path, list_members(path))
    assert [member.name for member in islice(stream, 2)] == ["000000.jpg", "000001.jpg"]
    stream.close()
    assert threading.active_count() == before


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


@pytest.mark.usefixtures("engine")
def test_members_of_a_7z_in_many_blocks_keep_their_names(tmp_path: Path) -> None:
    path = tmp_path / "images.7z"
    members = {f"{number:06d}.jpg": os.urandom(200 + 5000 * (number % 7)) for number in range(40)}
    for number, (name, content) in enumerate(members.items()):
        with py7zr.SevenZipFile(path, "a" if number else "w") as archive:  # each append is a block of its own
            archive.writef(io.BytesIO(content), name)
    assert {member.name: member.content for member in read_members(path, list_members(path))} == members


@pytest.mark.usefixtures("engine")
def test_parts_may_have_any_name(tmp_path: Path) -> None:
    packing.sevenzip_parts(tmp_path, MEMBERS, 9_000)
    for part in tmp_path.glob("parts.7z.*"):
        part.rename(tmp_path / f"img [1]{part.suffix}")
    first = tmp_path / "img [1].001"
    assert {member.name: member.content for member in read_members(first, list_members(first))} == MEMBERS


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("head -c 3000000 /dev/zero >&2; exit 2", r"ends before 1\.jpg"),
        ("printf content; head -c 3000000 /dev/zero", "more bytes than its index"),
        ("printf content; exit 2", "ended with 2"),
    ],
    ids=["long complaints", "too many bytes", "a bad end"],
)
def test_a_program_that_says_too_much_is_ended(
    program: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of its two streams may fill up while we wait for the other, or for its end."""
    path = packing.sevenzip(tmp_path, {"1.jpg": b"content"})
    script = tmp_path / "7zz"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sevenzip_program, "find", lambda: str(script))
    with pytest.raises(SourceError, match=rf"images\.7z: the archive is damaged .*{message}"):
        list(read_members(path, ["1.jpg"]))


def test_what_the_program_complains_of_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packing.sevenzip(tmp_path, {"1.jpg": b"content"})
    script = tmp_path / "7zz"
    script.write_text("#!/bin/sh\necho ERROR: Data Error : 1.jpg >&2\n")
    script.chmod(0o755)
    monkeypatch.setattr(sevenzip_program, "find", lambda: str(script))
    with pytest.raises(SourceError, match=r"ends before 1\.jpg; it said: ERROR: Data Error"):
        list(read_members(path, ["1.jpg"]))


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
    def broken(*_: object) -> None:
        raise TypeError("ours")

    path = packing.sevenzip(tmp_path, MEMBERS)
    monkeypatch.setattr(sevenzip, "Entry", broken)
    with pytest.raises(TypeError, match="ours"):
        list_members(path)
