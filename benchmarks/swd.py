"""Time and memory of the sliced Wasserstein distance: `python -m benchmarks.swd RESOLUTION IMAGES [THREADS]`.

Two sets of IMAGES images of noise, each used once, with the full protocol (128 patches per image and level, 4 x 128
directions).
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.result import PeakMemory, anonymous_mib, save
from training.metrics import Images
from training.metrics.compute import Compute
from training.metrics.swd import PatchSet, SwdSeed, collect, sliced_wasserstein

MINIBATCH = 32
PATCHES = 128


def noise(seed: int, resolution: int, count: int) -> Iterator[Images]:
    """Minibatches of images of independent pixels."""
    for start in range(0, count, MINIBATCH):
        shape = (min(MINIBATCH, count - start), 3, resolution, resolution)
        yield np.random.default_rng([seed, start]).integers(0, 256, shape, dtype=np.uint8)


def main(resolution: int, count: int, threads: int) -> None:
    """Collect the patches of both sets, measure their distance, save time and memory."""
    start_mib = anonymous_mib(os.getpid())
    torch.set_num_threads(threads)
    with (
        PeakMemory() as peak,
        tempfile.TemporaryDirectory(dir="/var/tmp") as scratch,
        Compute(threads=threads) as compute,
    ):
        started = time.monotonic()
        reals, fakes = (
            collect(
                noise(draws, resolution, count),
                PatchSet(Path(scratch) / draws.name, resolution, PATCHES, draws.rng(1), compute),
            )
            for draws in (SwdSeed.REALS, SwdSeed.FAKES)
        )
        collected = time.monotonic()
        rng = SwdSeed.DIRECTIONS.rng(1)
        distances = sliced_wasserstein(reals, fakes, repeats=4, directions=128, rng=rng, compute=compute)
        ended = time.monotonic()
        scratch_mib = sum(path.stat().st_size for path in Path(scratch).rglob("*.f32")) / 2**20
    figures = {
        "resolution": resolution,
        "images": count,
        "patches_per_image": PATCHES,
        "threads": threads,
        "feed_seconds_per_set": round((collected - started) / 2, 2),
        "feed_images_per_second": round(2 * count / (collected - started), 1),
        "distance_seconds": round(ended - collected, 2),
        "start_mib": round(start_mib),
        "peak_mib": round(peak.mib),
        "scratch_mib": round(scratch_mib),
        "distances": {str(side): round(value, 4) for side, value in distances.items()},
    }
    for name, value in figures.items():
        print(f"{name:<24}{value}")
    save(f"swd-{resolution}-{count}", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
