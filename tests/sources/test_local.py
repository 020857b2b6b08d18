"""Files on this machine: linked, copied or packed."""

import os
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.sources import local


def test_a_file_is_linked_not_copied(tmp_path: Path) -> None:
    (tmp_path / "big.zip").write_bytes(b"bytes")
    local.link_or_copy(tmp_path / "big.zip", tmp_path / "data" / "big.zip")
    assert (tmp_path / "data" / "big.zip").samefile(tmp_path / "big.zip")


def test_where_no_link_can_be_made_the_bytes_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "big.zip").write_bytes(b"bytes")
    local.link_or_copy(tmp_path / "big.zip", tmp_path / "copy.zip")
    assert (tmp_path / "copy.zip").read_bytes() == b"bytes"
    assert not (tmp_path / "copy.zip").samefile(tmp_path / "big.zip")


def test_linking_again_leaves_the_users_file_alone(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / "new").write_bytes(content)
        (tmp_path / "new").replace(tmp_path / "mine.txt")
        local.link_or_copy(tmp_path / "mine.txt", tmp_path / "data" / "mine.txt")
        assert (tmp_path / "data" / "mine.txt").read_bytes() == content
    assert (tmp_path / "mine.txt").read_bytes() == b"two"


def test_a_folder_becomes_one_tar_of_the_same_bytes_whenever_it_is_packed(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    (photographs / "trip").mkdir(parents=True)
    long = f"{'long' * 40}.jpg"
    contents = {"b.jpg": b"2", "trip/a.jpg": b"1", "ärger.jpg": b"3", long: b"4"}
    for name, content in contents.items():
        (photographs / name).write_bytes(content)
    local.pack(photographs, tmp_path / "one.tar")
    for name in contents:
        os.utime(photographs / name, (0, 0))
        (photographs / name).chmod(0o600)
    local.pack(photographs, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        assert archive.getnames() == sorted(contents)
        assert all(archive.extractfile(name).read() == content for name, content in contents.items())  # type: ignore[union-attr]


def test_an_absent_or_empty_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"correct download\.source\.images"):
        local.link_or_pack_images(tmp_path / "absent", tmp_path / "data", "images.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no file in this folder"):
        local.link_or_pack_images(tmp_path / "empty", tmp_path / "data", "images.tar")
    with pytest.raises(SourceError, match="no such file"):
        local.link_or_copy(tmp_path / "absent.txt", tmp_path / "data" / "absent.txt")
