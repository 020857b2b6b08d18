"""The files of LSUN as published: one zip per category, holding one LMDB; where they are, and how they are unpacked."""

import re
import shutil
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.params import CATEGORIES, LsunCategory
from pipeline.params.section import PositiveInt, Sha256
from pipeline.sources.lsun.image_folder import has_images
from pipeline.sources.published import Fact, PublishedFile, PublishedPath, Source

DATABASE = "data.mdb"


class PublishedArchive(Fact):
    """One zip: its path below `PublishedLsun.home`, and how many images it holds."""

    zip: PublishedPath
    images: PositiveInt
    bytes: PositiveInt
    sha256: Sha256

    @property
    def folder(self) -> str:
        """The folder that the zip unpacks to."""
        return PurePosixPath(self.zip).stem

    @property
    def file(self) -> PublishedFile:
        """The zip as a file to check copies against."""
        return PublishedFile(path=self.zip, bytes=self.bytes, sha256=self.sha256)


class PublishedCategory(PublishedArchive):
    """One category's images, or those for training; `validation` where a second zip holds others."""

    validation: PublishedArchive | None = None


class PublishedLsun(Source):
    """All of LSUN, by the names that Karras et al. 2018 use (`manifests/lsun.yaml`)."""

    categories: dict[LsunCategory, PublishedCategory]

    def file(self, archive: PublishedArchive) -> PublishedFile:
        """An archive as a file to fetch."""
        return archive.file.model_copy(update={"urls": (f"{self.home}{archive.zip}",)})


def find(directory: Path, name: LsunCategory, category: PublishedCategory, *, only: bool) -> Path:
    """The category `name` in `directory`: its `data.mdb`, zip or folder of images.

    Looked for are the published names, in the publisher's tree or directly; then a folder named as the category, in any
    spelling, that holds a `data.mdb` or images. `directory` itself may be that folder; if the category is the `only`
    one, with any name but that of another category.

    Raises `SourceError` if nothing is there, or another category, or if the zip has not the published size and hash.
    """
    trees = [directory, directory / PurePosixPath(category.zip).parent]
    unpacked = [tree / category.folder / DATABASE for tree in trees]
    zipped = [tree / PurePosixPath(category.zip).name for tree in trees]
    path = next((path for path in (*unpacked, *zipped) if path.is_file()), None)
    if path is None:
        named = [below for tree in trees if tree.is_dir() for below in sorted(tree.iterdir()) if _is_of(below, name)]
        path = next((found for folder in named if (found := _in_folder(folder)) is not None), None)
    if path is None and (only or _is_of(directory.absolute(), name)):
        path = _in_folder(directory)
        if path is not None:
            _refuse_other(path.absolute(), name)
    if path is None:
        places = "\n  ".join(map(str, dict.fromkeys((*unpacked, *zipped))))
        raise SourceError(
            f"{directory}: no database of this category; looked for\n  {places}\n  and a folder named {name} with a "
            f"{DATABASE} or images.\nSet lsun.source.directory."
        )
    fault = category.file.fault_of(path) if path in zipped else None
    if fault is not None:
        raise SourceError(
            f"{path}: {fault}. The copy is incomplete or damaged: fetch it again, or unpack a database of your own "
            f"to {unpacked[0].parent}."
        )
    return path


def _is_of(folder: Path, name: LsunCategory, part: str = "train") -> bool:
    """Whether a folder or file is named as the category, in LSUN's or the paper's spelling, or as that part of it."""
    plain = re.sub("[^a-z0-9]", "", folder.name.lower())
    return re.fullmatch(f"(lsun)?{name}({part})?(lmdb|mdb|webp|jpg|png|images)?", plain) is not None


def _refuse_other(path: Path, name: LsunCategory) -> None:
    """Raise `SourceError` if the name of a database, or of its folder, or of a folder of images is another category."""
    path = path.parent if path.name == DATABASE else path
    for other in CATEGORIES:
        if other not in (name, "train") and _is_of(path, other, "train|val"):  # `train` may be that part of any
            raise SourceError(
                f"{path}: by its name {other}, but lsun.categories has {name}. Write {other} there, set "
                f"lsun.source.directory to a folder of {name}, or rename the folder if it holds {name}."
            )


def _in_folder(path: Path) -> Path | None:
    """The database in a folder, or the folder itself if it holds images; a database file itself."""
    if path.is_file():
        return path if path.suffix == PurePosixPath(DATABASE).suffix else None
    if (path / DATABASE).is_file():
        return path / DATABASE
    return path if path.is_dir() and has_images(path) else None


@contextmanager
def _open_zip(path: Path) -> Generator[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    """The published zip, and its one `data.mdb`; an error of its library names the file and the remedy."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == DATABASE]
            if len(found) != 1:
                raise SourceError(
                    f"{path}: holds {len(found)} files named {DATABASE}, an LSUN category has one; fetch it again"
                )
            yield archive, found[0]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{path}: damaged or incomplete ({error}); fetch it again") from error
    except RuntimeError as error:  # encryption; a subclass: methods that zipfile does not know
        raise SourceError(
            f"{path}: cannot be unpacked ({error}). The published zips can: fetch it again, or unpack it by hand and "
            f"set lsun.source.directory to the folder that holds {path.stem}/{DATABASE}."
        ) from error


def unpack(path: Path, scratch: Path) -> Path:
    """Unpack the database of the zip `path` below `scratch`, or find it unpacked there; return its file.

    Whatever else is below `scratch` is removed first: other databases, and what a killed run left half unpacked.
    Raises `SourceError` if the zip is damaged or holds no single database, or the disk is too small.
    """
    with _open_zip(path) as (archive, info):
        target = scratch / f"{info.CRC:08x}-{info.file_size}" / DATABASE
        for other in scratch.glob("*/"):
            if other != target.parent or not target.exists():
                shutil.rmtree(other)
        if target.exists():
            return target
        scratch.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(scratch).free
        if free < info.file_size:
            raise SourceError(
                f"{path}: unpacks to {info.file_size} bytes, but {scratch.resolve()} has {free} free. Free some, or "
                f"unpack it elsewhere and set lsun.source.directory to the folder that holds {path.stem}/{DATABASE}."
            )
        with archive.open(info) as packed, atomic.writing(target) as partial, partial.open("wb") as file:
            shutil.copyfileobj(packed, file, 2**20)  # reading to the end checks the zip's CRC
    return target


def check_count(category: PublishedCategory, database: Path, records: int, max_images: int | None) -> str | None:
    """Compare the records of a database with the published, unverified count; return the difference.

    Raises `SourceError` if there are fewer than `max_images`, though as many are published.
    """
    if records == category.images:
        return None
    fault = f"{database}: holds {records} records, published are {category.images}"
    if max_images is not None and records < max_images <= category.images:
        raise SourceError(
            f"{fault}; lsun.max_images is {max_images}. Lower it, or correct the count in manifests/lsun.yaml."
        )
    return fault
