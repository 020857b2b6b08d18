"""From the files of a source to containers of photographs: every byte kept, every member counted."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from pipeline import atomic, manifest
from pipeline.container import writing_container
from pipeline.drops import DropLimit
from pipeline.errors import RejectedInputError, SourceError
from pipeline.faces.formats import check_picture
from pipeline.manifest import Accounting, Drop, Photograph
from pipeline.sources import archive, cifar10, mnist
from pipeline.sources.numbering import Numbered, check_complete, number
from pipeline.sources.pictures import Pictures
from pipeline.sources.source import Contents

STAGE = "extract"
TABLE = f"{STAGE}.parquet"
LANDMARKS, PARTITION, ATTRIBUTES = "landmarks.txt", "partition.txt", "attributes.txt"


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
    `attributes.txt` that the source has. `photographs_per_container` counts members of the source; those that cannot
    be images are dropped. Containers that a killed run finished are used.

    Raises `SourceError` if the archive is damaged or unsafe, or photographs are missing; `TooManyDroppedError` as soon
    as more than the fraction `max_dropped` of the members is dropped.
    """
    atomic.sweep(work)
    annotations = {LANDMARKS: contents.landmarks, PARTITION: contents.partition, ATTRIBUTES: contents.attributes}
    for name, source in annotations.items():
        if source is not None:
            atomic.write_bytes(work / name, (download / source).read_bytes())
    table = work / TABLE
    if table.exists():
        return manifest.account(table)
    images = download / contents.images
    pictures = _pictures(images, contents)
    names = archive.list_members(images, contents.limits) if pictures is None else pictures.names()
    numbered = number(names, contents.numbering)
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
    wanted = frozenset(entry.member for group in missing for entry in group.members)
    with closing(archive.read_members(images, wanted) if pictures is None else pictures.read(wanted)) as members:
        for group in tqdm(missing, unit="container", leave=False, disable=None):
            manifest.write_rows(group.part, Photograph, list(_contain(group, members)))
            limit.add(group.part)
    account = manifest.join_parts(table, Photograph, [group.part for group in groups])
    for group in groups:
        group.part.unlink()
    return account


@dataclass(frozen=True)
class _Group:
    """The members of one container. The part table is written last: where it exists, the container is complete."""

    members: Sequence[Numbered]
    container: Path

    @property
    def part(self) -> Path:
        return self.container.with_suffix(".part.parquet")


def _pictures(images: Path, contents: Contents) -> Pictures | None:
    """The images where they were published as arrays; None where they are photographs in an archive."""
    arrays = contents.arrays
    if arrays is None:
        return None
    if arrays.labels is None:
        return cifar10.load(images, contents.limits)
    return mnist.load(images, images.with_name(arrays.labels), arrays.draw, arrays.seed, contents.limits)


def _contain(group: _Group, members: Iterator[tuple[str, bytes]]) -> Iterator[Photograph | Drop]:
    with writing_container(group.container, f"{STAGE}/{group.container.name}") as container:
        for entry, (name, content) in zip(group.members, islice(members, len(group.members)), strict=True):
            if entry.member != name:
                raise SourceError(f"the archive gave {name} where its index names {entry.member}; pack it again.")
            try:
                check_picture(content)
            except RejectedInputError as refused:
                yield Drop(index=entry.index, file=entry.file, reason=refused.reason, detail=refused.detail)
                continue
            stored = container.add(_safe_name(entry), content)
            yield Photograph(index=entry.index, file=entry.file, photograph=stored)


def _safe_name(entry: Numbered) -> str:
    """The member's name in the container: its own, or its index where a plain tar cannot hold that."""
    if entry.file.isascii() and len(entry.file) < 100:
        return entry.file
    suffix = PurePosixPath(entry.file).suffix
    return f"{entry.index:06d}{suffix if suffix.isascii() else ''}"
