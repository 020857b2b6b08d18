"""Files on this machine: linked, copied or named."""

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


def test_a_copy_shares_nothing_with_the_users_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    local.copy_annotations(tmp_path / "mine.txt", tmp_path / "data" / "mine.txt")
    assert (tmp_path / "data" / "mine.txt").read_bytes() == b"mine"
    assert (tmp_path / "mine.txt").stat().st_nlink == 1


def test_a_folder_of_points_becomes_one_tar_of_the_same_bytes(tmp_path: Path) -> None:
    contents = {"b.pts": b"2", "set/a.pts": b"1", "notes.txt": b"3", "._b.pts": b"4", "@eaDir/b.pts": b"5"}
    for folder in ("one", "two"):
        (tmp_path / folder / "set").mkdir(parents=True)
        (tmp_path / folder / "@eaDir").mkdir()
        for name, content in contents.items():
            (tmp_path / folder / name).write_bytes(content)
        local.copy_annotations(tmp_path / folder, tmp_path / f"{folder}.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        found = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    assert found == {"b.pts": b"2", "set/a.pts": b"1"}


def test_what_is_absent_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"correct download\.source\.images"):
        local.require_images(tmp_path / "absent")
    for bring in (local.copy_annotations, local.link_or_copy):
        with pytest.raises(SourceError, match="no such file"):
            bring(tmp_path / "absent.txt", tmp_path / "data" / "absent.txt")


def test_what_is_below_the_checkout_is_named_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path.parent / "elsewhere"
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    (tmp_path / "mine").symlink_to(elsewhere)
    for given in (Path("mine/a"), tmp_path / "mine/a", Path("x/../mine/a")):
        assert local.reference(given) == "../../mine/a"
    assert local.located(Path("data/download"), "../../mine/a") == Path("mine/a")
    assert local.located(tmp_path / "data/download", "../../mine/a") == tmp_path / "mine/a", "not what data leads to"
    assert local.reference(elsewhere) == str(elsewhere)
    assert local.located(Path("data/download"), str(elsewhere)) == elsewhere


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        local.open_regular(tmp_path / "pipe")
