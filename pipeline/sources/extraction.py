"""From the files of a source to photographs that later stages read: every byte kept, every member counted.

Members of archives are copied to containers. A user's folder is read in place: its table names the files themselves.
"""

import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline import atomic, manifest, provenance
from pipeline.container import ContainerWriter, writing_container
from pipeline.drops import DropLimit
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.formats import HEAD_BYTES, check_picture
from pipeline.manifest import Accounting, Drop, Photograph, Stored
from pipeline.progress import progress
from pipeline.sources import archive, cifar10, classes, folder_index, mnist, sevenzip
from pipeline.sources.archive_safety import OWN_LIMITS
from pipeline.sources.listing import Listing, is_named_as_photograph, list_archive, readable
from pipeline.sources.local import located, open_regular
from pipeline.sources.numbering import Numbered, check_complete, number
from pipeline.sources.pictures import Pictures
from pipeline.sources.source import Contents

STAGE = "extract"
TABLE = f"{STAGE}.parquet"
LANDMARKS, PARTITION, ATTRIBUTES = "landmarks.txt", "partition.txt", "attributes.txt"
STATE = "state-of-images.txt"
"""In an unfinished work folder: a digest of sizes and times of the user's images, as they were when it was begun."""

BLOCK_BYTES = 1 << 20


def extract(
    download: Path,
    contents: Contents,
    photographs_per_container: int,
    work: Path,
    *,
    max_dropped: float,
) -> Accounting:
    """Write containers, their table and the annotations of the folder `download` to `work`.

    These are `extract-00000.tar` ..., `extract.parquet`, and those of `landmarks.txt`, `partition.txt` and
    `attributes.txt` that the source has. Photographs of a user's folder have no container, but where a table cannot
    hold their names. `photographs_per_container` counts members of the source; those that cannot be images are
    dropped. Containers that a killed run finished are used, unless the user's images changed since.

    Raises `SourceError` if the archive is damaged or unsafe, or photographs are missing; `TooManyDroppedError` as soon
    as more than the fraction `max_dropped` of the members is dropped.
    """
    atomic.sweep(work)
    images = located(download, contents.images)
    in_place = contents.listing is not None
    listing = folder_index.read(download / contents.listing) if contents.listing is not None else None
    if not images.is_relative_to(download):
        _start_again_if_changed(work, state_of_images(download, contents))
    annotations = {LANDMARKS: contents.landmarks, PARTITION: contents.partition, ATTRIBUTES: contents.attributes}
    for name, source in annotations.items():
        if source is not None:
            atomic.write_bytes(work / name, (download / source).read_bytes())
    table = work / TABLE
    if table.exists():
        (work / STATE).unlink(missing_ok=True)
        return manifest.account(table)
    pictures = _pictures(images, contents)
    if listing is None:
        listing = list_archive(images, contents.limits) if pictures is None else Listing(pictures.names())
    numbered = number(listing, contents.numbering)
    if contents.photographs is not None:
        check_complete(images, numbered, contents.photographs)
    if pictures is not None:
        pictures.write_attributes(work / ATTRIBUTES)
    groups = [
        _Group(numbered[start : start + photographs_per_container], work / f"{STAGE}-{place:05d}.tar")
        for place, start in enumerate(range(0, len(numbered), photographs_per_container))
    ]
    limit = DropLimit(STAGE, max_dropped, len(numbered))
    missing = [group for group in groups if not group.part.exists()]
    for group in groups:
        if group not in missing:
            limit.add(group.part)
    wanted = frozenset(entry.member for group in missing for entry in group.members if entry.lost is None)
    with closing(_read(images, wanted, in_place, pictures)) as members:
        for group in progress(missing, unit="container"):
            outcomes = _note(group, images, contents.images) if in_place else _contain(group, members)
            manifest.write_rows(group.part, Photograph, outcomes)
            limit.add(group.part)
    parts = [group.part for group in groups]
    if contents.classes:
        files = [file for part in parts for file in manifest.kept_columns(part, ["file"])["file"].to_pylist()]
        classes.write_attributes(work / ATTRIBUTES, files, wrapped=not in_place)
    account = manifest.join_parts(table, Photograph, parts)
    for left in (*parts, work / STATE):
        left.unlink(missing_ok=True)
    return account


@dataclass(frozen=True)
class _Group:
    """The members of one container. The part table is written last: where it exists, the container is complete."""

    members: Sequence[Numbered]
    container: Path

    @property
    def part(self) -> Path:
        return self.container.with_suffix(".part.parquet")


def state_of_images(download: Path, contents: Contents) -> str:
    """A digest of sizes and times of the user's own images; equal for images that are in `download`."""
    images = located(download, contents.images)
    if images.is_relative_to(download):
        files: list[Path] = []
    elif contents.listing is not None:
        files = [images / name for name in folder_index.read(download / contents.listing).members]
    else:
        files = sevenzip.files_of(images) if images.is_file() else []
    return provenance.digest_of([_state(file) for file in files])


def _start_again_if_changed(work: Path, state: str) -> None:
    """Remove what a killed run made of the user's images, unless these are as they were."""
    path = work / STATE
    if path.is_file() and path.read_text() == state:
        return
    for left in work.glob(f"{STAGE}*"):
        left.unlink()
    atomic.write_bytes(path, state.encode())


def _state(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _pictures(images: Path, contents: Contents) -> Pictures | None:
    """The images where they were published as arrays; None where they are photographs in an archive."""
    arrays = contents.arrays
    if arrays is None:
        return None
    if arrays.labels is None:
        return cifar10.load(images, contents.limits)
    return mnist.load(images, images.with_name(arrays.labels), arrays.draw, arrays.seed, contents.limits)


def _read(
    images: Path, wanted: frozenset[str], in_place: bool, pictures: Pictures | None
) -> Generator[tuple[str, bytes]]:
    if pictures is not None:
        yield from pictures.read(wanted)
    elif not in_place:
        yield from archive.read_members(images, wanted)


def _contain(group: _Group, members: Iterator[tuple[str, bytes]]) -> Iterator[Photograph | Drop]:
    """Copy the photographs among the members of an archive to the group's container."""
    readable_members = [entry for entry in group.members if entry.lost is None]
    with writing_container(group.container, f"{STAGE}/{group.container.name}") as container:
        for entry, (name, content) in zip(readable_members, islice(members, len(readable_members)), strict=True):
            if entry.member != name:
                raise SourceError(f"the archive gave {name} where its index names {entry.member}; pack it again.")
            if (drop := _check(entry, content, len(content))) is not None:
                yield drop
                continue
            stored = container.add(_safe_name(entry), content)
            yield Photograph(index=entry.index, file=entry.file, photograph=stored)
    yield from (_drop(entry, *entry.lost) for entry in group.members if entry.lost is not None)


def _note(group: _Group, folder: Path, reference: str) -> Iterator[Photograph | Drop]:
    """Read each photograph of a folder once, and note where it is.

    The path of some is no text and does not fit into a table: these are copied to the group's container.
    """
    with ExitStack() as stack:
        container: ContainerWriter | None = None
        for entry in group.members:
            if entry.lost is not None:
                yield _drop(entry, *entry.lost)
                continue
            is_text = entry.member == readable(entry.member)
            try:
                with open_regular(folder / entry.member) as file:
                    head = file.read(HEAD_BYTES)
                    drop = _check(entry, head, os.fstat(file.fileno()).st_size)
                    rest = b"" if is_text or drop is not None else file.read()
                    stored = _place(file, head, reference, entry.member) if is_text and drop is None else None
            except OSError as error:
                yield _drop(entry, DropReason.UNREADABLE, str(error.strerror))
                continue
            if drop is not None:
                yield drop
                continue
            if stored is None:
                if container is None:
                    name = f"{STAGE}/{group.container.name}"
                    container = stack.enter_context(writing_container(group.container, name))
                stored = container.add(_safe_name(entry), head + rest)
            yield Photograph(index=entry.index, file=entry.file, photograph=stored)


def _place(file: BinaryIO, head: bytes, reference: str, member: str) -> Stored:
    """A whole file where it is, of which `head` was read."""
    md5, size = hashlib.md5(head, usedforsecurity=False), len(head)
    while block := file.read(BLOCK_BYTES):
        md5.update(block)
        size += len(block)
    # the folder's name is relative to data/download, the container's to data
    container = f"{reference.removeprefix('../')}/{member}"
    return Stored(container=container, offset=0, size=size, md5=md5.hexdigest())


def _check(entry: Numbered, head: bytes, size: int) -> Drop | None:
    """Drop a file that starts with `head` and is no photograph, or too large to be read into memory."""
    try:
        check_picture(head)
    except RejectedInputError as refused:
        unexpected = refused.reason != DropReason.NOT_AN_IMAGE or is_named_as_photograph(entry.member)
        return _drop(entry, refused.reason if unexpected else DropReason.OTHER_FILE, f"{refused.detail} ({size} bytes)")
    if size > OWN_LIMITS.member_bytes:
        detail = f"a file of {size} bytes; photographs are read up to {OWN_LIMITS.member_bytes}"
        return _drop(entry, DropReason.TOO_LARGE, detail)
    return None


def _drop(entry: Numbered, reason: DropReason, detail: str) -> Drop:
    return Drop(index=entry.index, file=entry.file, reason=reason, detail=detail)


def _safe_name(entry: Numbered) -> str:
    """The member's name in the container: its own, or its index where a plain tar cannot hold that."""
    if entry.file.isascii() and len(entry.file) < 100 and entry.member.isascii():
        return entry.file
    suffix = PurePosixPath(entry.file).suffix
    return f"{entry.index:06d}{suffix if suffix.isascii() else ''}"
