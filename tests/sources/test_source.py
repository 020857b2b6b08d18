"""Every kind of source with files of the user's own: checked, linked, described."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import packing
import pytest
import small_sets

from pipeline.errors import SourceError
from pipeline.params import (
    AlignedCelebASource,
    AnySource,
    CelebASource,
    Cifar10Source,
    FolderSource,
    MnistRgbSource,
    MnistSource,
)
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.published import Published, PublishedFile, Terms
from pipeline.sources.registry import SOURCES
from pipeline.sources.source import Arrays, Contents

LANDMARKS = b"1\r\nlefteye_x ...\r\n000001.jpg 1 2 3 4 5 6 7 8 9 10\r\n"
TERMS = Terms(statement="research", licence="none", url="https://example.org")
NOTHING = Published(name="celeba", dataset="CelebA", home="https://example.org", terms=TERMS, files=())


def stage(params: AnySource, published: Published, folder: Path) -> Contents:
    """Stage a source of which nothing is fetched."""
    source = SOURCES[params.kind](params)
    return source.stage(dict.fromkeys(source.manifests, published), cast(Downloads, None), folder, lambda _: None)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "list_landmarks_celeba.txt").write_bytes(LANDMARKS)
    return folder


def _published(user: Path, first: Path) -> Published:
    """A manifest of what lies in `user`, as if its authors had published that."""
    files = [
        PublishedFile(
            path=f"Img/{first.stem}/{path.name}" if path.name.startswith(first.stem) else f"Anno/{path.name}",
            bytes=path.stat().st_size,
            md5=hashlib.md5(path.read_bytes()).hexdigest(),
            drive_id="none",
        )
        for path in sorted(user.iterdir())
    ]
    return NOTHING.model_copy(update={"files": tuple(files)})


def _celeba(user: Path, images: Path) -> CelebASource:
    landmarks = user / "list_landmarks_celeba.txt"
    return CelebASource(kind="celeba", images=images, landmarks=landmarks, partition=None, attributes=None, deltas=None)


def test_a_folder_of_photographs_is_listed_where_it_is(user: Path, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "a.jpg").write_bytes(b"a")
    (photographs / "Thumbs.db").write_bytes(b"b")
    marks = user / "list_landmarks_celeba.txt"
    labels = user / "labels.csv"
    labels.write_text("file,label\na.jpg,cat\n")
    source = FolderSource(kind="folder", images=photographs, landmarks=marks, attributes=labels)
    contents = stage(source, NOTHING, tmp_path / "data")
    assert contents.attributes is not None
    assert (tmp_path / "data" / contents.attributes).read_bytes() == labels.read_bytes()
    assert not contents.classes
    assert contents == Contents.read(tmp_path / "data")
    assert (contents.images, contents.junk, contents.junk_examples) == (str(photographs), 1, ("Thumbs.db",))
    assert contents.landmarks is not None
    assert (tmp_path / "data" / contents.landmarks).read_bytes() == LANDMARKS
    left = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert left == ["attributes.txt", "contents.json", "files.parquet", "landmarks.txt"]
    assert [path.stat().st_nlink for path in (marks, labels, photographs / "a.jpg")] == [1, 1, 1]


@pytest.mark.parametrize("pack", packing.ALL)
def test_an_archive_of_photographs_stays_where_it_is(pack: packing.Pack, tmp_path: Path) -> None:
    given = pack(tmp_path, {"a.jpg": b"a" * 500, "__MACOSX/._a.jpg": b"a"})
    source = FolderSource(kind="folder", images=given, landmarks=Path("detect"), attributes=None)
    contents = stage(source, NOTHING, tmp_path / "data")
    assert (contents.images, contents.listing, contents.junk) == (str(given), None, 1)
    assert given.stat().st_nlink == 1
    assert contents.landmarks is None


def test_published_parts_stay_where_they_are(user: Path, tmp_path: Path) -> None:
    first = packing.sevenzip_parts(user, {"img_celeba/000001.jpg": os.urandom(500)}, 250)
    contents = stage(_celeba(user, first), _published(user, first), tmp_path / "data")
    assert contents.images == str(first)
    assert contents.landmarks == "Anno/list_landmarks_celeba.txt"
    assert contents.partition is None


@pytest.mark.parametrize("damage", ["short", "changed"])
@pytest.mark.parametrize("name", ["parts.7z.002", "list_landmarks_celeba.txt"])
def test_a_published_file_with_other_bytes_is_refused(user: Path, tmp_path: Path, name: str, damage: str) -> None:
    first = packing.sevenzip_parts(user, {"000001.jpg": os.urandom(500)}, 250)
    published = _published(user, first)
    content = (user / name).read_bytes()
    (user / name).write_bytes(content[:-1] if damage == "short" else content[:-1] + bytes([content[-1] ^ 1]))
    fault = rf"{len(content) - 1} bytes, but the published .* has {len(content)}" if damage == "short" else "MD5 is"
    with pytest.raises(SourceError, match=f"{name}: {fault}"):
        stage(_celeba(user, first), published, tmp_path / "data")


def test_missing_published_parts_are_all_named(user: Path, tmp_path: Path) -> None:
    first = packing.sevenzip_parts(user, {"000001.jpg": os.urandom(900)}, 250)
    published = _published(user, first)
    last = sorted(user.glob("parts.7z.*"))[-1]
    last.unlink()
    (user / "parts.7z.002").unlink()
    with pytest.raises(SourceError, match=rf"parts are missing \(parts\.7z\.002, {last.name}\)"):
        stage(_celeba(user, first), published, tmp_path / "data")


def test_only_of_published_archives_the_number_of_photographs_is_known(user: Path, tmp_path: Path) -> None:
    first = packing.sevenzip_parts(user, {"img_celeba/000001.jpg": os.urandom(500)}, 250)
    published = _published(user, first).model_copy(update={"photographs": 202599})
    assert stage(_celeba(user, first), published, tmp_path / "data").photographs == 202599
    mine = packing.sevenzip(user, {"000001.jpg": b"1"})
    assert stage(_celeba(user, mine), published, tmp_path / "data").photographs is None


def test_aligned_photographs_are_checked(user: Path, tmp_path: Path) -> None:
    images = packing.zipped(user, {"img_align_celeba/000001.jpg": os.urandom(500)})
    partition = user / "list_eval_partition.txt"
    partition.write_text("000001.jpg 0\n")
    source = AlignedCelebASource(kind="celeba-128", images=images, partition=partition, attributes=None)
    file = PublishedFile(
        path="Img/images.zip",
        bytes=images.stat().st_size,
        md5=hashlib.md5(images.read_bytes()).hexdigest(),
        drive_id="none",
    )
    published = NOTHING.model_copy(update={"files": (file,), "photographs": 1})
    contents = stage(source, published, tmp_path / "data")
    assert (contents.images, contents.partition) == (str(images), "Eval/list_eval_partition.txt")
    assert (contents.photographs, contents.landmarks, contents.attributes) == (1, None, None)
    images.write_bytes(images.read_bytes()[:-1] + b"x")
    with pytest.raises(SourceError, match=r"images\.zip: MD5 is"):
        stage(source, published, tmp_path / "data")
    with pytest.raises(SourceError, match=r"absent\.zip: no such file .*img_align_celeba\.zip"):
        stage(source.model_copy(update={"images": user / "absent.zip"}), published, tmp_path / "data")


def test_arrays_are_linked_and_described(user: Path, tmp_path: Path) -> None:
    small_sets.cifar10(user / "cifar.tar.gz", small_sets.cifar_batches(1))
    images = small_sets.idx(user / "images.idx", np.zeros((3, 28, 28), np.uint8))
    labels = small_sets.idx(user / "labels.idx", np.arange(3, dtype=np.uint8))
    sources = {
        Cifar10Source(kind="cifar10", archive=user / "cifar.tar.gz"): Arrays(labels=None, draw=None, seed=0),
        MnistSource(kind="mnist", images=images, labels=labels): Arrays(labels="labels.idx", draw=None, seed=0),
        MnistRgbSource(kind="mnist-rgb", images=images, labels=labels, count=7, seed=5): Arrays(
            labels="labels.idx", draw=7, seed=5
        ),
    }
    for source, arrays in sources.items():
        contents = stage(source, NOTHING, tmp_path / "data")
        assert contents.arrays == arrays
        assert (tmp_path / "data" / contents.images).read_bytes() == (user / contents.images).read_bytes()
        assert Contents.read(tmp_path / "data") == contents
    small_sets.idx(labels, np.arange(9, 12, dtype=np.uint8))
    with pytest.raises(SourceError, match=r"labels\.idx: an array of \(3,\) up to 11, expected a label from 0 to 9"):
        stage(MnistSource(kind="mnist", images=images, labels=labels), NOTHING, tmp_path / "data")
    absent = Cifar10Source(kind="cifar10", archive=user / "absent.tar.gz")
    with pytest.raises(SourceError, match=r"absent\.tar\.gz: no such file"):
        stage(absent, NOTHING, tmp_path / "data")


def test_a_file_of_another_name_is_taken_as_it_is(user: Path, tmp_path: Path) -> None:
    first = packing.sevenzip_parts(user, {"000001.jpg": os.urandom(500)}, 250)
    published = _published(user, first)
    sample = user / "list_landmarks_celeba.sample.txt"
    sample.write_bytes(b"1\n")
    source = _celeba(user, first).model_copy(update={"landmarks": sample})
    contents = stage(source, published, tmp_path / "data")
    assert contents.landmarks is not None
    assert (tmp_path / "data" / contents.landmarks).read_bytes() == b"1\n"


def test_nothing_of_an_earlier_run_stays(user: Path, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "000001.jpg").write_bytes(b"a")
    stage(_celeba(user, photographs), NOTHING, tmp_path / "data")
    stage(FolderSource(kind="folder", images=photographs, landmarks=None, attributes=None), NOTHING, tmp_path / "data")
    left = sorted(path.name for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert left == ["contents.json", "files.parquet"]


def test_a_folder_that_was_not_staged_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Run dvc repro download"):
        Contents.read(tmp_path)


def test_delta_archives_are_linked_and_a_page_in_their_place_is_refused(user: Path, tmp_path: Path) -> None:
    first = packing.sevenzip_parts(user, {"img_celeba/000001.jpg": b"photograph"}, 250)
    source = _celeba(user, first).model_copy(update={"deltas": tmp_path / "deltas"})
    (tmp_path / "deltas").mkdir()
    with pytest.raises(SourceError, match=r"no deltasNNNNN\.zip"):
        stage(source, NOTHING, tmp_path / "data")
    with zipfile.ZipFile(tmp_path / "deltas" / "deltas00000.zip", "w") as archive:
        archive.writestr("delta00000.dat", b"token")
    stage(source, NOTHING, tmp_path / "data")
    assert (tmp_path / "data/deltas/deltas00000.zip").read_bytes() == (tmp_path / "deltas/deltas00000.zip").read_bytes()
    (tmp_path / "deltas" / "deltas01000.zip").write_bytes(b"<html>Quota exceeded</html>")
    with pytest.raises(SourceError, match=r"deltas01000\.zip: 27 bytes that start with b'<html>Quota"):
        stage(source, NOTHING, tmp_path / "data")
