"""Reading shards: `python -m benchmarks.reading [FOLDER]`.

First minibatches of 4 random images of 1024x1024, and of smaller levels, against h5py reading the original's file (see
`benchmarks.plain_shards`): milliseconds per image, alternating, medians. CPU time is that of all threads. The time that
passes, by the clock, is measured on 1, 2 and 4 cores, as far as there are: our reader uses a thread for each, HDF5 one
in all. Images as in `benchmarks.shards`.

Then images per second of training's reader by the number of its processes, 256x256 in gzip, minibatches of 16 in
training order: alone, and alternating with a computation of one thread, as in training on a CPU; there
`waiting_ms_per_minibatch` is the time that a minibatch adds.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from benchmarks import plain_shards, shards
from benchmarks.result import save
from pipeline.cores import cores
from pipeline.params import TrainRun
from pipeline.shards import codecs
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
IMAGES = 200
LEVELS = (1024, 128, 16)
RANDOM_MINIBATCH = 4
RANDOM_ROUNDS = 15
CORES = (1, 2, 4)


def random_minibatches(
    images_HWC: shards.Images, folder: Path, levels: tuple[int, ...], rounds: int
) -> dict[int, dict[str, dict[str, float]]]:
    """Milliseconds to read an image of each level, from the original's file and ours by codec.

    `cpu_ms` on all cores, and `wall_ms_N` by the clock on N cores.
    """
    shards.compared(images_HWC, folder, 1)
    rng = np.random.default_rng(2)
    found: dict[int, dict[str, dict[str, list[float]]]] = {level: {} for level in levels}
    for codec in codecs.CODECS:
        write_view(folder / codec)
    sets = {codec: DataSet(folder / codec) for codec in codecs.CODECS}
    # with HDF5's cache of that time, which holds no image of 1024x1024
    with h5py.File(folder / "original/shard-00000.h5", rdcc_nbytes=2**20) as original:
        for level in levels:
            for _ in range(rounds):
                rows = rng.permutation(len(images_HWC))[:RANDOM_MINIBATCH]
                read = {"original": lambda r=rows, n=level: plain_shards.read_original(original, n, r.tolist())}
                read |= {codec: lambda r=rows, n=level, d=data: d.read(n, r) for codec, data in sets.items()}
                expected = read["original"]()
                for name, call in read.items():
                    np.testing.assert_array_equal(call(), expected)
                    times = found[level].setdefault(name, {})
                    times.setdefault("cpu_ms", []).append(shards.seconds_of(call))
                    for number in core_counts():
                        with on_cores(number):
                            call()  # starts the threads
                            started = time.perf_counter()
                            call()
                            times.setdefault(f"wall_ms_{number}", []).append(time.perf_counter() - started)
    for data in sets.values():
        data.close()
    count = min(RANDOM_MINIBATCH, len(images_HWC))
    return {
        level: {
            name: {kind: round(statistics.median(seconds) / count * 1000, 3) for kind, seconds in times.items()}
            for name, times in rows.items()
        }
        for level, rows in found.items()
    }


def core_counts() -> list[int]:
    """How many cores to measure with: those of `CORES` that this process may use."""
    return [number for number in CORES if number <= cores()]


@contextmanager
def on_cores(number: int) -> Generator[None]:
    """Restrict this thread, and those that it starts, to `number` of its cores (Linux)."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usable)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


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


def by_workers(images: int) -> dict[str, list[dict[str, float]]]:
    """Read a drawn data set with each number of workers in turn."""
    values: dict[str, Any] = read_params(Path("profiles/demo.yaml")).train.runs["demo"].model_dump()
    rows: dict[str, list[dict[str, float]]] = {str(workers): [] for workers in WORKERS}
    with tempfile.TemporaryDirectory() as folder:
        dataset = DataSet(draw(Path(folder), images))
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
    return rows


def main(folder: Path | None) -> None:
    """Measure both, print and save."""
    torch.set_num_threads(1)
    images_HWC = shards.drawn(8, LEVELS[0]) if folder is None else shards.pictures(folder, LEVELS[0])
    with tempfile.TemporaryDirectory() as scratch:
        random = random_minibatches(images_HWC, Path(scratch), LEVELS, RANDOM_ROUNDS)
    print(json.dumps(random, indent=2))
    rows = by_workers(IMAGES)
    best = {name: max(row["images_per_second"] for row in found) for name, found in rows.items()}
    ratios = {
        f"read {codec} {level} {kind}": round(times["original"][kind] / times[codec][kind], 2)
        for level, times in random.items()
        for codec in codecs.CODECS
        for kind in times[codec]
    } | {f"workers {name} by 0": round(best[name] / best["0"], 2) for name in best if name != "0"}
    figures = {"random_minibatches_ms": random, "images": IMAGES, "resolution": RESOLUTION, "minibatch": MINIBATCH}
    name = "reading" if folder is None else f"reading-{folder.resolve().name}"
    save(name, figures | {"rounds_by_workers": rows}, ratios)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
