"""One file, one fault: what is requested, what is kept, and the error message."""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Fault, FaultyServer
from fetching import HASTY, STEADY, downloads
from tiny_sources import DataSet, dataset, drive_id

from pipeline.errors import FetchError
from pipeline.sources.fetch.retrieval import RetryPolicy

CONTENT = random.Random(7).randbytes(200_000)
OTHER = random.Random(8).randbytes(200_000)
NAME = "photographs.bin"
PATH = f"/big/{NAME}"


def big(*, hashed: bool = True, drive: str | None = None) -> DataSet:
    return dataset("big", {NAME: CONTENT}, hashed=hashed, drive=drive)


def fetch(folder: Path, data: DataSet, *mirrors: str, **values: Any) -> bytes:
    (path,) = downloads(folder, *mirrors, **values).fetch(data.published, data.published.files)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["drop", "reset", "stall"])
def test_a_broken_answer_is_resumed_where_it_broke(kind: Any, server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault(kind, 0.5), Fault(kind, 0.5))
    assert fetch(tmp_path, big(), server.url, policy=HASTY if kind == "stall" else STEADY) == CONTENT
    first, *others = server.ranges(PATH)
    assert first is None
    assert None not in others
    assert not any("if-range" in headers for _, headers in server.requests)  # the hash decides
    assert all(headers["accept-encoding"] == "identity" for _, headers in server.requests)
    if kind != "reset":  # a reset connection may take with it what was sent and not yet read
        assert server.sent[PATH] == len(CONTENT)
        assert others == ["bytes=100000-", "bytes=150000-"]


def test_a_range_shorter_than_requested_is_resumed(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.25), Fault("short range", 0.5))
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert server.ranges(PATH) == [None, "bytes=50000-", "bytes=125000-"]


def test_without_ranges_the_file_is_restarted(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.5), Fault("ignore range"))
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert server.sent[PATH] == 300_000


@pytest.mark.parametrize("kind", ["wrong range", "no range given", "416"])
def test_an_answer_with_another_range_is_not_used(kind: Any, server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.5), Fault(kind))
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert server.ranges(PATH) == [None, "bytes=100000-", None]


@pytest.mark.parametrize("if_range", [True, False], ids=["If-Range respected", "If-Range ignored"])
def test_two_versions_of_a_file_are_never_joined(if_range: bool, server: FaultyServer, tmp_path: Path) -> None:
    file = server.put(PATH, CONTENT, Fault("drop", 0.5), other=OTHER, if_range=if_range)
    server.watch = lambda _, offset: file.change() if offset == 98_304 and file.changes == 0 else None
    data = dataset("big", {NAME: OTHER})
    assert fetch(tmp_path, data, server.url) == OTHER
    assert server.ranges(PATH) == [None, "bytes=100000-", None]  # joined, refused by the hash, restarted


@pytest.mark.parametrize("if_range", [True, False], ids=["If-Range respected", "If-Range ignored"])
def test_two_versions_of_an_unhashed_file_are_never_joined(
    if_range: bool, server: FaultyServer, tmp_path: Path
) -> None:
    file = server.put(PATH, CONTENT, Fault("drop", 0.5), other=OTHER, if_range=if_range)
    server.watch = lambda _, offset: file.change() if offset == 98_304 and file.changes == 0 else None
    assert fetch(tmp_path, big(hashed=False), server.url) == OTHER
    assert server.requests[1][1]["if-range"] == f'"{hashlib.md5(CONTENT).hexdigest()}-0"'
    assert server.ranges(PATH) == [None, "bytes=100000-", *([] if if_range else [None])]


@pytest.mark.parametrize(
    ("validators", "continued"), [("etag", True), ("date", True), ("weak", False), ("none", False)]
)
def test_an_unhashed_file_is_resumed_only_by_a_validator(
    validators: Any, continued: bool, server: FaultyServer, tmp_path: Path
) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.5), validators=validators)
    assert fetch(tmp_path, big(hashed=False), server.url) == CONTENT
    assert server.ranges(PATH) == [None, "bytes=100000-" if continued else None]


@pytest.mark.parametrize("hashed", [True, False])
def test_a_partial_file_is_restarted_from_another_mirror(hashed: bool, server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", OTHER, Fault("drop", 0.5), Fault("404"))
    server.put(f"/b{PATH}", CONTENT)
    assert fetch(tmp_path, big(hashed=hashed), f"{server.url}/a", f"{server.url}/b") == CONTENT
    assert server.ranges(f"/b{PATH}") == [None]


@pytest.mark.parametrize("kind", ["quota", "login", "page", "404", "truncate", "encoded"])
def test_a_partial_file_is_kept_and_its_mirror_tried_first(kind: Any, server: FaultyServer, tmp_path: Path) -> None:
    mirrors = f"{server.url}/a", f"{server.url}/b"
    server.put(f"/b{PATH}", CONTENT, Fault("drop", 0.5), Fault(kind, 0.75))
    with pytest.raises(FetchError, match=r"\(the 100000 bytes received so far are kept\)"):
        fetch(tmp_path, big(), *mirrors)
    server.put(f"/a{PATH}", CONTENT)
    assert fetch(tmp_path, big(), *mirrors) == CONTENT
    assert server.ranges(f"/b{PATH}") == [None, "bytes=100000-", "bytes=100000-"]
    assert server.ranges(f"/a{PATH}") == [None]  # of the first run


def test_wrong_bytes_are_fetched_once_more_and_then_from_the_next_mirror(server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", OTHER)
    server.put(f"/b{PATH}", CONTENT, Fault("flip"))
    assert fetch(tmp_path, big(), f"{server.url}/a", f"{server.url}/b") == CONTENT
    assert server.ranges(f"/a{PATH}") == [None, None]
    assert server.ranges(f"/b{PATH}") == [None, None]


@pytest.mark.parametrize("kind", ["503", "429", "500", "silent", "not even http"])
def test_transient_errors_are_retried_up_to_the_number_of_attempts(
    kind: Any, server: FaultyServer, tmp_path: Path
) -> None:
    policy = HASTY if kind == "silent" else STEADY
    server.put(PATH, CONTENT, *[Fault(kind)] * (policy.attempts - 1))
    assert fetch(tmp_path / "one", big(), server.url, policy=policy) == CONTENT
    server.requests.clear()
    server.put(PATH, CONTENT, *[Fault(kind)] * 10)
    with pytest.raises(FetchError):
        fetch(tmp_path / "two", big(), server.url, policy=policy)
    assert len(server.requests) == policy.attempts


def test_attempts_that_make_progress_do_not_count(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, *[Fault("drop", 0.1)] * 30)
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert len(server.requests) > 3 * STEADY.attempts
    assert server.sent[PATH] == len(CONTENT)


def test_the_error_lists_every_url_with_its_cause_and_the_remedies(server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", CONTENT, *[Fault("quota")] * 9)
    server.put(f"/b{PATH}", OTHER)
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path, big(), f"{server.url}/a", f"{server.url}/b", f"{server.url}/c", "http://127.0.0.1:9")
    head, a, b, c, refused, remedy = str(caught.value).splitlines()
    assert head == f"big/{NAME}: not fetched."
    assert a == f"  {server.url}/a{PATH}: Google Drive: the download quota of this file is used up (HTTP 200)"
    assert f"{server.url}/b{PATH}: the answer is not the file: MD5 is" in b
    assert c == f"  {server.url}/c{PATH}: HTTP 404 Not Found"
    assert refused.startswith(f"  http://127.0.0.1:9{PATH}: ConnectionError: ")
    assert "within 24 hours" in remedy
    assert "compare it with the publisher's page" in remedy
    assert "network.local" in remedy
    assert not list(tmp_path.rglob(NAME))


def test_a_file_on_google_drive_is_requested_by_id_and_confirmed_after_the_virus_scan_page(
    server: FaultyServer, tmp_path: Path
) -> None:
    path = f"/download?id={drive_id(NAME)}"
    server.put(path, CONTENT, Fault("drop", 0.5), Fault("virus"))
    assert fetch(tmp_path, big(drive=f"{server.url}/download"), "published") == CONTENT
    assert [requested for requested, _ in server.requests] == [path] * 3
    assert server.ranges(path) == [None, "bytes=100000-", "bytes=100000-"]


def test_a_file_of_unknown_length_and_hash_needs_checksums_of_its_own(
    server: FaultyServer, datasets: dict[str, DataSet], tmp_path: Path
) -> None:
    server.put(PATH, CONTENT, *[Fault("chunked")] * 9)
    with pytest.raises(FetchError, match="it may be incomplete"):
        fetch(tmp_path, big(hashed=False), server.url)
    deltas = datasets["celebahq-deltas"]
    for name, content in deltas.contents.items():
        server.put(f"/celebahq-deltas/{name}", content, Fault("no length", 0.7), Fault("chunked"))
    fetched = downloads(tmp_path, server.url).fetch(deltas.published, deltas.published.files)
    assert [path.read_bytes() for path in fetched] == list(deltas.contents.values())


def test_a_gz_that_a_server_calls_an_encoding_is_not_decoded(
    server: FaultyServer, datasets: dict[str, DataSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist = datasets["mnist"]
    for name, content in mnist.contents.items():
        file = server.put(f"/mnist/{name}", content)
        monkeypatch.setattr(file, "headers", lambda: {"Content-Encoding": "gzip"})
    fetched = downloads(tmp_path, server.url).fetch(mnist.published, mnist.published.files)
    assert [path.read_bytes() for path in fetched] == list(mnist.contents.values())


def test_proxies_in_environment_variables_are_used(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(PATH, CONTENT)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("http_proxy", raising=False)
    assert fetch(tmp_path, big(), "http://files.invalid") == CONTENT
    assert server.requests[0][1]["host"] == "files.invalid"


def test_waits_double_up_to_a_limit_and_respect_retry_after() -> None:
    policy = RetryPolicy(attempts=9, timeout_seconds=1.0, first_wait_seconds=1.0, longest_wait_seconds=20.0)
    for failures, limit in ((1, 1.0), (2, 2.0), (4, 8.0), (9, 20.0)):
        waits = [policy.wait_seconds(failures, 0.0) for _ in range(50)]
        assert limit / 2 <= min(waits)
        assert max(waits) <= limit
        assert len(set(waits)) > 40
    assert policy.wait_seconds(1, 7.0) == 7.0
    assert policy.wait_seconds(1, 500.0) == 500.0
