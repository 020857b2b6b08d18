"""The records of a database to shards: one task writes one shard and its table."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dask.distributed import Client

from pipeline import chunks, disk, manifest, sizes
from pipeline.chunks import Chunk
from pipeline.drops import DropLimit
from pipeline.errors import RejectedInputError
from pipeline.manifest import Accounting, Drop
from pipeline.shards import open_files
from pipeline.shards.layout import Header, shard_stem
from pipeline.shards.writer import ShardWriter, writing_shard
from pipeline.sources.lsun.index import key_at, write_keys
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
    folder = chunks.folder_of(joined)
    if not joined.exists():
        tables: list[Path] = []
        read = kept = 0
        with open_records(database) as records:
            write_keys(records, index)
            wanted = records.count if max_images is None else min(max_images, records.count)
            limit = DropLimit("lsun", max_dropped, wanted, spare=records.count - wanted)
            open_files.check_shards(wanted, images_per_shard)
            needed = sizes.shards(wanted, header.resolution, header.codec) - disk.size_of(work)
            disk.require(work, needed, f"{database}: a data set of {wanted} images")
            while kept < wanted and read < records.count:
                stop = min(read + wanted - kept, records.count)
                starts = range(read, stop, images_per_shard)
                shards = [
                    Chunk(shard_stem(number), start, min(start + images_per_shard, stop))
                    for number, start in enumerate(starts, len(tables))
                ]
                task = _WriteShard(database.absolute(), header, index.absolute())
                found = chunks.run_chunks(client, task, shards, folder, limit.add)
                tables += found
                read = stop
                kept += sum(manifest.account(table).kept for table in found)
        manifest.join_parts(joined, LsunImage, tables)
    chunks.collect(folder)
    return manifest.account(joined)


@dataclass(frozen=True)
class _WriteShard:
    database: Path
    header: Header
    index: Path
    """The file of all keys."""

    def __call__(self, chunk: Chunk, folder: Path) -> None:
        name = f"{chunk.name}.h5"
        kept: list[Callable[..., LsunImage]] = []  # of the MD5
        md5s: list[str] = []
        dropped: list[Drop] = []
        with ExitStack() as stack:
            records = stack.enter_context(open_records(self.database))
            shard: ShardWriter | None = None  # opened with its first image: all may be bad
            values = records.values(key_at(self.index, chunk.start), chunk.stop - chunk.start)
            for index, (key, value) in enumerate(values, chunk.start):
                file = key.decode("ascii", "backslashreplace")
                try:
                    if index in chunk.killers:
                        raise chunks.killed_worker()
                    image_HWC, encoding, (width, height) = decode(value, self.header.resolution)
                except RejectedInputError as rejected:
                    dropped.append(Drop(index=index, file=file, reason=rejected.reason, detail=rejected.detail))
                    continue
                if shard is None:
                    capacity = chunk.stop - chunk.start
                    shard = stack.enter_context(writing_shard(folder / name, self.header, capacity))
                    md5s = shard.md5s
                kept.append(
                    partial(
                        LsunImage,
                        index=index,
                        file=file,
                        encoding=encoding,
                        width=width,
                        height=height,
                        shard=name,
                        row=len(shard),
                    )
                )
                shard.add(image_HWC.transpose(2, 0, 1), index=index, file=file, labels=None)
        images = [row(image_md5=md5) for row, md5 in zip(kept, md5s, strict=True)]
        manifest.write_rows(folder / chunks.TABLE, LsunImage, [*images, *dropped])
