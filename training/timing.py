"""The time that a run takes, by ticks: `timing.csv` in its folder. Runs that are otherwise equal differ in it."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch

from pipeline import atomic
from training.data.real_images import MIB

FILE = "timing.csv"


class Timing(NamedTuple):
    """The time of one tick; a line of `timing.csv`.

    `kimg` is the clock, thousands of images shown. `seconds` is the time of the whole run so far, without that between
    its sessions, and `eta_seconds` what is left of it (see `TickTimer`). The others are of the tick alone: how long the
    steps waited for images, and the peak of the GPU memory that this process had reserved (0 on a CPU). `unix_time` is
    when it ended.
    """

    kimg: float
    seconds: float
    eta_seconds: float
    seconds_per_kimg: float
    images_per_second: float
    data_wait_seconds: float
    gpu_peak_mib: float
    unix_time: float

    @classmethod
    def read(cls, line: dict[str, str]) -> Self:
        """From a line of the file."""
        return cls(*(float(line[name]) for name in cls._fields))


class TickTimer:
    """Measures ticks and writes `timing.csv`, anew at each tick, since DVC may share the file with its cache.

    The time left is that of the images that are still to come: at the speed of this tick as long as the resolution
    stays, and half as fast for each doubling after that, which is about what full networks do.

    Parameters
    ----------
    folder
        Of the run. Lines after `images_shown` are dropped: those ticks were lost.
    growth
        Of the whole run: after how many images each resolution begins.
    total
        Images of the whole run.
    """

    def __init__(
        self, folder: Path, device: torch.device, *, images_shown: int, growth: Sequence[tuple[int, int]], total: float
    ) -> None:
        self._path = folder / FILE
        self._cuda = device if device.type == "cuda" else None
        self._growth = growth
        self._total = total
        self.lines = [line for line in _read(self._path) if line.kimg * 1000 <= images_shown]
        self._then, self._images = time.monotonic(), images_shown
        self._reset_peak()

    def tick(self, images_shown: int, data_wait_seconds: float) -> Timing:
        """The tick that ends now."""
        now, images = time.monotonic(), images_shown - self._images
        seconds = now - self._then
        timing = Timing(
            kimg=images_shown / 1000,
            seconds=round((self.lines[-1].seconds if self.lines else 0.0) + seconds, 2),
            eta_seconds=round(self._work_left(images_shown) * seconds / images, 1),
            seconds_per_kimg=round(1000 * seconds / images, 3),
            images_per_second=round(images / seconds, 3),
            data_wait_seconds=round(data_wait_seconds, 3),
            gpu_peak_mib=round(torch.cuda.max_memory_reserved(self._cuda) / MIB, 1) if self._cuda else 0.0,
            unix_time=round(time.time(), 1),
        )
        self._then, self._images = now, images_shown
        self._reset_peak()
        self.lines.append(timing)
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerows([Timing._fields, *self.lines])
        atomic.write_bytes(self._path, table.getvalue().encode())
        return timing

    def _work_left(self, images_shown: int) -> float:
        """The images to come, each counted by how much longer it takes than one of now."""
        ends = [start for start, _ in self._growth[1:]] + [self._total]
        now = max((resolution for start, resolution in self._growth if start < images_shown), default=1)
        return sum(
            max(end - max(start, images_shown), 0) * resolution / now
            for (start, resolution), end in zip(self._growth, ends, strict=True)
        )

    def _reset_peak(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self._cuda)


def _read(path: Path) -> list[Timing]:
    """The lines of the file; none where there is no file, or not one of these columns."""
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [Timing.read(line) for line in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError):
        return []
