"""Evaluation against plain NumPy on a CPU: `python -m benchmarks.metrics [RESOLUTION [THREADS]]` (1024, all cores).

The plain forms (`plain_metrics.py`) and ours alternate, `ROUNDS` times; the shortest of each counts, and the values
are compared. MS-SSIM per pair; SWD per image (pyramid and patches) and per level (distance of normalised sets). The
plain distance is measured on `PART` of the protocol's descriptors and counted times 1 / `PART`, which flatters it; ours
in full as well, once, with its memory. From these follow the hours of 20 snapshots with the paper's protocol, without
the time of the generator.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import plain_metrics
from benchmarks.result import PeakMemory, machine, save
from training.metrics.compute import Compute
from training.metrics.msssim import msssim_of_pairs
from training.metrics.swd import PatchSet, distance, draw_directions, level_sides
from training.metrics.swd_patches import SIDE, DescriptorFile

ROUNDS = 3
PAIRS, IMAGES = 4, 16
PROTOCOL_PAIRS, PROTOCOL_IMAGES, PATCHES, REPEATS, DIRECTIONS = 10_000, 16_384, 128, 4, 128
PART, SNAPSHOTS = 1 / 16, 20


def alternate(plain: Callable[[], Any], ours: Callable[[], Any]) -> tuple[tuple[float, Any], tuple[float, Any]]:
    """The shortest seconds of each, and its result."""
    best: dict[Callable[[], Any], tuple[float, Any]] = {}
    for _ in range(ROUNDS):
        for function in (plain, ours):
            started = time.monotonic()
            result = function()
            seconds = time.monotonic() - started
            best[function] = min(best.get(function, (seconds, result)), (seconds, result), key=lambda found: found[0])
    return best[plain], best[ours]


def descriptor_file(path: Path, seed: int, count: int) -> DescriptorFile:
    """Descriptors of noise, normalised."""
    file, rng = DescriptorFile(path), np.random.default_rng(seed)
    for start in range(0, count, 1 << 16):
        shape = (min(1 << 16, count - start), 3, SIDE, SIDE)
        file.append(rng.standard_normal(shape, np.float32))
    file.normalise()
    return file


def measure(resolution: int, compute: Compute, folder: Path) -> dict[str, Any]:
    """Seconds of the parts, plain and ours."""
    rng, sides = np.random.default_rng(1), level_sides(resolution)
    images = rng.integers(0, 256, (max(2 * PAIRS, IMAGES), 3, resolution, resolution), dtype=np.uint8)
    first, second = images[: 2 * PAIRS : 2], images[1 : 2 * PAIRS : 2]
    plain_pair, our_pair = alternate(
        lambda: plain_metrics.msssim(first, second), lambda: msssim_of_pairs(images[: 2 * PAIRS], compute)
    )
    np.testing.assert_allclose(our_pair[1], plain_pair[1], atol=1e-6)
    patch_set = PatchSet(folder / "patches", resolution, PATCHES, np.random.RandomState(1), compute)
    plain_image, our_image = alternate(
        lambda: plain_metrics.patches(images[:IMAGES], len(sides), PATCHES), lambda: patch_set.update(images[:IMAGES])
    )
    files = [descriptor_file(folder / f"{n}.f32", n, int(PROTOCOL_IMAGES * PATCHES * PART)) for n in range(2)]
    sets = [np.concatenate(list(file.blocks())) for file in files]
    directions = draw_directions(np.random.RandomState(1), REPEATS, DIRECTIONS)
    plain_level, our_level = alternate(
        lambda: plain_metrics.distance(*sets, directions, REPEATS), lambda: distance(*files, directions, compute)
    )
    np.testing.assert_allclose(our_level[1], plain_level[1], rtol=1e-4)
    return {
        "msssim_seconds_per_pair": {"plain": plain_pair[0] / PAIRS, "ours": our_pair[0] / PAIRS},
        "swd_seconds_per_image": {"plain": plain_image[0] / IMAGES, "ours": our_image[0] / IMAGES},
        "swd_seconds_per_level": {"plain": plain_level[0] / PART, "ours": our_level[0] / PART},
    }


def full_level(compute: Compute, folder: Path) -> dict[str, float]:
    """Seconds and memory of the distance of one level in full."""
    files = [descriptor_file(folder / f"full{n}.f32", n, PROTOCOL_IMAGES * PATCHES) for n in range(2)]
    directions = draw_directions(np.random.RandomState(1), REPEATS, DIRECTIONS)
    with PeakMemory() as peak:
        started = time.monotonic()
        distance(*files, directions, compute)
        return {"swd_seconds_of_a_full_level": time.monotonic() - started, "peak_mib": peak.mib}


def main(resolution: int, threads: int) -> None:
    """Measure, print and save."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch, Compute(threads=threads) as compute:
        figures = measure(resolution, compute, Path(scratch)) | full_level(compute, Path(scratch))
    levels = len(level_sides(resolution))
    hours: dict[str, dict[str, float]] = {"msssim": {}, "swd": {}}
    levels_seconds = {
        "plain": figures["swd_seconds_per_level"]["plain"],
        "ours": figures["swd_seconds_of_a_full_level"],
    }
    for form, seconds in levels_seconds.items():
        of_images = figures["swd_seconds_per_image"][form] * PROTOCOL_IMAGES
        hours["swd"][form] = (of_images + seconds * levels) * SNAPSHOTS / 3600
        hours["msssim"][form] = figures["msssim_seconds_per_pair"][form] * PROTOCOL_PAIRS * SNAPSHOTS / 3600
    figures |= {"resolution": resolution, "threads": threads, f"hours_of_{SNAPSHOTS}_snapshots": hours}
    figures["load_average"] = os.getloadavg()[0]
    for name, value in figures.items():
        print(f"{name:<32}{value}")
    save(
        f"metrics-{resolution}",
        figures,
        {f"{name} {resolution}": round(of["plain"] / of["ours"], 2) for name, of in hours.items()},
    )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 1024,
        int(sys.argv[2]) if len(sys.argv) > 2 else int(machine()["cores"]),
    )
