"""Hostile and broken archives: each is refused with an error that names the file and what is wrong with it."""

import io
import tarfile
import zipfile
from pathlib import Path

import hostile
import numpy as np
import packing
import pytest
from hostile import Build, named

from pipeline.errors import DropReason, SourceError
from pipeline.sources import extraction
from pipeline.sources.archive import list_members, read_members
from pipeline.sources.archive_safety import Limits
from pipeline.sources.listing import list_archive
from pipeline.sources.source import Contents

LIMITS = Limits(member_bytes=1_000_000, total_bytes=2_000_000, ratio=20.0)


DAMAGED = r"the archive is damaged"
DEVICE, FIFO = tarfile.CHRTYPE, tarfile.FIFOTYPE
CASES: dict[str, tuple[dict[str, Build], str]] = {
    "traversal": (named("img/../../000001.jpg"), "leaves the archive"),
    "absolute": (named("/etc/000001.jpg"), "absolute name"),
    "drive": (named("C:/000001.jpg"), "absolute name"),
    "backslash traversal": (named("img\\..\\..\\000001.jpg"), "leaves the archive"),
    "duplicate": (named("000001.jpg", "000001.jpg"), "is there twice"),
    "folder with content": (
        {"zip": hostile.zip_folder_with_content, "7z": hostile.sevenzip_folder_with_content},
        r"member '(000002\.jpg|img/)' is a device, a sparse file or a folder with content",
    ),
    "device": ({"tar": hostile.special(DEVICE)}, "is a device"),
    "pipe": ({"tar": hostile.special(FIFO)}, "is a device"),
    "sparse": ({"tar": hostile.sparse}, "is a device|damaged"),
    "huge member": (
        {
            "tar": hostile.bomb(packing.tar),
            "tar.gz": hostile.bomb(packing.tar_gz),
            "zip": hostile.bomb(packing.zipped),
            "7z": hostile.bomb(packing.sevenzip),
        },
        r"member '000001\.jpg' unpacks to more than the 1000000 bytes that limits\.member_bytes allows",
    ),
    "bomb by ratio": (
        {
            "tar.gz": hostile.bomb(packing.tar_gz, 900_000),
            "zip": hostile.bomb(packing.zipped, 900_000),
            "7z": hostile.bomb(packing.sevenzip, 900_000),
        },
        r"images\.\w+(\.gz)?: unpacks to more than the \d+ bytes that limits\.ratio allows",
    ),
    "bomb by total": (
        {"tar": hostile.many(packing.tar), "zip": hostile.many(packing.zipped), "7z": hostile.many(packing.sevenzip)},
        r"the 2000000 bytes that limits\.total_bytes allows",
    ),
    "header bomb": ({"tar.gz": hostile.header_bomb}, "damaged .*a header of 2147483648 bytes"),
    "understated size": ({"zip": hostile.understated_zip}, DAMAGED),
    "overlapping": ({"zip": hostile.overlapping_zip}, DAMAGED),
    "encrypted": ({"zip": hostile.encrypted_zip, "7z": hostile.encrypted_sevenzip()}, "is encrypted"),
    "encrypted index": ({"7z": hostile.encrypted_sevenzip("-mhe=on")}, "cannot be unpacked .*without encryption"),
    "wrong checksum": (
        {"zip": hostile.flipped(packing.zipped, 0.3), "7z": hostile.flipped(packing.sevenzip, 0.3)},
        DAMAGED,
    ),
    "broken header": (
        {"tar": hostile.flipped(packing.tar, 512 / 71680), "7z": hostile.flipped(packing.sevenzip, 0.9999)},
        f"{DAMAGED}|neither a tar",
    ),
    "cut": ({"tar": hostile.cut(packing.tar, 0.6), "tar.gz": hostile.cut(packing.tar_gz, 0.6)}, DAMAGED),
    "cut index": ({"zip": hostile.cut(packing.zipped, 0.9), "7z": hostile.cut(packing.sevenzip, 0.9)}, DAMAGED),
    "cut early": (
        {
            "tar": hostile.cut(packing.tar, 0.3),
            "tar.gz": hostile.cut(packing.tar_gz, 0.3),
            "zip": hostile.cut(packing.zipped, 0.3),
            "7z": hostile.cut(packing.sevenzip, 0.3),
        },
        DAMAGED,
    ),
    "first part missing": ({"7z": hostile.parts(lambda all_parts: all_parts[0].unlink())}, "no such archive"),
    "part missing": ({"7z": hostile.parts(lambda all_parts: all_parts[2].unlink())}, r"missing: parts\.7z\.003\."),
    "last part missing": ({"7z": hostile.parts(lambda all_parts: all_parts[-1].unlink())}, DAMAGED),
    "parts swapped": ({"7z": hostile.parts(lambda all_parts: hostile.swap(all_parts[1], all_parts[3]))}, DAMAGED),
    "end parts swapped": (
        {"7z": hostile.parts(lambda all_parts: hostile.swap(all_parts[0], all_parts[-1]))},
        f"{DAMAGED}|neither a tar",
    ),
}  # fmt: skip


LINKS: dict[str, Build] = {
    "tar": hostile.tar_links(tarfile.SYMTYPE),
    "tar with hard links": hostile.tar_links(tarfile.LNKTYPE),
    "zip": hostile.zip_links,
    "7z": hostile.sevenzip_links,
}
HARMLESS = {
    "backslash": ("img\\000001.jpg",),
    "case": ("img/a.JPG", "img/A.jpg"),
    "accents": ("\u00e9.jpg", "e\u0301.jpg"),
    "file and folder": ("img", "img/1.jpg"),
    "folder and file": ("img/1.jpg", "img"),
    "space": ("my photo (1).jpg", " a .jpg"),
}
ODD = {
    "control character": ("0000\x0101.jpg", "a control character"),
    "line feed": ("0000\n01.jpg", "a control character"),
    "line feed in a folder": ("im\ng/000001.jpg", "a control character"),
    "overlong name": ("x" * 300 + ".jpg", "longer than the 255 bytes"),
    "overlong path": ("folder/" * 200 + "1.jpg", "longer than 1024 bytes"),
    "dots": ("./img//b.jpg", "the name of another member, img/b.jpg"),
}


@pytest.mark.parametrize("form", ["tar", "zip", "7z"])
@pytest.mark.parametrize("trick", HARMLESS)
def test_names_that_only_some_systems_take_are_kept(trick: str, form: str, tmp_path: Path) -> None:
    listing = list_archive(named(*HARMLESS[trick])[form](tmp_path), None)
    assert (tuple(listing.members), listing.lost, listing.junk) == (HARMLESS[trick], {}, [])


@pytest.mark.parametrize("form", ["tar", "zip", "7z"])
@pytest.mark.parametrize("trick", ODD)
def test_a_member_of_an_odd_name_is_left_out_and_the_others_are_read(trick: str, form: str, tmp_path: Path) -> None:
    name, fault = ODD[trick]
    path = named("img/b.jpg", name, "z.jpg")[form](tmp_path)
    listing = list_archive(path, None)
    assert listing.members == ["img/b.jpg", "z.jpg"]
    ((reason, detail),) = listing.lost.values()
    assert reason == DropReason.ODD_NAME
    assert fault in detail
    assert [read for read, _ in read_members(path, listing.members)] == listing.members


@pytest.mark.parametrize("build", LINKS.values(), ids=LINKS)
def test_a_link_is_left_out_and_neither_followed_nor_unpacked(build: Build, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = build(tmp_path)
    listing = list_archive(path, None)
    assert listing.members == ["a.jpg", "z.jpg"]
    link = (DropReason.ARCHIVED_LINK, "links in an archive are not followed")
    assert listing.lost == dict.fromkeys(["broken.jpg", "outside", "passwd.jpg"], link)
    contents = Contents(images=path.name, numbering="sorted")
    account = extraction.extract(tmp_path, contents, 10, tmp_path / "extract", max_dropped=1.0)
    assert (account.kept, account.dropped) == (2, {"link in an archive": 3})
    container = tmp_path / "extract/extract-00000.tar"
    with tarfile.open(container) as opened:
        assert [info.isreg() for info in opened] == [True, True]
    assert [*read_members(container, ["a.jpg", "z.jpg"])] == [("a.jpg", hostile.PHOTOGRAPH), ("z.jpg", hostile.NOISE)]
    assert not [*outside.iterdir()]
    with pytest.raises(SourceError, match="leaves the archive"):
        list_members(hostile.tar(tmp_path, [(hostile.link("../x.jpg"), b"")]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(build, message, id=f"{trick}: {form}")
        for trick, (forms, message) in CASES.items()
        for form, build in forms.items()
    ],
)
def test_is_refused(build: Build, message: str, tmp_path: Path) -> None:
    path = build(tmp_path)
    with pytest.raises(SourceError, match=message) as refused:
        list(read_members(path, list_members(path, LIMITS)))
    assert path.name.split(".")[0] in str(refused.value)


def test_there_are_enough_cases() -> None:
    assert len(CASES) + len(HARMLESS) + len(ODD) >= 30


@pytest.mark.parametrize("pack", [packing.tar, packing.zipped, packing.sevenzip])
def test_an_archive_in_an_archive_is_no_photograph_and_stays_packed(pack: packing.Pack, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("../000001.jpg", hostile.PHOTOGRAPH)
    path = pack(tmp_path, {"000001.zip": inner.getvalue()})
    contents = Contents(images=path.name, numbering="sorted", landmarks=None, partition=None, attributes=None)
    account = extraction.extract(tmp_path, contents, 10, tmp_path / "extract", max_dropped=1.0)
    assert (account.kept, account.dropped) == (0, {"not an image, nor named as one": 1})


@pytest.mark.parametrize("pack", packing.ALL)
def test_whatever_bytes_an_archive_has_it_is_read_or_refused(pack: packing.Pack, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    path = pack(tmp_path, {f"img/{number:06d}.jpg": hostile.PHOTOGRAPH + bytes([number]) for number in range(5)})
    whole = path.read_bytes()
    refused = 0
    for _ in range(40):
        content = bytearray(whole)
        # the head of the file, and its end, where zip and 7z have their index
        for place in random.integers(0, min(600, len(content)), 3):
            content[place if random.random() < 0.3 else -1 - place] = random.integers(256)
        path.write_bytes(content)
        try:
            for _, read in read_members(path, list_members(path, LIMITS)):
                assert read[:3] == hostile.PHOTOGRAPH[:3] or path.suffix == ".tar"
        except SourceError:
            refused += 1
    assert refused > 0
