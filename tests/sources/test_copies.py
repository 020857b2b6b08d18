"""Copies of CelebA as people have them: from Kaggle, from Drive, unpacked, converted."""

from pathlib import Path
from typing import Any, cast

import packing
import pytest

from pipeline import manifest
from pipeline.errors import SourceError
from pipeline.manifest import Photograph
from pipeline.params import AlignedCelebASource, CelebASource
from pipeline.sources import extraction
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.published import Published, Terms
from pipeline.sources.registry import SOURCES
from stages import MANIFESTS, read_manifest

ROOT = Path(__file__).parents[2]
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
NUMBERS = range(1, 4)
LANDMARKS = "".join(f"{number:06d}.jpg 1 2 3 4 5 6 7 8 9 10\n" for number in NUMBERS)
NOTHING = Published(
    name="celeba",
    dataset="CelebA",
    home="https://example.org",
    terms=Terms(statement="research", licence="none", url="https://example.org"),
    files=(),
)


def members(folder: str, suffix: str = ".jpg", start: bytes = JPEG) -> dict[str, bytes]:
    return {f"{folder}{number:06d}{suffix}": start + bytes([number]) * 300 for number in NUMBERS}


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def rename_parts(first: Path, folder: Path, stem: str) -> None:
    """Move the parts of an archive into a folder, under another name."""
    folder.mkdir(parents=True)
    for part in first.parent.glob(f"{first.stem}.*"):
        part.rename(folder / f"{stem}{part.suffix}")


def kept(tmp_path: Path, kind: str, images: Path, landmarks: Path | None = None, **more: Any) -> dict[str, int]:
    """Names and indices of the photographs that come out."""
    source: dict[str, Any] = {"kind": kind, "images": images, "partition": None, "attributes": None} | more
    if kind == "celeba":
        marks = tmp_path / "marks.txt"
        marks.write_text(LANDMARKS)
        source |= {"landmarks": landmarks or marks, "deltas": None}
    params = SECTIONS[kind].model_validate(source)
    contents = SOURCES[kind](params).stage(
        {"celeba": NOTHING, "celebahq-deltas": NOTHING}, cast(Downloads, None), tmp_path / "download", lambda _: None
    )
    extraction.extract(tmp_path / "download", contents, 2, tmp_path / "extract", max_dropped=1.0)
    return {row.file: row.index for row in manifest.read_kept(tmp_path / "extract/extract.parquet", Photograph)}


SECTIONS = {"celeba": CelebASource, "celeba-128": AlignedCelebASource}
PUBLISHED_NAMES = {f"{number:06d}.jpg": number - 1 for number in NUMBERS}


@pytest.mark.parametrize("kind", ["celeba", "celeba-128"])
def test_nested_and_unpacked_folders(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "kaggle", members("img_align_celeba/img_align_celeba/"))
    write(tmp_path / "kaggle", {"list_attr_celeba.csv": b"image_id,Bald\n", "img_align_celeba/.DS_Store": b""})
    marks = tmp_path / "kaggle/list_landmarks_align_celeba.csv"
    marks.write_text("lefteye_x\n")
    for place in (".", "img_align_celeba", "img_align_celeba/img_align_celeba"):
        assert kept(tmp_path, kind, tmp_path / "kaggle" / place, marks) == PUBLISHED_NAMES
        (tmp_path / "extract/extract.parquet").unlink()


def test_kaggles_zip(tmp_path: Path) -> None:
    zipped = packing.zipped(
        tmp_path, members("img_align_celeba/img_align_celeba/") | {"list_attr_celeba.csv": b"image_id,Bald\n"}
    )
    assert kept(tmp_path, "celeba-128", zipped) == PUBLISHED_NAMES
    (tmp_path / "extract/extract.parquet").unlink()
    (tmp_path / "own").mkdir()
    zipped.rename(tmp_path / "own/photos.zip")
    assert kept(tmp_path, "celeba-128", tmp_path / "own") == PUBLISHED_NAMES, "a folder that holds just an archive"


def test_drives_folder_of_parts_and_its_parents(tmp_path: Path) -> None:
    image_folder = tmp_path / "CelebA/Img"
    rename_parts(
        packing.sevenzip_parts(tmp_path, members("img_celeba/"), 150), image_folder / "img_celeba.7z", "img_celeba.7z"
    )
    write(image_folder, {"img_align_celeba.zip": b"PK", "img_align_celeba_png.7z/img_align_celeba_png.7z.001": b"7z"})
    write(tmp_path / "CelebA", {"Anno/list_attr_celeba.txt": b"", **members("Img/img_align_celeba/")})
    for place in (image_folder / "img_celeba.7z", image_folder, tmp_path / "CelebA"):
        assert kept(tmp_path, "celeba", place) == PUBLISHED_NAMES
        (tmp_path / "extract/extract.parquet").unlink()
    (image_folder / "img_celeba.7z/img_celeba.7z.001").unlink()
    with pytest.raises(SourceError, match=r"holds img_celeba\.7z\.002, but not img_celeba\.7z\.001, the first part"):
        kept(tmp_path, "celeba", image_folder / "img_celeba.7z")


def test_several_archives_are_named(tmp_path: Path) -> None:
    write(tmp_path / "own", {"a.zip": b"PK", "b.tar": b""})
    with pytest.raises(SourceError, match=r"own: holds no photographs but 2 archives \(a\.zip, b\.tar\)\. Name one"):
        kept(tmp_path, "celeba", tmp_path / "own")


@pytest.mark.parametrize(("suffix", "start"), [(".png", PNG), (".JPG", JPEG), (".jpeg", JPEG)])
def test_copies_in_other_formats_have_the_published_numbers(suffix: str, start: bytes, tmp_path: Path) -> None:
    write(tmp_path / "own", members("img_align_celeba_png/", suffix, start))
    found = kept(tmp_path, "celeba-128", tmp_path / "own/img_align_celeba_png")
    assert found == {f"{number:06d}{suffix}": number - 1 for number in NUMBERS}


def test_png_copies_in_parts(tmp_path: Path) -> None:
    first = packing.sevenzip_parts(tmp_path, members("img_align_celeba_png/", ".png", PNG), 150)
    rename_parts(first, tmp_path / "own/img_align_celeba_png.7z", "img_align_celeba_png.7z")
    found = kept(tmp_path, "celeba-128", tmp_path / "own/img_align_celeba_png.7z")
    assert found == {f"{number:06d}.png": number - 1 for number in NUMBERS}


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_landmarks_of_the_other_photographs_are_refused_by_name(suffix: str, tmp_path: Path) -> None:
    listed = {Path(file.path).name for file in read_manifest(ROOT / MANIFESTS / "celeba.yaml", Published).files}
    assert {"list_landmarks_align_celeba.txt", "list_landmarks_celeba.txt", "img_align_celeba.zip"} <= listed
    write(tmp_path / "img_celeba", members(""))
    write(tmp_path / "img_align_celeba", members(""))
    aligned, wild = (tmp_path / f"list_landmarks_{name}celeba{suffix}" for name in ("align_", ""))
    for path in (aligned, wild):
        path.write_text(LANDMARKS)
    with pytest.raises(SourceError, match=rf"align_celeba\{suffix}: this file belongs to img_align_celeba\.zip"):
        kept(tmp_path, "celeba", tmp_path / "img_celeba", aligned)
    with pytest.raises(SourceError, match=rf"landmarks_celeba\{suffix}: this file belongs to img_celeba\.7z"):
        kept(tmp_path, "celeba", tmp_path / "img_align_celeba", wild)
    assert kept(tmp_path, "celeba", tmp_path / "img_align_celeba", aligned) == PUBLISHED_NAMES
