"""One reader over tar, zip and 7z: nothing lost, nothing unsafe let through."""

import io
import os
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import packing
import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.sources import sevenzip_program
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


@pytest.mark.parametrize("name", ["../000001.jpg", "/000001.jpg", "a/../../b.jpg", "C:\\b.jpg", "a\\..\\..\\b.jpg"])
@pytest.mark.parametrize("pack", [packing.tar, packing.zipped])
def test_a_name_that_leaves_the_archive_is_refused(pack: packing.Pack, name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absolute name|leaves the archive"):
        list_members(pack(tmp_path, {name: b"1"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("000001.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(SourceError, match=r"'000001\.jpg' is a link or a device"):
        list_members(path)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("000001.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="is a link or a device"):
        list_members(path)


def test_a_link_in_a_7z_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"1")
    (tmp_path / "link.jpg").symlink_to("target")
    path = tmp_path / "images.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.write(tmp_path / "link.jpg", "link.jpg")
    with pytest.raises(SourceError, match="is a link or a device"):
        list_members(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("000001.jpg"), io.BytesIO())
    with pytest.raises(SourceError, match="is there twice"):
        list_members(path)


@pytest.mark.parametrize("pack", packing.ALL)
@pytest.mark.parametrize("keep", [0.3, 0.8])
def test_a_damaged_archive_is_an_error_that_names_it(pack: packing.Pack, keep: float, tmp_path: Path) -> None:
    path = _shortened(pack, {"000001.jpg": os.urandom(30_000), "000002.jpg": os.urandom(30_000)}, tmp_path, keep)
    with pytest.raises(SourceError, match=path.name):
        list(read_members(path, list_members(path)))


def _shortened(pack: packing.Pack, members: Mapping[str, bytes], folder: Path, keep: float) -> Path:
    large_parts = pack is packing.sevenzip_parts
    path = packing.sevenzip_parts(folder, members, 70_000) if large_parts else pack(folder, members)
    os.truncate(path, int(path.stat().st_size * keep))
    return path


def test_a_tar_that_was_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    path = packing.tar(tmp_path, {"000001.jpg": b"1", "000002.jpg": b"2"})
    os.truncate(path, 3 * 512)
    with pytest.raises(SourceError, match="no end mark"):
        list_members(path)


def test_a_flipped_bit_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    path = packing.sevenzip(tmp_path, {"000001.jpg": os.urandom(5000)})
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        list(read_members(path, ["000001.jpg"]))


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    path = packing.sevenzip_parts(tmp_path, {"000001.jpg": os.urandom(1000)}, 300)
    (tmp_path / "parts.7z.002").unlink()
    with pytest.raises(SourceError, match=r"parts are missing: parts\.7z\.002"):
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


@pytest.mark.parametrize("programs", [(), sevenzip_program.PROGRAMS], ids=["py7zr", "the system's 7z, if there is one"])
def test_members_of_a_7z_in_many_blocks_keep_their_names(
    programs: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sevenzip_program, "PROGRAMS", programs)
    path = tmp_path / "images.7z"
    members = {f"{number:06d}.jpg": os.urandom(200 + 5000 * (number % 7)) for number in range(40)}
    for number, (name, content) in enumerate(members.items()):
        with py7zr.SevenZipFile(path, "a" if number else "w") as archive:  # each append is a block of its own
            archive.writef(io.BytesIO(content), name)
    assert {member.name: member.content for member in read_members(path, list_members(path))} == members
