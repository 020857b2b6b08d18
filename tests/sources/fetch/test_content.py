"""What a file's own bytes tell, and pages that are none of them."""

import random
import time
from pathlib import Path

import pytest
import web_pages
from tiny_sources import DataSet

from pipeline.sources.fetch import content, drive_pages


def test_every_source_starts_as_its_name_says_and_no_page_does(datasets: dict[str, DataSet]) -> None:
    for data in datasets.values():
        for path, held in data.contents.items():
            assert content.wrong_start(path, held[: content.HEAD_BYTES]) is None
            assert not drive_pages.is_page(held[: content.HEAD_BYTES])
            if path.endswith((".zip", ".gz", ".001")):
                assert "as no" in str(content.wrong_start(path, web_pages.QUOTA))
    assert "no text" in str(content.wrong_start("list.txt", b"a\0b"))


@pytest.mark.parametrize(
    ("page", "cause"),
    [
        (web_pages.QUOTA, "download quota is used up"),
        (web_pages.LOGIN, "login page"),
        (web_pages.virus_scan("x"), "virus-scan page"),
        (web_pages.PARKED, "'Welcome to our new home'"),
        (b"<html><body>Our systems have detected unusual traffic from your computer network", "automated requests"),
        (b"<html><title>Google Drive: Access Denied</title>", "access to this file is denied"),
        (b"<!DOCTYPE HTML><p>hello", "no title"),
        (web_pages.XHTML, "download quota is used up"),
    ],
)
def test_pages_are_told_apart(page: bytes, cause: str) -> None:
    assert drive_pages.is_page(page)
    assert cause in drive_pages.fault_of(page, 200).cause


@pytest.mark.parametrize("piece", [b"<!---->", b"<!-- ", b"<?xml ?>", b" ", b"<title", b"<title>"])
def test_pages_are_told_in_a_time_that_grows_with_their_length(piece: bytes) -> None:
    """A server could otherwise hold a run for ever with a few hundred bytes."""
    page = piece * (drive_pages.PAGE_BYTES // len(piece)) + b"x"
    begin = time.process_time()
    assert not drive_pages.is_page(page) or piece.startswith(b"<title")
    assert "no title" in drive_pages.fault_of(page, 200).cause
    assert time.process_time() - begin < 2


def test_the_virus_scan_form_gives_its_own_fields_only() -> None:
    fields = drive_pages.confirmation(web_pages.virus_scan("abc"))
    assert fields == {
        "id": "abc",
        "export": "download",
        "confirm": "t",
        "uuid": "5e0c1a2b-0000-4e5f-8a9b-0c1d2e3f4a5b",
    }
    assert drive_pages.confirmation(web_pages.QUOTA) == {}


@pytest.mark.parametrize("source", ["celebahq-deltas", "mnist", "cifar10", "lsun"])
def test_an_archive_cut_or_changed_anywhere_is_damaged(
    source: str, datasets: dict[str, DataSet], tmp_path: Path
) -> None:
    name, whole = next(iter(datasets[source].contents.items()))
    file = tmp_path / "x"
    file.write_bytes(whole)
    assert content.tells_damage(name)
    assert content.damage(file, name) is None
    randomness = random.Random(3)
    found = 0
    for _ in range(20):
        file.write_bytes(whole[: randomness.randrange(len(whole))])
        assert content.damage(file, name)
        changed = bytearray(whole)
        changed[randomness.randrange(200, len(whole) - 2000)] ^= 1 << randomness.randrange(8)
        file.write_bytes(changed)
        found += content.damage(file, name) is not None
    # the sum of a gz covers every byte, those of a zip all but what stands between its members
    assert found == 20 if name.endswith(".gz") else found >= 18
