"""Archives without a published hash must have the members that the manifest lists."""

import io
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from faulty_server import FaultyServer
from fetching import downloads
from pydantic import ValidationError
from tiny_sources import DELTAS, dataset, make_all

from pipeline.errors import FetchError, SourceError
from pipeline.sources import cifar10
from pipeline.sources.archive_safety import OWN_LIMITS
from pipeline.sources.published import Members

NAME = "deltas01000.zip"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def deltas(first: int, folder: str = "") -> dict[str, bytes]:
    return {f"{folder}delta{n:05d}.dat": random.Random(n).randbytes(500) for n in range(first, first + 20)}


RIGHT = deltas(1000)
FEWER = {name: content for name, content in RIGHT.items() if "1007" not in name}
DATA = dataset("celebahq-deltas", {NAME: zipped(RIGHT)}, hashed=False, **DELTAS).published


@pytest.mark.parametrize(
    "members",
    [RIGHT, deltas(1000, "deltas/"), {"readme.txt": b"of 2018", **RIGHT}],
    ids=["as published", "below a folder", "with a readme"],
)
def test_an_archive_with_its_members_is_accepted(
    members: dict[str, bytes], server: FaultyServer, tmp_path: Path
) -> None:
    server.put(f"/celebahq-deltas/{NAME}", zipped(members))
    downloads(tmp_path, server.url).fetch(DATA, DATA.files)


WRONG = {
    "another archive": (zipped(deltas(0)), "20 of its 20 members are missing"),
    "nothing": (zipped({}), "20 of its 20 members are missing"),
    "a readme": (zipped({"readme.txt": b"hello"}), r"20 of .*delta01000\.dat"),
    "one is missing": (zipped(FEWER), r"1 of .*delta01007\.dat"),
    "one is there twice": (zipped({**RIGHT, "old/delta01003.dat": b"x"}), r"delta01003\.dat more than once"),
    "a huge member": (zipped({**RIGHT, "x": bytes(20_000)}), r"limits\.member_bytes"),
    "too much in all": (zipped({**RIGHT, **{f"x{n}": bytes(9_999) for n in range(10)}}), r"limits\.total_bytes"),
    "a bomb": (zipped(dict.fromkeys(RIGHT, bytes(4_900)), zipfile.ZIP_DEFLATED), r"limits\.ratio"),
    "one that leaves it": (zipped({**RIGHT, "../x": b"x"}), "leaves the archive"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_an_intact_zip_with_other_members_is_refused(fault: str, server: FaultyServer, tmp_path: Path) -> None:
    content, cause = WRONG[fault]
    server.put(f"/wrong/celebahq-deltas/{NAME}", content)
    with pytest.raises(FetchError, match=f"{NAME}: not fetched.\n.*{cause}"):
        downloads(tmp_path / "here", f"{server.url}/wrong").fetch(DATA, DATA.files)
    assert not list((tmp_path / "here").rglob("*.zip"))
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(SourceError, match=cause):
        downloads(tmp_path / "here", local=tmp_path).fetch(DATA, DATA.files)
    server.put(f"/right/celebahq-deltas/{NAME}", zipped(RIGHT))
    (path,) = downloads(tmp_path / "here", f"{server.url}/wrong", f"{server.url}/right").fetch(DATA, DATA.files)
    assert path.read_bytes() == zipped(RIGHT)


def test_an_archive_accepted_before_the_manifest_listed_its_members_is_refused(
    server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = zipped({"readme.txt": b"hello"})
    server.put(f"/celebahq-deltas/{NAME}", content)
    before = dataset("celebahq-deltas", {NAME: content}, hashed=False).published
    (path,) = downloads(tmp_path, server.url).fetch(before, before.files)
    server.put(f"/celebahq-deltas/{NAME}", zipped(RIGHT))
    downloads(tmp_path, server.url).fetch(DATA, DATA.files)
    assert path.read_bytes() == zipped(RIGHT)
    assert path.with_name(f"{NAME}.refused").read_bytes() == content
    assert "It is not used; it was renamed to" in capsys.readouterr().err


def test_members_are_numbered_from_the_number_of_their_archive() -> None:
    members = Members(name="delta{:05d}.dat", count=3)
    assert members.names("deltas29000.zip") == ["delta29000.dat", "delta29001.dat", "delta29002.dat"]
    for name in ("delta.dat", "delta{:05d}{:05d}.dat", "delta{number}.dat", "delta{:05q}.dat", "delta{"):
        with pytest.raises(ValidationError, match="has no place for"):
            Members(name=name, count=3)


def test_the_tiny_cifar10_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(make_all(tmp_path)["cifar10"].contents[path.name])
    assert len(cifar10.load(path, OWN_LIMITS).names()) == 20
