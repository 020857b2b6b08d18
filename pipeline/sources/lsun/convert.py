"""The records of a database to shards: one task owns one shard, and leaves its table last."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dask.distributed import Client

from pipeline import manifest
from pipeline.cluster import run_all
from pipeline.errors import RejectedInputError
from pipeline.manifest import Accounting, Drop
from pipeline.shards.layout import Header, shard_name
from pipeline.shards.writer import ShardWriter, writing_shard
from pipeline.sources.lsun.index import Keys, open_keys
from pipeline.sources.lsun.records import LsunImage, decode, open_records

PARTS = "lsun-*.part.parquet"


def convert(
    client: Client,
    database: Path,
    header: Header,
    *,
    max_images: int | None,
    images_per_shard: int,
    index: Path,
    work: Path,
) -> Accounting:
    """Write the first `max_images` good records (None: all) to shards in `work`, and `work/lsun.parquet` about them.

    Records go in the order of keys, `images_per_shard` to a shard, less the bad ones among them. Where bad ones
    leave the data set short of `max_images`, as many of the next records follow in shards of their own, until it
    is full or the database ends. So the shards depend on the records alone, not on which task ends first. The file
    `index` keeps the keys between runs.

    Returns
    -------
    Accounting
        Of the records that were looked at.
    """
    joined = work / "lsun.parquet"
    if not joined.exists():
        task = _WriteShard(database.resolve(), work.resolve(), header)
        manifest.join_parts(joined, LsunImage, _write_all(client, task, max_images, images_per_shard, index))
    # also those that a run left which was stopped just here
    for part in work.glob(PARTS):
        part.unlink()
    return manifest.account(joined)


def _write_all(
    client: Client, task: "_WriteShard", max_images: int | None, images_per_shard: int, index: Path
) -> list[Path]:
    parts: list[Path] = []
    with open_records(task.database) as records, open_keys(records, index) as keys:
        wanted = records.count if max_images is None else max_images
        looked_at = kept = 0
        while kept < wanted:
            spans = list(_spans(keys, len(parts), looked_at, wanted - kept, images_per_shard))
            if not spans:
                break
            run_all(client, task, [span for span in spans if not task.part(span).exists()])
            parts += [task.part(span) for span in spans]
            looked_at += sum(span.count for span in spans)
            kept += sum(manifest.account(task.part(span)).kept for span in spans)
    return parts


@dataclass(frozen=True)
class _Span:
    """`count` neighbouring records, the first of which is record `start` of the key `first_key`."""

    number: int
    first_key: bytes
    start: int
    count: int


def _spans(keys: Keys, number: int, start: int, records: int, per_shard: int) -> Iterator[_Span]:
    stop = min(start + records, len(keys))
    for place, first in enumerate(range(start, stop, per_shard)):
        yield _Span(number + place, keys[first], first, min(per_shard, stop - first))


@dataclass(frozen=True)
class _WriteShard:
    database: Path
    work: Path
    header: Header

    def part(self, span: _Span) -> Path:
        return self.work / f"lsun-{span.number:05d}.part.parquet"

    def __call__(self, span: _Span) -> None:
        name = shard_name(span.number)
        outcomes: list[LsunImage | Drop] = []
        with ExitStack() as stack:
            records = stack.enter_context(open_records(self.database))
            shard: ShardWriter | None = None  # opened with its first image: a span may hold none
            for offset, (key, value) in enumerate(records.values(span.first_key, span.count)):
                index, file = span.start + offset, key.decode("ascii", "backslashreplace")
                try:
                    decoded = decode(value, self.header.resolution)
                except RejectedInputError as rejected:
                    outcomes.append(Drop(index=index, file=file, reason=rejected.reason, detail=rejected.detail))
                    continue
                if shard is None:
                    shard = stack.enter_context(writing_shard(self.work / name, self.header, span.count))
                row = len(shard)
                md5 = shard.add(decoded.image_HWC.transpose(2, 0, 1), index=index, file=file, labels=None)
                outcomes.append(
                    LsunImage(
                        index=index,
                        file=file,
                        encoding=decoded.encoding,
                        width=decoded.width,
                        height=decoded.height,
                        shard=name,
                        row=row,
                        image_md5=md5,
                    )
                )
        manifest.write_rows(self.part(span), LsunImage, outcomes)
