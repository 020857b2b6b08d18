"""A table of selected faces without photographs, and images for it; runs `write_shards` as a process of its own."""

import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from dask.distributed import Client

from pipeline import manifest
from pipeline.manifest import Accounting, Selected, Stored, write_rows
from pipeline.params import ClusterParams
from pipeline.shards.layout import Header
from pipeline.shards.write_shards import positions, write_shards
from pipeline.workers import connect

HEADER = Header(32, codec="gzip", params_digest="0" * 64, decoder="pillow", renderer="fast", libraries="{}")


def selected(index: int, attributes: tuple[int, ...] | None = (1, -1, -1)) -> Selected:
    stored = Stored(container="crop/crop-00000.tar", offset=0, size=1, md5="0" * 32)
    return Selected(
        index=index, file=f"{index:06d}.jpg", photograph=stored, width=64, height=64, split=None,
        attributes=attributes, landmarks=None, quad=(0.0, 0.0, 0.0, 32.0, 32.0, 32.0, 32.0, 0.0), zoom=1.0,
        pixels=stored, region_md5="", left=0, upper=0, crop_width=32, crop_height=32, shrink=1, border=0,
        denoised=False, quality=0.5, padded=False, enlarge=1, rank=index,
    )  # fmt: skip


def write_selection(table: Path, indices: list[int]) -> None:
    write_rows(table, Selected, [selected(index) for index in indices])


def paint(index: int) -> np.ndarray:
    """The (32, 32, 3) image of a row: noise over a gradient, different for every index."""
    noise = np.random.default_rng(index).integers(0, 100, (32, 32, 3))
    return (noise + np.linspace(0, 155, 32).astype(np.int64)[:, None]).astype(np.uint8)


@dataclass(frozen=True)
class Painter:
    """Takes `seconds` per image, so that the run can be killed in between."""

    seconds: float

    def __call__(self, row: Selected) -> np.ndarray:
        time.sleep(self.seconds)
        return paint(row.index)


def build(folder: Path, workers: int, seconds: float = 0.0) -> Accounting:
    params = ClusterParams(scheduler=None, worker_wait_minutes=1.0, workers=workers, memory_per_worker_mib=1000)
    with connect(params) as client:
        return build_with(client, folder, seconds)


def build_with(client: Client, folder: Path, seconds: float = 0.0) -> Accounting:
    kept = manifest.account(folder / "select.parquet").kept
    return write_shards(
        client,
        partial(Painter, seconds),
        HEADER,
        table=folder / "select.parquet",
        places=positions(range(kept), kept, "shuffled", 123),
        images_per_shard=7,
        work=folder / "work",
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]), workers=int(sys.argv[2]), seconds=float(sys.argv[3]))
