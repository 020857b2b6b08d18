"""The files of LSUN as published: one zip per category, holding one LMDB; where they lie, and how they are unpacked."""

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.params import LsunCategory
from pipeline.sources.published import PositiveInt, PublishedFile, PublishedPath, Sha256, Source

DATABASE = "data.mdb"


class PublishedArchive(BaseModel):
    """One zip: `zip` is its path below `PublishedLsun.home`, `images` the records that it holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

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


def find(directory: Path, category: PublishedCategory) -> Path:
    """The category's `data.mdb` or zip below `directory`, where the publisher's tree or a flat folder has it.

    Raises
    ------
    SourceError
        Neither is there, or the zip has not the published size and hash.
    """
    trees = [directory, directory / PurePosixPath(category.zip).parent]
    unpacked = [tree / category.folder / DATABASE for tree in trees]
    zipped = [tree / PurePosixPath(category.zip).name for tree in trees]
    for path in (*unpacked, *zipped):
        if not path.is_file():
            continue
        fault = category.file.fault_of(path) if path in zipped else None
        if fault is not None:
            raise SourceError(
                f"{path}: {fault}. The copy is incomplete or damaged: fetch it again, or unpack a database of your own "
                f"to {unpacked[0].parent}."
            )
        return path
    places = "\n  ".join(map(str, dict.fromkeys((*unpacked, *zipped))))
    raise SourceError(f"{directory}: no database of this category; looked for\n  {places}\nSet lsun.source.directory.")


def database_in(path: Path) -> zipfile.ZipInfo:
    """The one `data.mdb` of a published zip.

    Raises
    ------
    SourceError
        The file is no zip, or holds none or several.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == DATABASE]
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path}: no complete zip ({error}); fetch it again") from error
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    if len(found) != 1:
        raise SourceError(
            f"{path}: holds {len(found)} files named {DATABASE}, an LSUN category has one; fetch it again"
        )
    return found[0]


def unpack(path: Path, scratch: Path) -> Path:
    """Unpack the database of the zip `path` below `scratch`, or find it unpacked there; return its file.

    Whatever else lies below `scratch` is removed first: other databases, and what a killed run left half unpacked,
    for unpacking begins anew.

    Raises
    ------
    SourceError
        The zip is damaged, or the disk too small.
    """
    info = database_in(path)
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
            f"{path}: unpacks to {info.file_size} bytes, but {scratch.resolve()} has {free} free. Make room, or unpack "
            f"it elsewhere and set lsun.source.directory to the folder that holds {path.stem}/{DATABASE}."
        )
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(info) as packed,
            atomic.writing(target) as beside,
            beside.open("wb") as file,
        ):
            shutil.copyfileobj(packed, file, 2**20)  # reading to the end checks the zip's CRC
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"{path}: damaged ({error}); fetch it again") from error
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return target


def _unreadable(path: Path, error: RuntimeError) -> SourceError:
    """About what `zipfile` raises for encryption and, in a subclass, for methods that it does not know."""
    return SourceError(
        f"{path}: cannot be unpacked ({error}). No published zip is so: fetch it again, or unpack it by hand and set "
        f"lsun.source.directory to the folder that holds {path.stem}/{DATABASE}."
    )


def check_count(category: PublishedCategory, database: Path, records: int, max_images: int | None) -> str | None:
    """Compare the records of a database, unpacked from a zip of the published hash, with the published count.

    Returns
    -------
    str or None
        What is amiss, for the user to read: a count in the manifest is as published, and no one has counted again.

    Raises
    ------
    SourceError
        There are fewer than `max_images`, though as many are published: the data set would be smaller than asked.
    """
    if records == category.images:
        return None
    fault = f"{database}: holds {records} records, published are {category.images}"
    if max_images is not None and records < max_images <= category.images:
        raise SourceError(
            f"{fault}; wanted are {max_images}. Lower lsun.max_images, or correct the count in manifests/lsun.yaml."
        )
    return fault
