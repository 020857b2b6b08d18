import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.container import read_stored, writing_container
from pipeline.errors import SourceError
from pipeline.manifest import Stored


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_members_are_read_back_at_their_offset_and_by_tar(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    data = tmp_path_factory.mktemp("data")
    path = data / "crop" / "crop-00000.tar"
    with writing_container(path, "crop/crop-00000.tar") as container:
        stored = [container.add(f"{i:06d}.png", content) for i, content in enumerate(contents)]
    assert [read_stored(data, one) for one in stored] == contents
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert [(m.name, m.offset_data, m.size) for m in members] == [
            (f"{i:06d}.png", one.offset, one.size) for i, one in enumerate(stored)
        ]


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        with writing_container(tmp_path / name, name) as container:
            container.add("1.jpg", b"one")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@given(st.lists(st.sampled_from([0, 1]), max_size=12), st.integers(1, 4))
def test_of_two_interleaved_writers_the_last_one_publishes_its_whole_container(
    tmp_path_factory: pytest.TempPathFactory, turns: list[int], members: int
) -> None:
    """A turn of a writer opens its container, adds a member, or closes it; at the end both are closed."""
    data = tmp_path_factory.mktemp("data")
    path = data / "crop" / "crop-00000.tar"
    rows: list[list[Stored]] = [[], []]

    def writer(number: int) -> Iterator[None]:
        with writing_container(path, "crop/crop-00000.tar") as container:
            for member in range(members):
                yield
                rows[number].append(container.add(f"{member:06d}.png", bytes([number]) * (700 + 900 * number)))
            yield

    writers = [writer(0), writer(1)]
    ends = [number for number in [*turns, *[0] * 6, *[1] * 6] if next(writers[number], "end") == "end"]
    last = 1 - ends[0]
    assert [read_stored(data, stored) for stored in rows[last]] == [bytes([last]) * (700 + 900 * last)] * members
    with pytest.raises(SourceError, match=r"crop-00000\.tar"):
        read_stored(data, rows[1 - last][-1])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_member_is_named_and_a_damaged_container_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "crop" / "crop-00000.tar"
    with writing_container(path, "crop/crop-00000.tar") as container:
        stored = container.add("1.png", b"x" * 5000)
    content = bytearray(path.read_bytes())
    content[stored.offset + 17] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        SourceError, match=rf"crop-00000\.tar: the 5000 bytes at 512 .*{stored.md5}.*dvc repro -f -s crop"
    ):
        read_stored(tmp_path, stored)
    path.unlink()
    flush = os.fsync

    def flush_and_damage(descriptor: int) -> None:
        """A disk that stores another byte than the one it was given."""
        flush(descriptor)
        for partial in path.parent.glob("*.partial"):
            content = bytearray(partial.read_bytes())
            content[stored.offset + 17] ^= 1
            partial.write_bytes(content)

    monkeypatch.setattr(os, "fsync", flush_and_damage)
    with (
        pytest.raises(SourceError, match="The file is damaged: check the disk"),
        writing_container(path, "crop/crop-00000.tar") as container,
    ):
        container.add("1.png", b"x" * 5000)
    assert not list(path.parent.iterdir())


def test_a_shortened_container_is_named(tmp_path: Path) -> None:
    path = tmp_path / "crop" / "crop-00000.tar"
    with writing_container(path, "crop/crop-00000.tar") as container:
        stored = container.add("1.png", b"x" * 5000)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SourceError, match=r"crop-00000\.tar.*3000.*dvc repro -f -s crop"):
        read_stored(tmp_path, stored)
    path.unlink()
    with pytest.raises(SourceError, match="container not found"):
        read_stored(tmp_path, stored)
