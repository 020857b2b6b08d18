"""Wrong answers of servers, and what is kept of a file meanwhile."""

import io
import random
import zipfile
from pathlib import Path

import pytest
import web_pages
from faulty_server import Fault, FaultyServer
from fetching import STEADY, downloads
from tiny_sources import dataset

from pipeline.errors import FetchError
from pipeline.sources.fetch import partial
from pipeline.sources.fetch.partial import Origin

CONTENT = random.Random(7).randbytes(200_000)
NAME = "one.7z.002"  # a name without a signature
PATH = f"/big/{NAME}"
HASHED = dataset("big", {NAME: CONTENT}).published
UNHASHED = dataset("big", {NAME: CONTENT}, hashed=False).published


def answer(status: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    # the server closes after each scripted answer, so it must say so: else the client may reuse the connection
    return f"HTTP/1.1 {status}\r\nConnection: close\r\n{lines}\r\n".encode("latin-1") + body


def redirect(location: str) -> bytes:
    return answer("302 Found", {"Location": location, "Content-Length": "0"})


def half(folder: Path, server: FaultyServer, at: float = 0.9) -> Path:
    """Leave a part of the hashed file in the folder of downloads."""
    server.put(f"/first{PATH}", CONTENT, Fault("drop", at), *[Fault("404")])
    with pytest.raises(FetchError, match=rf"the {int(at * len(CONTENT))} bytes received so far are kept"):
        downloads(folder, f"{server.url}/first").fetch(HASHED, HASHED.files)
    return folder / "big" / NAME


@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
def test_a_complete_file_killed_before_verification_is_not_fetched_again(
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


def test_an_answer_of_another_length_leaves_the_partial_file_alone(server: FaultyServer, tmp_path: Path) -> None:
    target = half(tmp_path, server)
    server.put(f"/quota{PATH}", b'{"error": "quota"}')
    with pytest.raises(FetchError, match="it has 18 bytes, but the published file has 200000"):
        downloads(tmp_path, f"{server.url}/quota").fetch(HASHED, HASHED.files)
    assert partial.size_of(target) == 180_000
    server.put(f"/first{PATH}", CONTENT)
    downloads(tmp_path, f"{server.url}/first").fetch(HASHED, HASHED.files)
    assert server.sent[f"/first{PATH}"] == 200_000


def test_an_answer_with_the_whole_file_replaces_the_partial_file(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.9), Fault("ignore range"))
    (path,) = downloads(tmp_path, server.url).fetch(UNHASHED, UNHASHED.files)
    assert path.read_bytes() == CONTENT
    assert server.sent[PATH] == 380_000


def test_a_hashed_file_is_resumed_although_replicas_disagree_about_the_etag(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = server.put(PATH, CONTENT, *[Fault("drop", 0.4)] * 12)
    replicas = iter(range(100))
    monkeypatch.setattr(file, "headers", lambda: {"ETag": f'"{next(replicas)}"'})
    (path,) = downloads(tmp_path, server.url).fetch(HASHED, HASHED.files)
    assert path.read_bytes() == CONTENT
    assert server.sent[PATH] == len(CONTENT)


def test_restarting_has_an_end(server: FaultyServer, tmp_path: Path) -> None:
    faults = [Fault("drop", at) for _ in range(50) for at in (0.1, 0.5)]
    server.put(PATH, CONTENT, *faults, validators="none")
    with pytest.raises(FetchError, match="the connection broke"):
        downloads(tmp_path, server.url).fetch(UNHASHED, UNHASHED.files)
    assert len(server.requests) == STEADY.attempts


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (redirect("http://[::1"), "impossible address"),
        (redirect("http://.a..b/x"), "impossible address"),
        (redirect(f"http://{'a' * 70}.com/x"), "impossible address"),
        (redirect("http://127.0.0.1/\xff\xfe"), "impossible address"),
        (redirect("http://127.0.0.1:99999/x"), "InvalidURL"),
        (redirect("file:///etc/passwd"), "InvalidSchema"),
        (answer("200 OK", {"Content-Length": "5, 6"}), "InvalidHeader"),
        (answer("206 Partial Content", {"Content-Range": f"bytes 0-1/{'9' * 5000}"}), "range 'bytes 0-1/999"),
        (answer("503 Busy", {"Retry-After": "3600", "Content-Length": "0"}), "Retry-After is 3600 seconds"),
        (answer("503 Busy", {"Retry-After": "9" * 400, "Content-Length": "0"}), "Retry-After is 100000000 seconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
def test_an_invalid_answer_stops_no_other_file(sent: bytes, cause: str, server: FaultyServer, tmp_path: Path) -> None:
    data = dataset("big", {NAME: CONTENT, "other.bin": CONTENT}).published
    server.scripts[PATH] = lambda _: sent
    server.put("/big/other.bin", CONTENT)
    with pytest.raises(FetchError) as caught:
        downloads(tmp_path, server.url, connections=1).fetch(data, data.files)
    head, failed, remedy = str(caught.value).splitlines()
    assert head == f"big/{NAME}: not fetched."
    assert failed.startswith(f"  {server.url}{PATH}: ")
    assert cause in failed
    assert "kept" not in remedy  # nothing was received
    assert "Retry-After" not in cause or "Run this again after 20" in remedy
    assert (tmp_path / "big/other.bin").read_bytes() == CONTENT


def test_a_virus_scan_page_without_end_is_an_error(server: FaultyServer, tmp_path: Path) -> None:
    page = web_pages.virus_scan("1")
    headers = {"Content-Length": str(len(page))}
    for path in (PATH, f"{PATH}?id=1"):
        server.scripts[path] = lambda _: answer("200 OK", headers, page)
    with pytest.raises(FetchError, match="virus-scan page did not lead to the file"):
        downloads(tmp_path, server.url).fetch(HASHED, HASHED.files)
    assert [path for path, _ in server.requests] == [PATH, f"{PATH}?id=1"]


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "many"])
def test_an_invalid_length_is_ignored(length: str, server: FaultyServer, tmp_path: Path) -> None:
    server.scripts[PATH] = lambda _: answer("200 OK", {"Content-Length": length, "Content-Encoding": ""}, CONTENT)
    (path,) = downloads(tmp_path, server.url).fetch(HASHED, HASHED.files)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("hashed", [True, False])
def test_bytes_beyond_the_end_are_dropped_if_a_hash_decides(hashed: bool, server: FaultyServer, tmp_path: Path) -> None:
    etag = {"ETag": '"1"'}

    def send(requested: str | None) -> bytes:
        if requested is None:
            return answer("200 OK", {**etag, "Content-Length": str(len(CONTENT))}, CONTENT[:150_000])
        start = int(requested.removeprefix("bytes=").rstrip("-"))
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        return answer("206 Partial Content", {**etag, "Content-Range": span}, CONTENT[start:] + b"\r\n")

    server.scripts[PATH] = send
    published = HASHED if hashed else UNHASHED
    if hashed:
        (path,) = downloads(tmp_path, server.url).fetch(published, published.files)
        assert path.read_bytes() == CONTENT
        assert server.ranges(PATH) == [None, "bytes=150000-"]
        return
    with pytest.raises(FetchError, match="more bytes came than the 200000 expected"):
        downloads(tmp_path, server.url).fetch(published, published.files)
    assert not (tmp_path / PATH[1:]).exists()
    assert partial.size_of(tmp_path / PATH[1:]) == 0


def test_a_password_in_a_url_is_used_and_recorded_nowhere(
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
