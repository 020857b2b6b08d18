"""The folder of downloads: no file is fetched twice, copies of the user are linked, wrong files are refused."""

import errno
import fcntl
import os
import random
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Fault, FaultyServer
from fetching import HASTY, downloads
from tiny_sources import DataSet, dataset

from pipeline.errors import FetchError, SourceError
from pipeline.sources.fetch import partial
from pipeline.sources.published import Published

NAMES = ("one.bin", "two.bin", "three.bin")
CONTENTS = {name: random.Random(name).randbytes(50_000) for name in NAMES}
DATA = dataset("big", CONTENTS)
PUBLISHED = DATA.published


def serve(server: FaultyServer, data: DataSet = DATA) -> None:
    for name, content in data.contents.items():
        server.put(f"/{data.published.name}/{name}", content)


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def test_files_are_fetched_once_and_recorded(
    server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server)
    first = downloads(tmp_path, server.url)
    assert contents(first.fetch(PUBLISHED, PUBLISHED.files)) == CONTENTS
    assert f"fetched big/one.bin: 50000 bytes from {server.url}/big/one.bin" in capsys.readouterr().err
    again = downloads(tmp_path, server.url)
    assert contents(again.fetch(PUBLISHED, PUBLISHED.files)) == CONTENTS
    assert len(server.requests) == len(NAMES)
    assert again.record["fetched"] == first.record["fetched"]
    known = first.record["fetched"]["big/one.bin"]
    assert (known["bytes"], known["origin"]) == (50_000, f"{server.url}/big/one.bin")
    assert known["hashes"] == PUBLISHED.files[0].hashes
    assert first.record["accepted"]["big"]["terms"]["by"]


def test_a_failed_file_does_not_stop_the_others_and_all_failures_are_named(
    server: FaultyServer, tmp_path: Path
) -> None:
    serve(server)
    del server.files["/big/one.bin"], server.files["/big/three.bin"]
    with pytest.raises(FetchError, match=r"(?s)big/one\.bin: not fetched.*big/three\.bin: not fetched"):
        downloads(tmp_path, server.url, connections=1).fetch(PUBLISHED, PUBLISHED.files)
    assert (tmp_path / "big/two.bin").read_bytes() == CONTENTS["two.bin"]


def test_a_file_that_changed_or_lost_its_receipt_is_verified_again(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    one, two, three = downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)
    one.write_bytes(CONTENTS["one.bin"][::-1])
    two.with_name("two.bin.receipt.json").unlink()
    os.utime(three, (0, 0))
    server.requests.clear()
    assert contents(downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)) == CONTENTS
    assert [path for path, _ in server.requests] == ["/big/one.bin"]


def test_a_wrong_file_is_renamed_and_never_deleted(
    server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server)
    downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)
    for number, mine in (("", b"mine"), ("1", b"mine too")):
        (tmp_path / "big/one.bin").write_bytes(mine)
        with pytest.raises(FetchError, match=r"offline is true, but 1 file"):
            downloads(tmp_path, server.url, offline=True).fetch(PUBLISHED, PUBLISHED.files)
        assert (tmp_path / f"big/one.bin.refused{number}").read_bytes() == mine
        assert f"one.bin: {len(mine)} bytes, but the published" in (message := capsys.readouterr().err)
        assert f"It is not used; it was renamed to one.bin.refused{number}." in message
    assert contents(downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)) == CONTENTS


def test_a_file_whose_published_hash_changed_is_fetched_again(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)
    newer = dataset("big", {name: content[::-1] for name, content in CONTENTS.items()})
    serve(server, newer)
    fetched = downloads(tmp_path, server.url).fetch(newer.published, newer.published.files)
    assert contents(fetched) == newer.contents


def test_a_partial_file_of_an_earlier_run_is_resumed(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    server.files["/big/one.bin"].faults += [Fault("drop", 0.5), *[Fault("404")] * 2]
    with pytest.raises(FetchError):
        downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)
    assert partial.size_of(tmp_path / "big/one.bin") == 25_000
    server.files["/big/one.bin"].faults.clear()
    downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)
    assert server.ranges("/big/one.bin") == [None, "bytes=25000-", "bytes=25000-"]
    assert {path.suffix for path in (tmp_path / "big").iterdir()} == {".bin", ".json"}
    assert not list(tmp_path.rglob("*.partial*"))


def test_a_partial_file_with_wrong_bytes_ends_as_the_right_file(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    (tmp_path / "big").mkdir()
    (tmp_path / "big/one.bin.partial").write_bytes(bytes(30_000))
    origin = partial.Origin(url=f"{server.url}/big/one.bin", etag=None, last_modified=None, total=50_000)
    (tmp_path / "big/one.bin.partial.json").write_text(origin.model_dump_json())
    (tmp_path / "big/two.bin.partial").write_bytes(bytes(90_000))
    (tmp_path / "big/three.bin.partial").write_bytes(CONTENTS["three.bin"])
    (tmp_path / "big/three.bin.partial.json").write_text("no json")
    assert contents(downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)) == CONTENTS
    assert server.ranges("/big/one.bin") == ["bytes=30000-", None]
    assert server.ranges("/big/two.bin") == [None]
    assert server.ranges("/big/three.bin") == []


def test_offline_nothing_is_requested_and_missing_files_are_listed(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files[:1])
    server.requests.clear()
    offline = downloads(tmp_path, server.url, offline=True)
    with pytest.raises(FetchError, match=r"(?s)2 file\(s\) of big are missing:\n  big/two\.bin\n  big/three\.bin\n"):
        offline.fetch(PUBLISHED, PUBLISHED.files)
    assert contents(offline.fetch(PUBLISHED, PUBLISHED.files[:1])) == {"one.bin": CONTENTS["one.bin"]}
    assert server.requests == []


def test_copies_of_the_user_are_verified_and_linked(server: FaultyServer, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for folder, name in (("big", "one.bin"), (".", "two.bin")):
        (mine / folder).mkdir(parents=True, exist_ok=True)
        (mine / folder / name).write_bytes(CONTENTS[name])
    server.put("/big/three.bin", CONTENTS["three.bin"])
    found = downloads(tmp_path / "here", server.url, local=mine)
    fetched = found.fetch(PUBLISHED, PUBLISHED.files)
    assert contents(fetched) == CONTENTS
    assert fetched[0].samefile(mine / "big/one.bin")
    assert fetched[1].samefile(mine / "two.bin")
    assert [path for path, _ in server.requests] == ["/big/three.bin"]
    assert found.record["fetched"]["big/two.bin"]["origin"] == str(mine / "two.bin")


def test_a_damaged_copy_is_an_error(server: FaultyServer, datasets: dict[str, DataSet], tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(CONTENTS["one.bin"][::-1])
    with pytest.raises(SourceError, match=r"one\.bin: MD5 is"):
        downloads(tmp_path / "here", server.url, local=tmp_path).fetch(PUBLISHED, PUBLISHED.files)
    deltas = datasets["celebahq-deltas"]
    content = bytearray(deltas.contents["deltas00000.zip"])
    content[5000] ^= 1
    (tmp_path / "deltas00000.zip").write_bytes(content)
    with pytest.raises(SourceError, match=r"deltas00000\.zip: .*CRC.*network\.local"):
        downloads(tmp_path / "here", server.url, local=tmp_path).fetch(deltas.published, deltas.published.files)
    assert not list((tmp_path / "here").rglob("*.zip"))


def test_a_copy_damaged_while_copied_gets_no_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.bin").write_bytes(CONTENTS["one.bin"])

    def copied_badly(_: Path, target: Path) -> None:
        target.write_bytes(CONTENTS["one.bin"][::-1])

    monkeypatch.setattr(os, "link", _refused)
    monkeypatch.setattr(shutil, "copyfile", copied_badly)
    with pytest.raises(SourceError, match=r"one\.bin: MD5 is"):
        downloads(tmp_path / "here", local=tmp_path).fetch(PUBLISHED, PUBLISHED.files[:1])
    assert [path.name for path in (tmp_path / "here/big").iterdir() if path.stat().st_size] == []
    assert (tmp_path / "one.bin").read_bytes() == CONTENTS["one.bin"]


def test_a_copy_is_not_linked_while_another_process_fetches_the_file(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(CONTENTS["one.bin"])
    (tmp_path / "here/big").mkdir(parents=True)
    with (tmp_path / "here/big/one.bin.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"its bytes")
        with pytest.raises(FetchError, match="another process is fetching it"):
            downloads(tmp_path / "here", local=tmp_path).fetch(PUBLISHED, PUBLISHED.files[:1])
    assert (tmp_path / "here/big/one.bin.partial").read_bytes() == b"its bytes"
    (path,) = downloads(tmp_path / "here", local=tmp_path).fetch(PUBLISHED, PUBLISHED.files[:1])
    assert path.samefile(tmp_path / "one.bin")
    assert not list(tmp_path.rglob("*.partial*"))


def _refused(*_: Path) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_that_cannot_be_written_does_not_stop_the_others(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FetchError, match=r"file/here cannot be read or written \(Not a directory\)"):
        downloads(tmp_path / "file/here", server.url).fetch(PUBLISHED, PUBLISHED.files)
    real = Path.open

    def refusing(path: Path, *args: Any, **values: Any) -> Any:
        if path.name == "one.bin.partial":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **values)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(FetchError, match=r"big/one\.bin: .*one\.bin\.partial cannot be .* \(Permission denied\)"):
        downloads(tmp_path / "here", server.url, connections=1).fetch(PUBLISHED, PUBLISHED.files)
    assert {path.name for path in (tmp_path / "here/big").glob("*.bin")} == {"two.bin", "three.bin"}


def test_files_larger_than_the_free_space_are_not_requested(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    huge = PUBLISHED.files[0].model_copy(update={"bytes": 10**18})
    with pytest.raises(FetchError, match=r"big: 1000000000000050000 bytes are missing, but .* free\. Free some space"):
        downloads(tmp_path, server.url).fetch(PUBLISHED, [huge, PUBLISHED.files[1]])
    assert server.requests == []


def test_a_file_of_unknown_length_larger_than_the_free_space_is_not_written(
    server: FaultyServer, tmp_path: Path
) -> None:
    unhashed = dataset("big", {"one.bin": CONTENTS["one.bin"]}, hashed=False).published
    file = server.put("/big/one.bin", CONTENTS["one.bin"])
    headers = {**file.headers(), "Content-Length": str(10**18)}
    file.headers = lambda: headers  # type: ignore[method-assign]
    with pytest.raises(FetchError, match=r"big/one\.bin: .* bytes are missing, but"):
        downloads(tmp_path, server.url).fetch(unhashed, unhashed.files)


def test_a_full_disk_is_reported_and_received_bytes_are_kept(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the system refuses to write more, as a full disk does
    try:
        with pytest.raises(FetchError, match=r"one\.bin: the disk is full .* Free some space below"):
            downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files[:1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert partial.size_of(tmp_path / "big/one.bin") == 20_000
    assert contents(downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files[:1]))
    assert server.ranges("/big/one.bin") == [None, "bytes=20000-"]


def test_two_processes_never_write_one_file(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    (tmp_path / "big").mkdir()
    with (tmp_path / "big/one.bin.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match="another process is fetching it"):
            downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)
    assert contents(downloads(tmp_path, server.url).fetch(PUBLISHED, PUBLISHED.files)) == CONTENTS


def test_files_are_fetched_in_parallel(server: FaultyServer, tmp_path: Path) -> None:
    """With one connection the first answer would have to end before the second file is requested."""
    serve(server)
    server.files["/big/one.bin"].faults.append(Fault("stall", 0.5))
    downloads(tmp_path, server.url, connections=2, policy=HASTY).fetch(PUBLISHED, PUBLISHED.files)
    paths = [path for path, _ in server.requests]
    assert max(paths.index("/big/two.bin"), paths.index("/big/three.bin")) < len(paths) - 1
    assert paths[-1] == "/big/one.bin"


def test_every_published_path_stays_below_the_folder() -> None:
    for path in ("../up.zip", "/root.zip", "a/../../up.zip", "a//b", "a\\b"):
        with pytest.raises(ValueError, match="no path below a root"):
            Published.model_validate(PUBLISHED.model_dump() | {"files": ({"path": path},)})
