"""The selected faces to shards: one task owns one shard, and leaves its table last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from dask.distributed import Client
from numpy.typing import NDArray

from pipeline import manifest
from pipeline.cluster import run_all
from pipeline.errors import ShardError
from pipeline.manifest import Accounting, Attributes, Input, Selected, Sharded
from pipeline.shards.layout import Header, shard_name
from pipeline.shards.writer import writing_shard

PARTS = "shard-*.part.parquet"


class Finished(Protocol):
    """A final image: uint8 RGB (R, R, 3)."""

    @property
    def image_HWC(self) -> NDArray[np.uint8]: ...  # noqa: D102, N802 - a shape suffix


class Finisher(Protocol):
    """Makes the final image of a row; `pipeline.finish` has the one that the stages use."""

    def finish(self, row: Selected, /) -> Finished: ...  # noqa: D102


def assemble(
    client: Client,
    open_finisher: Callable[[], Finisher],
    header: Header,
    *,
    table: Path,
    order: str,
    seed: int,
    images_per_shard: int,
    work: Path,
) -> Accounting:
    """Write the final images of all kept rows of `table` to shards in `work`, and `work/shard.parquet` about them.

    Parameters
    ----------
    open_finisher
        Called once in the worker for each shard; picklable.
    order, seed
        See `positions`.

    Raises
    ------
    ShardError
        Some images have attributes, and some none or another number of them.
    """
    joined = work / "shard.parquet"
    if not joined.exists():
        rows = manifest.read_kept(table, _Labelled)
        _check_attributes(rows)
        shards = range(-(-len(rows) // images_per_shard))
        task = _WriteShard(
            open_finisher, header, table.resolve(), positions(len(rows), order, seed), images_per_shard, work.resolve()
        )
        run_all(client, task, [number for number in shards if not task.part(number).exists()])
        manifest.join_parts(joined, Sharded, [task.part(number) for number in shards])
    # also those that a run left which was stopped just here
    for part in work.glob(PARTS):
        part.unlink()
    return manifest.account(joined)


def positions(count: int, order: str, seed: int) -> NDArray[np.int64]:
    """Which row, counted by index, stands at each position of the data set.

    `index` keeps the order; `shuffled` is that of `numpy.random.RandomState(seed)`, whose sequence numpy keeps
    for good (SPEC §2, CelebA 128).
    """
    rows = np.arange(count)
    if order == "shuffled":
        np.random.RandomState(seed).shuffle(rows)
    return rows


def labels_of(attributes: Sequence[int] | None) -> NDArray[np.float32] | None:
    """Yes/no attributes (1/-1) as labels: float32 (L,), 1 for yes and 0 for no."""
    return None if attributes is None else (np.array(attributes) > 0).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labelled(Input):
    attributes: Attributes | None


def _check_attributes(rows: Sequence[_Labelled]) -> None:
    lengths: dict[int | None, str] = {}
    for row in rows:
        lengths.setdefault(None if row.attributes is None else len(row.attributes), row.file)
    if len(lengths) > 1:
        found = ", ".join(f"{file} has {length}" for length, file in lengths.items())
        raise ShardError(
            f"images differ in their number of attributes ({found}), so the data set cannot have labels. Complete the "
            f"file of attributes, or name none (download.source.attributes: null)."
        )


@dataclass(frozen=True)
class _WriteShard:
    open_finisher: Callable[[], Finisher]
    header: Header
    table: Path
    places: NDArray[np.int64]
    images_per_shard: int
    work: Path

    def part(self, number: int) -> Path:
        return self.work / f"shard-{number:05d}.part.parquet"

    def __call__(self, number: int) -> None:
        start = number * self.images_per_shard
        rows = manifest.read_kept_at(self.table, Selected, self.places[start : start + self.images_per_shard].tolist())
        name = shard_name(number)
        finisher = self.open_finisher()
        sharded: list[Sharded] = []
        with writing_shard(self.work / name, self.header, len(rows)) as shard:
            for place, row in enumerate(rows):
                image_CHW = finisher.finish(row).image_HWC.transpose(2, 0, 1)
                md5 = shard.add(image_CHW, index=row.index, file=row.file, labels=labels_of(row.attributes))
                sharded.append(
                    manifest.extend(row, Sharded, position=start + place, shard=name, row=place, image_md5=md5)
                )
        manifest.write_rows(self.part(number), Sharded, sharded)
