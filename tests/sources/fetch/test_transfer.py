"""One file, one fault: what is asked of the server, what is kept, and what the error says."""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Fault, FaultyServer
from fetching import HASTY, STEADY, downloads
from tiny_sources import DataSet, dataset, drive_id

from pipeline.errors import FetchError
from pipeline.sources.fetch.retrieve import Patience

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
def test_a_broken_answer_is_continued_where_it_broke(kind: Any, server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault(kind, 0.5), Fault(kind, 0.5))
    assert fetch(tmp_path, big(), server.url, patience=HASTY if kind == "stall" else STEADY) == CONTENT
    first, *others = server.ranges(PATH)
    assert first is None
    assert all(asked is not None for asked in others)
    assert not any("if-range" in headers for _, headers in server.requests)  # the hash decides
    assert all(headers["accept-encoding"] == "identity" for _, headers in server.requests)
    if kind != "reset":  # a reset connection may take with it what was sent and not yet read
        assert server.sent[PATH] == len(CONTENT)
        assert others == ["bytes=100000-", "bytes=150000-"]


def test_a_range_shorter_than_asked_for_is_continued(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.25), Fault("short range", 0.5))
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert server.ranges(PATH) == [None, "bytes=50000-", "bytes=125000-"]


def test_a_server_without_ranges_begins_again(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.5), Fault("ignore range"))
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert server.sent[PATH] == 300_000


@pytest.mark.parametrize("kind", ["wrong range", "no range given", "416"])
def test_an_answer_for_other_bytes_than_asked_for_is_not_kept(kind: Any, server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.5), Fault(kind))
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert server.ranges(PATH) == [None, "bytes=100000-", None]


@pytest.mark.parametrize("heeds", [True, False], ids=["If-Range heeded", "If-Range overlooked"])
def test_two_versions_of_a_file_are_never_joined(heeds: bool, server: FaultyServer, tmp_path: Path) -> None:
    file = server.put(PATH, CONTENT, Fault("drop", 0.5), other=OTHER, heeds_conditions=heeds)
    server.watch = lambda _, offset: file.change() if offset == 98_304 and file.changes == 0 else None
    data = dataset("big", {NAME: OTHER})
    assert fetch(tmp_path, data, server.url) == OTHER
    assert server.ranges(PATH) == [None, "bytes=100000-", None]  # joined, refused by the hash, begun again


@pytest.mark.parametrize("heeds", [True, False], ids=["If-Range heeded", "If-Range overlooked"])
def test_two_versions_of_a_file_that_nothing_can_check_are_never_joined(
    heeds: bool, server: FaultyServer, tmp_path: Path
) -> None:
    file = server.put(PATH, CONTENT, Fault("drop", 0.5), other=OTHER, heeds_conditions=heeds)
    server.watch = lambda _, offset: file.change() if offset == 98_304 and file.changes == 0 else None
    assert fetch(tmp_path, big(hashed=False), server.url) == OTHER
    assert server.requests[1][1]["if-range"] == f'"{hashlib.md5(CONTENT).hexdigest()}-0"'
    assert server.ranges(PATH) == [None, "bytes=100000-", *([] if heeds else [None])]


def test_bytes_of_a_known_file_go_on_at_another_mirror(server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", CONTENT, Fault("drop", 0.5), Fault("404"))
    server.put(f"/b{PATH}", CONTENT)
    assert fetch(tmp_path, big(), f"{server.url}/a", f"{server.url}/b") == CONTENT
    (asked,) = [headers for path, headers in server.requests if path == f"/b{PATH}"]
    assert asked["range"] == "bytes=100000-"
    assert "if-range" not in asked


@pytest.mark.parametrize(
    ("validators", "continued"), [("etag", True), ("date", True), ("weak", False), ("none", False)]
)
def test_bytes_of_an_unknown_file_go_on_only_by_a_validator(
    validators: Any, continued: bool, server: FaultyServer, tmp_path: Path
) -> None:
    server.put(PATH, CONTENT, Fault("drop", 0.5), validators=validators)
    assert fetch(tmp_path, big(hashed=False), server.url) == CONTENT
    assert server.ranges(PATH) == [None, "bytes=100000-" if continued else None]


def test_bytes_of_an_unknown_file_do_not_go_on_at_another_mirror(server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", CONTENT, Fault("drop", 0.5), Fault("404"))
    server.put(f"/b{PATH}", OTHER)
    assert fetch(tmp_path, big(hashed=False), f"{server.url}/a", f"{server.url}/b") == OTHER
    assert server.ranges(f"/b{PATH}") == [None]


@pytest.mark.parametrize("kind", ["quota", "login", "page", "404", "truncate", "encoded"])
def test_what_is_here_survives_a_place_that_turns_bad(kind: Any, server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", CONTENT, Fault("drop", 0.5), Fault(kind, 0.75))
    server.put(f"/b{PATH}", CONTENT)
    assert fetch(tmp_path, big(), f"{server.url}/a", f"{server.url}/b") == CONTENT
    assert server.ranges(f"/b{PATH}") == ["bytes=100000-"]


def test_wrong_bytes_are_fetched_once_more_and_then_elsewhere(server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", OTHER)
    server.put(f"/b{PATH}", CONTENT, Fault("flip"))
    assert fetch(tmp_path, big(), f"{server.url}/a", f"{server.url}/b") == CONTENT
    assert server.ranges(f"/a{PATH}") == [None, None]
    assert server.ranges(f"/b{PATH}") == [None, None]


@pytest.mark.parametrize("kind", ["503", "429", "500", "silent", "not even http"])
def test_what_may_pass_is_tried_again_and_no_more_often_than_said(
    kind: Any, server: FaultyServer, tmp_path: Path
) -> None:
    patience = HASTY if kind == "silent" else STEADY
    server.put(PATH, CONTENT, *[Fault(kind)] * (patience.attempts - 1))
    assert fetch(tmp_path / "one", big(), server.url, patience=patience) == CONTENT
    server.requests.clear()
    server.put(PATH, CONTENT, *[Fault(kind)] * 10)
    with pytest.raises(FetchError):
        fetch(tmp_path / "two", big(), server.url, patience=patience)
    assert len(server.requests) == patience.attempts


def test_attempts_that_bring_something_do_not_count(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, *[Fault("drop", 0.1)] * 30)
    assert fetch(tmp_path, big(), server.url) == CONTENT
    assert len(server.requests) > 3 * STEADY.attempts
    assert server.sent[PATH] == len(CONTENT)


def test_every_place_is_named_with_its_cause_and_the_file_with_a_remedy(server: FaultyServer, tmp_path: Path) -> None:
    server.put(f"/a{PATH}", CONTENT, *[Fault("quota")] * 9)
    server.put(f"/b{PATH}", OTHER)
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path, big(), f"{server.url}/a", f"{server.url}/b", f"{server.url}/c", "http://127.0.0.1:9")
    head, a, b, c, refused, remedy = str(caught.value).splitlines()
    assert head == f"big/{NAME}: not fetched."
    assert a == f"  {server.url}/a{PATH}: Google Drive's page that this file's download quota is used up (HTTP 200)"
    assert f"{server.url}/b{PATH}: what came is not the file: MD5 is" in b
    assert c == f"  {server.url}/c{PATH}: HTTP 404 Not Found"
    assert refused.startswith(f"  http://127.0.0.1:9{PATH}: no connection: ")
    assert "within 24 hours" in remedy
    assert "compare with the publisher's page" in remedy
    assert "network.local" in remedy
    assert not list(tmp_path.rglob(NAME))


def test_google_drive_is_asked_by_id_and_its_virus_scan_page_leads_on(server: FaultyServer, tmp_path: Path) -> None:
    place = f"/download?id={drive_id(NAME)}"
    server.put(place, CONTENT, Fault("drop", 0.5), Fault("virus"))
    assert fetch(tmp_path, big(drive=f"{server.url}/download"), "published") == CONTENT
    assert [asked for asked, _ in server.requests] == [place] * 3
    assert server.ranges(place) == [None, "bytes=100000-", "bytes=100000-"]


def test_a_virus_scan_page_without_end_is_named(server: FaultyServer, tmp_path: Path) -> None:
    server.put(PATH, CONTENT, *[Fault("virus")] * 2)
    with pytest.raises(FetchError, match="virus-scan page, which did not lead on to the file"):
        fetch(tmp_path, big(), server.url)


def test_a_file_of_no_known_length_is_taken_only_when_its_own_sums_agree(
    server: FaultyServer, datasets: dict[str, DataSet], tmp_path: Path
) -> None:
    server.put(PATH, CONTENT, *[Fault("chunked")] * 9)
    with pytest.raises(FetchError, match="nothing tells whether it is whole"):
        fetch(tmp_path, big(hashed=False), server.url)
    deltas = datasets["celebahq-deltas"]
    for name, content in deltas.contents.items():
        server.put(f"/celebahq-deltas/{name}", content, Fault("no length", 0.7), Fault("chunked"))
    fetched = downloads(tmp_path, server.url).fetch(deltas.published, deltas.published.files)
    assert [path.read_bytes() for path in fetched] == list(deltas.contents.values())


def test_a_gz_that_is_called_an_encoding_is_kept_as_it_comes(
    server: FaultyServer, datasets: dict[str, DataSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist = datasets["mnist"]
    for name, content in mnist.contents.items():
        file = server.put(f"/mnist/{name}", content)
        monkeypatch.setattr(file, "headers", lambda: {"Content-Encoding": "gzip"})
    fetched = downloads(tmp_path, server.url).fetch(mnist.published, mnist.published.files)
    assert [path.read_bytes() for path in fetched] == list(mnist.contents.values())


def test_proxies_of_the_environment_are_used(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(PATH, CONTENT)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("http_proxy", raising=False)
    assert fetch(tmp_path, big(), "http://files.invalid") == CONTENT
    assert server.requests[0][1]["host"] == "files.invalid"


def test_waits_double_up_to_a_limit_and_heed_what_the_server_asks() -> None:
    patience = Patience(attempts=9, timeout_seconds=1.0, first_wait_seconds=1.0, longest_wait_seconds=20.0)
    for failures, limit in ((1, 1.0), (2, 2.0), (4, 8.0), (9, 20.0)):
        waits = [patience.wait_seconds(failures, 0.0) for _ in range(50)]
        assert limit / 2 <= min(waits)
        assert max(waits) <= limit
        assert len(set(waits)) > 40
    assert patience.wait_seconds(1, 7.0) == 7.0
    assert patience.wait_seconds(1, 500.0) == 500.0
