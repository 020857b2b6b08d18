"""The records of a database to shards: one task writes one shard, and its table last."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dask.distributed import Client

from pipeline import disk, manifest, sizes
from pipeline.cluster import run_all
from pipeline.drops import DropLimit
from pipeline.errors import RejectedInputError
from pipeline.manifest import Accounting, Drop
from pipeline.shards import open_files
from pipeline.shards.layout import Header, shard_name
from pipeline.shards.writer import ShardWriter, writing_shard
from pipeline.sources.lsun.index import open_keys
from pipeline.sources.lsun.records import LsunImage, decode, open_records


def convert(
    client: Client,
    database: Path,
    header: Header,
    *,
    max_images: int | None,
    images_per_shard: int,
    index: Path,
    work: Path,
    max_dropped: float,
) -> Accounting:
    """Write the first `max_images` good records (None: all) to shards in `work`, and `work/lsun.parquet` about them.

    A shard holds the good ones of `images_per_shard` records, in the order of keys. While bad ones leave the data set
    short of `max_images`, as many of the next records follow in further shards. So the shards depend on the records
    alone, not on the order in which tasks end. The file `index` keeps the keys between runs. `TooManyDroppedError` as
    soon as the dropped fraction will exceed `max_dropped` even if all records that are still to be read are good.
    """
    joined = work / "lsun.parquet"
    if not joined.exists():
        parts: list[Path] = []
        read = kept = 0
        task = partial(_write_shard, database.resolve(), work.resolve(), header)
        with open_records(database) as records, open_keys(records, index) as keys:
            wanted = records.count if max_images is None else min(max_images, records.count)
            limit = DropLimit("lsun", max_dropped, wanted, spare=records.count - wanted)
            open_files.check_shards(wanted, images_per_shard)
            needed = sizes.shards(wanted, header.resolution, header.codec) - disk.size_of(work)
            disk.require(work, needed, f"{database}: a data set of {wanted} images")
            while kept < wanted and read < records.count:
                stop = min(read + wanted - kept, records.count)
                spans = [
                    _Span(len(parts) + place, keys[first].as_py(), first, min(images_per_shard, stop - first))
                    for place, first in enumerate(range(read, stop, images_per_shard))
                ]
                found = [_part(work, span) for span in spans]
                missing = [span for span in spans if not _part(work, span).exists()]
                for span in spans:
                    if span not in missing:
                        limit.add(_part(work, span))
                run_all(client, task, missing, lambda span: limit.add(_part(work, span)))
                parts += found
                read = stop
                kept += sum(manifest.account(part).kept for part in found)
        manifest.join_parts(joined, LsunImage, parts)
    # also those of a run that was stopped just here
    for part in work.glob("lsun-*.part.parquet"):
        part.unlink()
    return manifest.account(joined)


@dataclass(frozen=True)
class _Span:
    """`count` neighbouring records for shard `number`, the first of which is record `start`, of the key `first_key`."""

    number: int
    first_key: bytes
    start: int
    count: int


def _part(work: Path, span: _Span) -> Path:
    return work / f"lsun-{span.number:05d}.part.parquet"


def _write_shard(database: Path, work: Path, header: Header, span: _Span) -> None:
    name = shard_name(span.number)
    outcomes: list[LsunImage | Drop] = []
    with ExitStack() as stack:
        records = stack.enter_context(open_records(database))
        shard: ShardWriter | None = None  # opened with its first image: all may be bad
        for index, (key, value) in enumerate(records.values(span.first_key, span.count), span.start):
            file = key.decode("ascii", "backslashreplace")
            try:
                image_HWC, encoding, (width, height) = decode(value, header.resolution)
            except RejectedInputError as rejected:
                outcomes.append(Drop(index=index, file=file, reason=rejected.reason, detail=rejected.detail))
                continue
            if shard is None:
                shard = stack.enter_context(writing_shard(work / name, header, span.count))
            row = len(shard)
            md5 = shard.add(image_HWC.transpose(2, 0, 1), index=index, file=file, labels=None)
            outcomes.append(
                LsunImage(
                    index=index,
                    file=file,
                    encoding=encoding,
                    width=width,
                    height=height,
                    shard=name,
                    row=row,
                    image_md5=md5,
                )
            )
    manifest.write_rows(_part(work, span), LsunImage, outcomes)
