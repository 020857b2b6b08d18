"""Time and memory of the sliced Wasserstein distance: `python -m benchmarks.swd RESOLUTION IMAGES [THREADS]`.

Both sets are noise, made while they are fed, so that reading images is no part of the figures. The protocol is the
full one (128 patches per image and level, 4 x 128 directions); only the number of images and their size change.
Memory is the process's peak of what it really holds (anonymous pages): the descriptors on disk are not in it.
"""

import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import result
from training.metrics.swd import PatchSet, collect, sliced_wasserstein

MINIBATCH = 32
PATCHES = 128


class PeakMemory:
    """Watches the anonymous memory of this process (Linux); `mib` is the most that was seen."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            status = Path("/proc/self/status").read_text()
            (kib,) = re.findall(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
            self.mib = max(self.mib, int(kib) / 1024)


def noise(seed: int, resolution: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """Minibatches of images of independent pixels."""
    for start in range(0, count, MINIBATCH):
        shape = (min(MINIBATCH, count - start), 3, resolution, resolution)
        yield np.random.default_rng([seed, start]).integers(0, 256, shape, dtype=np.uint8)


def main(resolution: int, count: int, threads: int) -> None:
    """Feed two sets and take their distance; print and keep time and memory."""
    with PeakMemory() as peak, tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        base_mib = int(re.findall(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024
        started = time.monotonic()
        sets = [
            collect(
                noise(seed, resolution, count),
                PatchSet(Path(scratch, str(seed)), resolution, PATCHES, np.random.RandomState(seed)),
            )
            for seed in (1, 2)
        ]
        fed = time.monotonic()
        rng = np.random.RandomState(3)
        distances = sliced_wasserstein(*sets, repeats=4, directions=128, rng=rng, threads=threads)
        ended = time.monotonic()
        scratch_mib = sum(path.stat().st_size for path in Path(scratch).rglob("*.f32")) / 2**20
    figures = {
        "resolution": resolution,
        "images": count,
        "patches_per_image": PATCHES,
        "threads": threads,
        "feed_seconds_per_set": round((fed - started) / 2, 2),
        "feed_images_per_second": round(2 * count / (fed - started), 1),
        "distance_seconds": round(ended - fed, 2),
        "start_mib": round(base_mib),
        "peak_mib": round(peak.mib),
        "scratch_mib": round(scratch_mib),
        "distances": {str(side): round(value, 4) for side, value in distances.items()},
    }
    for name, value in figures.items():
        print(f"{name:<24}{value}")
    result.keep(f"swd-{resolution}-{count}", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
