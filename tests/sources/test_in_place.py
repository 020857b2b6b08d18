"""A user's folder: listed, read in place, every file accounted for, nothing of it changed."""

import hashlib
import os
import socket
from pathlib import Path
from typing import cast

import pytest

from pipeline import manifest
from pipeline.container import read_stored
from pipeline.errors import DropReason, SourceError
from pipeline.manifest import Accounting, Drop, Photograph
from pipeline.params import FolderSource
from pipeline.sources import extraction, listing
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.folder import Folder
from pipeline.sources.source import Contents

JPEG = b"\xff\xd8\xff\xe0"
DATA, DOWNLOAD, WORK = Path("data"), Path("data/download"), Path("data/extract")


@pytest.fixture(autouse=True)
def _at_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fill(folder: Path, *names: str | bytes) -> None:
    """Write a photograph of its own for each name."""
    for name in names:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + os.fsencode(name))


def stage(images: Path, **more: object) -> Contents:
    source = Folder(FolderSource.model_validate({"kind": "folder", "images": images, "landmarks": None} | more))
    return source.stage({}, cast(Downloads, None), DOWNLOAD, lambda _: None)


def extract(images: Path = Path("mine"), **more: object) -> tuple[Accounting, dict[str, Photograph], dict[str, Drop]]:
    contents = stage(images, attributes=more.pop("attributes", None))
    account = extraction.extract(DOWNLOAD, contents, 3, WORK, max_dropped=1.0)
    kept = manifest.read_kept(WORK / "extract.parquet", Photograph)
    dropped = manifest.read_dropped(WORK / "extract.parquet")
    assert account.given == len(kept) + len(dropped)
    assert sorted(row.index for row in [*kept, *dropped]) == list(range(account.given))
    return account, {row.file: row for row in kept}, {drop.file: drop for drop in dropped}


NAMES = (
    "a.jpg", "A.JPG", "my photo (1).jpg", " leading.jpg", "trailing .jpg", "\u00e9.jpg", "e\u0301.jpg", "日本/写真.jpg",
    "new\nline.jpg", "tab\there.jpg", "back\\slash.jpg", "-rf.jpg", "'\".jpg", "a/b/c/d.jpg", "no suffix",
    "x" * 240 + ".jpg", "/".join(["deep" * 50] * 15) + "/e.jpg", "%41.jpg", "🙂.png", ".hidden.jpg",
)  # fmt: skip


def test_photographs_of_any_name_are_read_where_they_are(tmp_path: Path) -> None:
    fill(Path("mine"), *NAMES)
    before = {path: path.stat() for path in Path("mine").rglob("*")}
    _, kept, dropped = extract()
    assert (set(kept), dropped) == (set(NAMES), {})
    for name, row in kept.items():
        stored, path = row.photograph, Path("mine", name)
        assert (stored.container, stored.offset) == (f"../mine/{name}", 0)
        assert stored.md5 == hashlib.md5(path.read_bytes()).hexdigest()
        assert read_stored(DATA, stored) == read_stored(tmp_path / DATA, stored) == JPEG + os.fsencode(name)
    after = {path: path.stat() for path in Path("mine").rglob("*")}
    assert {p: (s.st_mode, s.st_nlink, s.st_ino, s.st_mtime_ns) for p, s in before.items()} == {
        p: (s.st_mode, s.st_nlink, s.st_ino, s.st_mtime_ns) for p, s in after.items()
    }
    assert sorted(path.name for path in DATA.rglob("*.*")) == ["contents.json", "extract.parquet", "files.parquet"]


def test_the_table_does_not_depend_on_where_the_checkout_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_of: list[tuple[bytes, bytes]] = []
    for root in ("one", "two/deeper"):
        (tmp_path / root).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / root)
        fill(Path("mine"), "b.jpg", "a.jpg", "notes.txt")
        extract(Path.cwd() / "mine" if root == "one" else Path("mine"))
        bytes_of.append(((DOWNLOAD / "contents.json").read_bytes(), (WORK / "extract.parquet").read_bytes()))
    assert bytes_of[0] == bytes_of[1]
    fill(tmp_path / "elsewhere", "a.jpg")
    monkeypatch.chdir(tmp_path / "one")
    (WORK / "extract.parquet").unlink()
    (row,) = extract(tmp_path / "elsewhere")[1].values()
    assert row.photograph.container == str(tmp_path / "elsewhere/a.jpg")
    assert read_stored(DATA, row.photograph) == JPEG + b"a.jpg"


def test_names_that_are_no_text_are_kept_as_copies() -> None:
    fill(Path("mine"), "a.jpg", b"caf\xe9.jpg", b"d\xff/b.jpg")
    _, kept, _ = extract()
    assert {name: row.photograph.container for name, row in kept.items()} == {
        "a.jpg": "../mine/a.jpg",
        "caf\\xe9.jpg": "extract/extract-00000.tar",
        "d\\xff/b.jpg": "extract/extract-00000.tar",
    }
    assert read_stored(DATA, kept["d\\xff/b.jpg"].photograph) == JPEG + b"d\xff/b.jpg"


def test_links_are_followed_and_what_they_lose_is_named() -> None:
    fill(Path("mine"), "a.jpg", "sub/b.jpg")
    fill(Path("elsewhere"), "c.jpg")
    mine = Path("mine")
    links = {
        "linked": "../elsewhere", "copy.jpg": "a.jpg", "gone.jpg": "../nowhere.jpg", "sub/up": "..", "self": "self",
        "mutual": "other", "other": "mutual",
    }  # fmt: skip
    for name, target in links.items():
        (mine / name).symlink_to(target)
    fill(Path("elsewhere"), "back/e.jpg")
    Path("elsewhere/back/home").symlink_to("../../mine")
    account, kept, dropped = extract()
    assert set(kept) == {"a.jpg", "copy.jpg", "sub/b.jpg", "linked/c.jpg", "linked/back/e.jpg"}
    assert {name: drop.reason for name, drop in dropped.items()} == {
        "gone.jpg": DropReason.BROKEN_LINK,
        "sub/up": DropReason.LINK_LOOP,
        "self": DropReason.LINK_LOOP,
        "mutual": DropReason.LINK_LOOP,
        "other": DropReason.LINK_LOOP,
        "linked/back/home": DropReason.LINK_LOOP,
    }
    assert "../nowhere.jpg" in dropped["gone.jpg"].detail
    assert account.kept == 5
    assert listing.list_folder(mine).twice == {"copy.jpg": "a.jpg"}


def test_what_is_no_file_or_cannot_be_read_is_dropped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Path("mine"), "a.jpg", "secret.jpg", "locked/b.jpg")
    os.mkfifo("mine/pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("mine/socket")
    Path("mine/null.png").symlink_to("/dev/null")
    original_open, original_scan = os.open, os.scandir

    def refuse(path: object, *rest: int, **more: int) -> int:
        if str(path).endswith("secret.jpg"):
            raise PermissionError(13, "Permission denied", str(path))
        return original_open(path, *rest, **more)  # type: ignore[arg-type]

    def refuse_folder(path: object) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return original_scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    monkeypatch.setattr(os, "scandir", refuse_folder)
    _, kept, dropped = extract()
    assert set(kept) == {"a.jpg"}
    assert {name: (drop.reason, drop.detail) for name, drop in dropped.items()} == {
        "secret.jpg": (DropReason.UNREADABLE, "Permission denied"),
        "locked": (DropReason.UNREADABLE, "a folder: Permission denied"),
        "pipe.jpg": (DropReason.NOT_A_FILE, "a pipe (FIFO)"),
        "socket": (DropReason.NOT_A_FILE, "a socket"),
        "null.png": (DropReason.NOT_A_FILE, "a device"),
    }


JUNK = (
    ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "set1/._a.jpg", ".picasa.ini", "Icon\r",
    "set1/ehthumbs.db", "a.jpg:Zone.Identifier", ".nomedia",
)  # fmt: skip
JUNK_FOLDERS = ("__MACOSX", "@eaDir", ".thumbnails", "set1/@eaDir", "$RECYCLE.BIN", ".Trash-1000", ".git", "#recycle")


def test_junk_is_counted_apart() -> None:
    fill(Path("mine"), "set1/a.jpg", "Thumbs.jpg", *JUNK, *(f"{folder}/b/x.jpg" for folder in JUNK_FOLDERS))
    account, kept, _ = extract()
    assert (set(kept), account.given) == ({"set1/a.jpg", "Thumbs.jpg"}, 2)
    contents = Contents.read(DOWNLOAD)
    assert contents.junk == len(JUNK) + len(JUNK_FOLDERS)
    assert len(contents.junk_examples) == 5


def test_other_files_do_not_count_as_lost_photographs() -> None:
    others = ("a.xmp", "a.jpg.json", "notes.txt", "clip.MOV", "README")
    for name in others:
        Path("mine").mkdir(exist_ok=True)
        Path("mine", name).write_bytes(b"no image")
    fill(Path("mine"), "a.jpg", "b.jpg")
    contents = stage(Path("mine"), attributes=None)
    account = extraction.extract(DOWNLOAD, contents, 2, WORK, max_dropped=0.0)
    assert account == Accounting(7, 2, {"not an image, nor named as one": 5})
    Path("mine/c.jpg").write_bytes(b"<html>")
    _, _, dropped = extract_again()
    assert dropped["c.jpg"].reason == DropReason.NOT_AN_IMAGE
    assert "text" in dropped["clip.MOV"].detail


def extract_again() -> tuple[Accounting, dict[str, Photograph], dict[str, Drop]]:
    (WORK / "extract.parquet").unlink()
    return extract()


def test_a_large_file_that_is_no_image_is_not_read() -> None:
    fill(Path("mine"), "a.jpg")
    with Path("mine/film.MOV").open("wb") as file:
        file.truncate(1 << 40)
    _, kept, dropped = extract()
    assert (set(kept), set(dropped)) == ({"a.jpg"}, {"film.MOV"})
    assert dropped["film.MOV"].detail.endswith("(1099511627776 bytes)")


def test_a_photograph_that_changed_or_is_gone_is_named_with_the_remedy() -> None:
    fill(Path("mine"), "a.jpg", "d/b.jpg")
    _, kept, _ = extract()
    stored = kept["a.jpg"].photograph
    for content in (b"longer than before", JPEG + b"a.jpG", b""):
        Path("mine/a.jpg").write_bytes(content)
        with pytest.raises(
            SourceError, match=r"mine/a\.jpg: this photograph has changed since .*Run again .dvc repro.: then"
        ):
            read_stored(DATA, stored)
    Path("mine/a.jpg").unlink()
    with pytest.raises(SourceError, match=r"mine/a\.jpg: this photograph is gone since .*Run again .dvc repro"):
        read_stored(DATA, stored)
    Path("mine/d/b.jpg").unlink()
    Path("mine/d").rmdir()
    Path("mine/d").touch()
    with pytest.raises(SourceError, match=r"mine/d/b\.jpg: this photograph is gone"):
        read_stored(DATA, kept["d/b.jpg"].photograph)


def test_a_killed_run_is_continued_only_if_the_photographs_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(Path("mine"), *(f"{number}.jpg" for number in range(7)))
    contents = stage(Path("mine"), attributes=None)
    read: list[str] = []
    original = extraction.open_regular

    def stopping(path: Path) -> object:
        read.append(path.name)
        if len(read) == 5:
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(extraction, "open_regular", stopping)
    with pytest.raises(KeyboardInterrupt):
        extraction.extract(DOWNLOAD, contents, 3, WORK, max_dropped=1.0)
    extraction.extract(DOWNLOAD, contents, 3, WORK, max_dropped=1.0)
    assert read[5:] == ["3.jpg", "4.jpg", "5.jpg", "6.jpg"]
    assert sorted(path.name for path in WORK.iterdir()) == ["extract.parquet"]

    (WORK / "extract.parquet").unlink()
    read.clear()
    with pytest.raises(KeyboardInterrupt):
        extraction.extract(DOWNLOAD, contents, 3, WORK, max_dropped=1.0)
    Path("mine/0.jpg").write_bytes(JPEG + b"other")
    extraction.extract(DOWNLOAD, contents, 3, WORK, max_dropped=1.0)
    rows = manifest.read_kept(WORK / "extract.parquet", Photograph)
    assert read_stored(DATA, rows[0].photograph) == JPEG + b"other"


def test_a_photograph_that_vanishes_meanwhile_is_dropped() -> None:
    fill(Path("mine"), "a.jpg", "b.jpg")
    contents = stage(Path("mine"), attributes=None)
    Path("mine/a.jpg").unlink()
    account = extraction.extract(DOWNLOAD, contents, 3, WORK, max_dropped=1.0)
    assert account == Accounting(2, 1, {"unreadable file": 1})


def test_an_empty_folder_is_an_error() -> None:
    Path("mine").mkdir()
    with pytest.raises(SourceError, match=r"mine: no file in this folder\. Put the photographs there"):
        stage(Path("mine"), attributes=None)
    fill(Path("mine"), ".DS_Store")
    with pytest.raises(SourceError, match="no file in this folder but 1 files of systems and programs"):
        stage(Path("mine"), attributes=None)
