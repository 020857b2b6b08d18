"""Signatures, checksums, and web pages in place of files."""

import random
import time
from pathlib import Path

import pytest
import web_pages
from tiny_sources import DataSet

from pipeline.sources.fetch import content, drive_pages


def test_every_source_has_the_signature_of_its_name_and_no_page_has(datasets: dict[str, DataSet]) -> None:
    for data in datasets.values():
        for path, held in data.contents.items():
            assert content.wrong_signature(path, held[: content.HEAD_BYTES]) is None
            assert not drive_pages.is_page(held[: content.HEAD_BYTES])
            if path.endswith((".zip", ".gz", ".001")):
                assert "as no" in str(content.wrong_signature(path, web_pages.QUOTA))
    assert "not a text file" in str(content.wrong_signature("list.txt", b"a\0b"))


@pytest.mark.parametrize(
    ("page", "cause"),
    [
        (web_pages.QUOTA, "download quota of this file is used up"),
        (web_pages.LOGIN, "login page"),
        (web_pages.virus_scan("x"), "virus-scan page did not lead to the file"),
        (web_pages.PARKED, "'Welcome to our new home'"),
        (b"<html><body>Our systems have detected unusual traffic from your computer network", "automated requests"),
        (b"<html><title>Google Drive: Access Denied</title>", "access to this file is denied"),
        (b"<!DOCTYPE HTML><p>hello", "no title"),
        (web_pages.XHTML, "download quota of this file is used up"),
    ],
)
def test_known_pages_are_recognised(page: bytes, cause: str) -> None:
    assert drive_pages.is_page(page)
    assert cause in drive_pages.page_error(page, 200).cause


@pytest.mark.parametrize("piece", [b"<!---->", b"<!-- ", b"<?xml ?>", b" ", b"<title", b"<title>"])
def test_recognising_a_page_takes_time_linear_in_its_length(piece: bytes) -> None:
    """Otherwise a server could stop a run with a few hundred bytes."""
    page = piece * (drive_pages.PAGE_BYTES // len(piece)) + b"x"
    begin = time.process_time()
    assert not drive_pages.is_page(page) or piece.startswith(b"<title")
    assert "no title" in drive_pages.page_error(page, 200).cause
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
def test_an_archive_cut_or_changed_anywhere_fails_its_checksums(
    source: str, datasets: dict[str, DataSet], tmp_path: Path
) -> None:
    name, whole = next(iter(datasets[source].contents.items()))
    file = tmp_path / "x"
    file.write_bytes(whole)
    assert content.has_checksums(name)
    assert content.wrong_checksum(file, name) is None
    randomness = random.Random(3)
    found = 0
    for _ in range(20):
        file.write_bytes(whole[: randomness.randrange(len(whole))])
        assert content.wrong_checksum(file, name)
        changed = bytearray(whole)
        changed[randomness.randrange(200, len(whole) - 2000)] ^= 1 << randomness.randrange(8)
        file.write_bytes(changed)
        found += content.wrong_checksum(file, name) is not None
    # the checksum of a gz covers every byte, those of a zip only its members
    assert found == 20 if name.endswith(".gz") else found >= 18
