"""Answers that no server should give, and what is kept of a file through them."""

import io
import random
import zipfile
from pathlib import Path

import pytest
from faulty_server import Fault, FaultyServer
from fetching import downloads
from tiny_sources import dataset

from pipeline.errors import FetchError
from pipeline.sources.fetch import partial
from pipeline.sources.fetch.partial import Origin

CONTENT = random.Random(7).randbytes(200_000)
NAME = "one.7z.002"  # nothing can be seen at its start
PATH = f"/big/{NAME}"
HASHED = dataset("big", {NAME: CONTENT}).published
UNHASHED = dataset("big", {NAME: CONTENT}, hashed=False).published


def answer(status: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def redirect(location: str) -> bytes:
    return answer("302 Found", {"Location": location, "Content-Length": "0"})


def half(folder: Path, server: FaultyServer, at: float = 0.9) -> Path:
    """Leave a part of the hashed file in the folder of downloads."""
    server.put(f"/first{PATH}", CONTENT, Fault("drop", at), *[Fault("404")])
    with pytest.raises(FetchError, match=rf"the {int(at * len(CONTENT))} bytes that are here are kept"):
        downloads(folder, f"{server.url}/first").fetch(HASHED, HASHED.files)
    return folder / "big" / NAME


@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
def test_a_whole_file_whose_check_was_killed_is_not_fetched_again(
    known: bool, server: FaultyServer, tmp_path: Path
) -> None:
    name, here = "deltas.zip", tmp_path / "big/deltas.zip"
    archive = _zip()
    data = dataset("big", {name: archive}, hashed=False).published
    etag = server.put(f"/big/{name}", archive).headers()["ETag"]
    origin = Origin(
        url=f"{server.url}/big/{name}", etag=etag, last_modified=None, total=len(archive) if known else None
    )
    here.parent.mkdir()
    partial.path_of(here).write_bytes(archive)
    partial.path_of(here).with_name(f"{name}.partial.json").write_text(origin.model_dump_json())
    found = downloads(tmp_path, f"{server.url}/elsewhere" if known else server.url)
    assert [path.read_bytes() for path in found.fetch(data, data.files)] == [archive]
    assert found.record["fetched"][f"big/{name}"]["origin"] == origin.url
    assert server.sent[f"/big/{name}"] == 0
    assert server.ranges(f"/big/{name}") == ([] if known else [f"bytes={len(archive)}-"])


def test_what_is_here_of_a_hashed_file_outlives_an_answer_that_is_none(server: FaultyServer, tmp_path: Path) -> None:
    target = half(tmp_path, server)
    server.put(f"/quota{PATH}", b'{"error": "quota"}', *[Fault("chunked")] * 9)
    with pytest.raises(
        FetchError, match=r"ended after 18 of 200000 bytes(?s:.*)the 180000 bytes that are here are kept"
    ):
        downloads(tmp_path, f"{server.url}/quota").fetch(HASHED, HASHED.files)
    server.put(f"/short{PATH}", CONTENT, *[Fault("no length", 0.1)] * 9)
    server.files[f"/short{PATH}"].ranges = False
    with pytest.raises(FetchError, match="ended after 20000 of 200000 bytes"):
        downloads(tmp_path, f"{server.url}/short").fetch(HASHED, HASHED.files)
    assert partial.size_of(target) == 180_000
    server.put(f"/b{PATH}", CONTENT)
    downloads(tmp_path, f"{server.url}/b").fetch(HASHED, HASHED.files)
    assert server.sent[f"/b{PATH}"] == 20_000


def test_a_server_without_ranges_still_moves_a_hashed_file_on(server: FaultyServer, tmp_path: Path) -> None:
    half(tmp_path, server, at=0.5)
    server.put(f"/b{PATH}", CONTENT, Fault("no length", 0.8))
    server.files[f"/b{PATH}"].ranges = False
    (path,) = downloads(tmp_path, f"{server.url}/b").fetch(HASHED, HASHED.files)
    assert path.read_bytes() == CONTENT
    assert server.sent[f"/b{PATH}"] == 360_000


def test_of_an_unhashed_file_nothing_is_kept_beside_other_bytes(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.9), Fault("ignore range"))
    (path,) = downloads(tmp_path, server.url).fetch(UNHASHED, UNHASHED.files)
    assert path.read_bytes() == CONTENT
    assert server.sent[PATH] == 380_000


def test_replicas_that_disagree_about_the_etag_give_a_hashed_file(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = server.put(PATH, CONTENT, *[Fault("drop", 0.4)] * 12)
    replicas = iter(range(100))
    monkeypatch.setattr(file, "headers", lambda: {"ETag": f'"{next(replicas)}"'})
    (path,) = downloads(tmp_path, server.url).fetch(HASHED, HASHED.files)
    assert path.read_bytes() == CONTENT
    assert server.sent[PATH] == len(CONTENT)


def test_progress_after_a_beginning_anew_is_progress(server: FaultyServer, tmp_path: Path) -> None:
    faults = [Fault("drop", 0.8), Fault("wrong range"), *[Fault("drop", 0.1)] * 8]
    server.put(PATH, CONTENT, *faults)
    (path,) = downloads(tmp_path, server.url).fetch(UNHASHED, UNHASHED.files)
    assert path.read_bytes() == CONTENT


def test_beginning_anew_has_an_end(server: FaultyServer, tmp_path: Path) -> None:
    faults = [Fault("drop", at) for _ in range(50) for at in (0.1, 0.5)]
    server.put(PATH, CONTENT, *faults, validators="none")
    with pytest.raises(FetchError, match="the connection broke"):
        downloads(tmp_path, server.url).fetch(UNHASHED, UNHASHED.files)
    assert len(server.requests) < 12


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (redirect("http://[::1"), "impossible address"),
        (redirect("http://.a..b/x"), "impossible address"),
        (redirect(f"http://{'a' * 70}.com/x"), "impossible address"),
        (redirect("http://127.0.0.1/\xff\xfe"), "impossible address"),
        (redirect("http://127.0.0.1:99999/x"), "InvalidURL"),
        (redirect("file:///etc/passwd"), "InvalidSchema"),
        (answer("200 OK", {"Content-Length": "5, 6"}), "InvalidHeader"),
        (answer("206 Partial Content", {"Content-Range": f"bytes 0-1/{'9' * 5000}"}), "range 'bytes 0-1/999"),
        (answer("503 Busy", {"Retry-After": "3600", "Content-Length": "0"}), "left alone for 3600 seconds"),
        (answer("503 Busy", {"Retry-After": "9" * 400, "Content-Length": "0"}), "left alone for 100000000 seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
def test_an_impossible_answer_is_the_fault_of_its_place_alone(
    said: bytes, cause: str, server: FaultyServer, tmp_path: Path
) -> None:
    data = dataset("big", {NAME: CONTENT, "other.bin": CONTENT}).published
    server.scripts[PATH] = lambda _: said
    server.put("/big/other.bin", CONTENT)
    with pytest.raises(FetchError) as caught:
        downloads(tmp_path, server.url, connections=1).fetch(data, data.files)
    head, place, remedy = str(caught.value).splitlines()
    assert head == f"big/{NAME}: not fetched."
    assert place.startswith(f"  {server.url}{PATH}: ")
    assert cause in place
    assert "kept" not in remedy  # nothing is here
    assert "left alone" not in cause or "Run this again after 20" in remedy
    assert (tmp_path / "big/other.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "many"])
def test_a_length_that_is_no_number_says_nothing(length: str, server: FaultyServer, tmp_path: Path) -> None:
    server.scripts[PATH] = lambda _: answer("200 OK", {"Content-Length": length, "Content-Encoding": ""}, CONTENT)
    (path,) = downloads(tmp_path, server.url).fetch(HASHED, HASHED.files)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("hashed", [True, False])
def test_bytes_beyond_the_end_are_left_where_a_hash_decides(hashed: bool, server: FaultyServer, tmp_path: Path) -> None:
    etag = {"ETag": '"1"'}

    def said(asked: str | None) -> bytes:
        if asked is None:
            return answer("200 OK", {**etag, "Content-Length": str(len(CONTENT))}, CONTENT[:150_000])
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        return answer("206 Partial Content", {**etag, "Content-Range": span}, CONTENT[start:] + b"\r\n")

    server.scripts[PATH] = said
    published = HASHED if hashed else UNHASHED
    if hashed:
        (path,) = downloads(tmp_path, server.url).fetch(published, published.files)
        assert path.read_bytes() == CONTENT
        assert server.ranges(PATH) == [None, "bytes=150000-"]
        return
    with pytest.raises(FetchError, match="more bytes came than the 200000"):
        downloads(tmp_path, server.url).fetch(published, published.files)
    assert not (tmp_path / PATH[1:]).exists()
    assert partial.size_of(tmp_path / PATH[1:]) == 0


def test_a_password_in_an_address_is_used_and_written_nowhere(
    server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = server.url.replace("://", "://me:s3cr@t@")
    server.put(PATH, CONTENT, Fault("drop", 0.5), Fault("404"))
    with pytest.raises(FetchError) as caught:
        downloads(tmp_path, mirror, mirror.replace("http", "https", 1)).fetch(HASHED, HASHED.files)
    kept = [path.read_text() for path in (tmp_path / "big").glob("*.json")]
    found = downloads(tmp_path, mirror)
    found.fetch(HASHED, HASHED.files)
    kept += [path.read_text() for path in (tmp_path / "big").glob("*.json")]
    assert len(kept) == 2
    assert server.requests[0][1]["authorization"].startswith("Basic ")
    assert found.record["fetched"][f"big/{NAME}"]["origin"] == f"{server.url}{PATH}"
    for text in (str(caught.value), str(found.record), *kept, capsys.readouterr().err):
        assert "s3cr" not in text


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("one", CONTENT)
    return stream.getvalue()
