"""Images per second from the shards, by the number of reading processes: `python -m benchmarks.reading [IMAGES]`.

The data set is synthetic, 256x256 in gzip, and compresses like photographs (to about two thirds). Minibatches of 16 are
read in training order: alone, and alternating with a computation of one thread, as in training on a CPU; there
`waiting_ms_per_minibatch` is the time that a minibatch adds.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.result import save
from pipeline.params import TrainRun
from pipeline.shards.layout import Header
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from stages import read_params
from training.data.real_images import Reals

RESOLUTION = 256
MINIBATCH = 16
PER_SHARD = 100
WORKERS = (0, 2, 4)
ROUNDS = 3


def draw(folder: Path, images: int) -> Path:
    """Write a data set of random colours at several scales, with noise."""
    rng = np.random.default_rng(1)
    header = Header(RESOLUTION, "gzip", "0" * 64, "none", "none", "{}")
    for first in range(0, images, PER_SHARD):
        count = min(PER_SHARD, images - first)
        with writing_shard(folder / f"shard-{first // PER_SHARD:05d}.h5", header, count) as shard:
            for index in range(first, first + count):
                image = np.full((3, RESOLUTION, RESOLUTION), 128.0)
                for side in (4, 16, 64):
                    block = RESOLUTION // side
                    image += np.kron(rng.normal(0, 20, (3, side, side)), np.ones((block, block)))
                image += rng.normal(0, 4, image.shape)
                shard.add(image.clip(0, 255).astype(np.uint8), index=index, file=f"{index}.png", labels=None)
    write_view(folder)
    return folder


def computation(matrix: torch.Tensor) -> float:
    """Seconds of a computation of one thread."""
    started = time.monotonic()
    for _ in range(20):
        matrix = torch.tanh(matrix @ matrix)
    return time.monotonic() - started


def measured(dataset: DataSet, run: TrainRun, images: int) -> dict[str, float]:
    """Images per second when only reading, and the time that a minibatch adds to a computation."""
    matrix = torch.randn(600, 600, generator=torch.Generator().manual_seed(1))
    alone = min(computation(matrix) for _ in range(5))
    with Reals(dataset, run) as reals:
        reals.minibatch(RESOLUTION, 0, MINIBATCH)  # starts the processes
        started = time.monotonic()
        for position in range(MINIBATCH, MINIBATCH + images, MINIBATCH):
            reals.minibatch(RESOLUTION, position, MINIBATCH)
        reading = time.monotonic() - started
        started, steps = time.monotonic(), 20
        for number in range(steps):
            reals.minibatch(RESOLUTION, 2 * images + number * MINIBATCH, MINIBATCH)
            computation(matrix)
        both = time.monotonic() - started
    return {
        "images_per_second": round(images / reading, 1),
        "waiting_ms_per_minibatch": round((both / steps - alone) * 1000, 2),
        "computation_ms": round(alone * 1000, 2),
    }


def main(images: int) -> None:
    """Write the data set, read it with each number of workers in turn, print and save."""
    torch.set_num_threads(1)
    values: dict[str, Any] = read_params(Path("profiles/demo.yaml")).train.runs["demo"].model_dump()
    rows: dict[str, list[dict[str, float]]] = {str(workers): [] for workers in WORKERS}
    with tempfile.TemporaryDirectory() as folder:
        dataset = DataSet(draw(Path(folder), images))
        size = sum(path.stat().st_size for path in Path(folder).glob("shard-*.h5"))
        for _ in range(ROUNDS):
            for workers in WORKERS:
                speed = values["speed"] | {"workers": workers, "minibatches_ahead": 8}
                run = TrainRun.model_validate(
                    values
                    | {"dataset": Path(folder), "resolution": RESOLUTION, "grid_cell_pixels": RESOLUTION}
                    | {"ram_mib": 0, "speed": speed, "networks": values["networks"] | {"fmap_base": 1024}}
                )
                rows[str(workers)].append(measured(dataset, run, images))
                print(f"{workers} workers: {rows[str(workers)][-1]}", flush=True)
        dataset.close()
    raw = images * 4 * RESOLUTION**2  # with all levels below
    figures = {
        "images": images,
        "resolution": RESOLUTION,
        "minibatch": MINIBATCH,
        "compressed_to": round(size / raw, 3),
    }
    best = {name: max(row["images_per_second"] for row in found) for name, found in rows.items()}
    ratios = {f"workers {name} by 0": round(best[name] / best["0"], 2) for name in best if name != "0"}
    save("reading", figures | {"rounds_by_workers": rows}, ratios)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
