"""Trains every run of profiles/ for a few steps on drawn images: `python -m benchmarks.presets [STEPS] [PROFILE ...]`.

Shows that every profile trains through its first three resolutions with finite losses. To fit one core, networks have
`MAPS` feature maps at most, minibatches `MINIBATCH` images, and a phase takes a fifth of the steps.
"""

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.result import save
from pipeline.params import TrainRun
from stages import profiles
from training.data.real_images import Reals
from training.history import Row
from training.loop import train

STEPS = 200
MAPS = 64
MINIBATCH = 8


class DrawnImages:
    """Replaces a data set of shards: discs of random colour and position, drawn when read."""

    labels = None

    def __init__(self, resolution: int, count: int) -> None:
        self.resolution = resolution
        self._count = count

    def __len__(self) -> int:
        return self._count

    def read(self, resolution: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images `rows`, (N, 3, resolution, resolution)."""
        y, x = np.mgrid[:resolution, :resolution] / resolution
        images = np.empty((len(rows), 3, resolution, resolution), np.uint8)
        for image_CHW, row in zip(images, rows, strict=True):
            rng = np.random.default_rng(row)
            ground, disc, (cx, cy) = rng.random(3), rng.random(3), rng.uniform(0.3, 0.7, 2)
            inside = 1 / (1 + np.exp(20 * (np.hypot(x - cx, y - cy) - 0.3)))
            image_CHW[:] = (ground[:, None, None] + (disc - ground)[:, None, None] * inside) * 255
        return images


def reduced(run: TrainRun, *, steps: int, maps: int, minibatch: int) -> tuple[TrainRun, int]:
    """Shorten a run to `steps` updates of G; returns it, and the factor by which its feature maps are divided."""
    factor = max(1, run.networks.fmap_max // maps)
    values: dict[str, Any] = run.model_dump()
    values["networks"] |= {
        "fmap_base": max(1, run.networks.fmap_base // factor),
        "fmap_max": max(1, run.networks.fmap_max // factor),
        "latent_size": max(1, run.networks.latent_size // factor),
    }
    schedule = values["schedule"]
    at = {side: min(minibatch, count) for side, count in run.schedule.minibatch_at.items()}
    per_step = min(minibatch, max(at.get(run.schedule.initial_resolution, run.schedule.minibatch), 1))
    total_kimg = steps * run.schedule.discriminator_repeats * per_step / 1000
    schedule |= {
        "devices": 1,
        "minibatch": min(minibatch, run.schedule.minibatch),
        "minibatch_at": at,
        "train_kimg": total_kimg / 5,
        "fade_kimg": total_kimg / 5,
        "total_kimg": total_kimg,
        "tick_kimg": total_kimg / 5,
        "tick_kimg_at": {},
        "minibatch_repeats": math.gcd(steps, run.schedule.minibatch_repeats),
    }
    values |= {"threads": 1, "snapshot_ticks": 1000, "grid_columns": 2, "grid_rows": 1}
    return TrainRun.model_validate(values), factor


def tried(run: TrainRun, folder: Path) -> Row:
    """Train to the end; returns the last tick. Losses that are not finite raise `TrainingError`."""
    drawn: Any = DrawnImages(run.resolution, 1000)
    silent_reporter = Mock()
    return train(run, Reals(drawn, run), folder, silent_reporter, torch.device("cpu")).rows[-1]


def main(steps: int, names: Sequence[str]) -> None:
    """Train the named profiles, or all; print a line for each run, save if all."""
    rows: dict[str, dict[str, Any]] = {}
    for name in names or profiles.names():
        for run in profiles.read_profile(name).train.runs.values():
            small, factor = reduced(run, steps=steps, maps=MAPS, minibatch=MINIBATCH)
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                row = tried(small, Path(folder))
            rows[name] = {
                "steps": steps,
                "maps_divided_by": factor,
                "minibatch": small.schedule.minibatch,
                "images": row["images"],
                "resolution": row["resolution"],
                "loss_d": round(row["loss/discriminator"], 4),
                "loss_g": round(row["loss/generator"], 4),
                "skipped_updates": row["skipped_updates"],
                "seconds": round(time.monotonic() - started, 1),
            }
            print(f"{name:18}" + "  ".join(f"{key} {value}" for key, value in rows[name].items()), flush=True)
    if not names:
        save("presets", {"runs": rows})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS, sys.argv[2:])
