import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.container import read_stored, writing_container
from pipeline.errors import SourceError


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


def test_a_shortened_container_is_named(tmp_path: Path) -> None:
    path = tmp_path / "crop" / "crop-00000.tar"
    with writing_container(path, "crop/crop-00000.tar") as container:
        stored = container.add("1.png", b"x" * 5000)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SourceError, match=r"crop-00000\.tar.*3000.*dvc repro crop"):
        read_stored(tmp_path, stored)
    path.unlink()
    with pytest.raises(SourceError, match="container not found"):
        read_stored(tmp_path, stored)
