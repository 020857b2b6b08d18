"""Writes the selected faces to shards: one task writes one shard and its table."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dask.distributed import Client
from numpy.typing import NDArray

from pipeline import chunks, manifest
from pipeline.chunks import Chunk
from pipeline.errors import RejectedInputError, ShardError
from pipeline.manifest import Accounting, Drop, Selected, Sharded
from pipeline.shards import open_files, parts
from pipeline.shards.layout import Header, shard_stem
from pipeline.shards.writer import ShardWriter, writing_shard

Renderer = Callable[[Selected], NDArray[np.uint8]]
"""Makes the final image of a row, uint8 RGB (R, R, 3); `RejectedInputError` drops the row."""


def write_shards(
    client: Client,
    open_renderer: Callable[[], Renderer],
    header: Header,
    *,
    table: Path,
    places: NDArray[np.int64],
    images_per_shard: int,
    work: Path,
) -> Accounting:
    """Write the final images of the kept rows of `table` to shards in `work`, with the table `work/shard.parquet`.

    `ShardError` if the images differ in their number of attributes, or make more shards than a process can open.

    Parameters
    ----------
    open_renderer
        Called in the worker once per shard; picklable.
    places
        The kept row of `table` (0 is the first by index) at each position of the data set; see `positions`. Rows that
        the renderer rejects are left out, and the following ones move up.
    """
    joined = work / "shard.parquet"
    folder = chunks.folder_of(joined)
    if not joined.exists():
        _check_attributes(manifest.kept_columns(table, ["file", "attributes"]))
        open_files.check_shards(len(places), images_per_shard)
        count = len(places)
        shards = [
            Chunk(shard_stem(number), start, min(start + images_per_shard, count))
            for number, start in enumerate(range(0, count, images_per_shard))
        ]
        _join(joined, _write(client, _WriteShard(open_renderer, header, table.absolute(), places), shards, folder))
    chunks.collect(folder)
    return manifest.account(joined)


def positions(numbers: Sequence[int], count: int, order: str, seed: int) -> NDArray[np.int64]:
    """The row at each position of the data set.

    Parameters
    ----------
    numbers
        The number of each row: distinct, in 0...`count` - 1, some may be absent.
    order
        `index`: by number. `shuffled`: all `count` numbers are shuffled by `numpy.random.RandomState(seed)`, whose
        sequence numpy guarantees, so an absent row does not change the order of the others.
    """
    sequence = np.arange(count)
    if order == "shuffled":
        np.random.RandomState(seed).shuffle(sequence)
    rows = {number: row for row, number in enumerate(numbers)}
    return np.array([rows[number] for number in sequence.tolist() if number in rows], np.int64)


def labels_of(attributes: Sequence[int] | None) -> NDArray[np.float32] | None:
    """Attributes (1, -1 or 0 for unknown) as labels: float32 (L,), 1, 0 or 0.5."""
    return None if attributes is None else ((np.array(attributes) + 1) / 2).astype(np.float32)


def _check_attributes(rows: pa.Table) -> None:
    lengths = pa.table({"length": pc.call_function("list_value_length", [rows["attributes"]]), "file": rows["file"]})
    first = lengths.group_by("length", use_threads=False).aggregate([("file", "first")])
    if len(first) > 1:
        found = ", ".join(f"{row['file_first']} has {row['length']}" for row in first.to_pylist())
        raise ShardError(
            f"images differ in their number of attributes ({found}), so the data set cannot have labels. Complete the "
            f"file of attributes, or use none (download.source.attributes: null)."
        )


@dataclass(frozen=True)
class _WriteShard:
    open_renderer: Callable[[], Renderer]
    header: Header
    table: Path
    places: NDArray[np.int64]

    def __call__(self, chunk: Chunk, folder: Path) -> None:
        rows = manifest.read_kept_at(self.table, Selected, self.places[chunk.start : chunk.stop].tolist())
        name = f"{chunk.name}.h5"
        render = self.open_renderer()
        kept: list[Selected] = []
        md5s: list[str] = []
        dropped: list[Drop] = []
        with ExitStack() as stack:
            shard: ShardWriter | None = None  # opened for the first image: if all are rejected there is no shard
            for position, row in enumerate(rows, chunk.start):
                try:
                    if position in chunk.killers:
                        raise chunks.killed_worker()
                    image_CHW = render(row).transpose(2, 0, 1)
                except RejectedInputError as rejected:
                    dropped.append(Drop.of(row, rejected))
                    continue
                if shard is None:
                    shard = stack.enter_context(writing_shard(folder / name, self.header, len(rows)))
                    md5s = shard.md5s
                shard.add(image_CHW, index=row.index, file=row.file, labels=labels_of(row.attributes))
                kept.append(row)
        sharded = [
            manifest.extend(row, Sharded, position=chunk.start + place, shard=name, row=place, image_md5=md5)
            for place, (row, md5) in enumerate(zip(kept, md5s, strict=True))
        ]
        manifest.write_rows(folder / chunks.TABLE, Sharded, [*sharded, *dropped])


def _write(client: Client, task: _WriteShard, shards: Sequence[Chunk], folder: Path) -> list[Path]:
    """Write the shards, of which the last ones are made in parts; return their tables."""
    threads: Any = client.nthreads()
    finished = {*chunks.finished_chunks(folder)}
    found = parts.parts_of(shards, finished, task.header.resolution, sum(threads.values()))
    whole = [shard for shard in shards if shard not in found]
    small = [part for some in found.values() for part in some]
    tables = chunks.run_chunks(client, task, [*whole, *small], folder)
    if found:
        made = parts.Parts(tables[len(whole) :])
        chunks.run_chunks(client, replace(task, open_renderer=made), [*found], folder)
    parts.remove_parts(folder, shards)
    return [folder / shard.name / chunks.TABLE for shard in shards]


def _join(joined: Path, parts: Sequence[Path]) -> None:
    """Join the tables of all shards, and count the positions over the images that are not dropped."""
    counts = [manifest.account(part).kept for part in parts]
    firsts = np.cumsum([0, *counts])

    def count_on(part: int, rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index("position")
        return rows.set_column(
            place, rows.field(place), pc.call_function("add", [rows["row"], pa.scalar(int(firsts[part]))])
        )

    manifest.join_parts(joined, Sharded, parts, count_on)
