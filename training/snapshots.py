"""What a run writes at its start, ticks, snapshots and end: grids of samples, their figures, and the checkpoint.

`grids/` holds the samples of the start and of every snapshot, and the reals of every resolution; `latest.png` those of
the last tick. `samples.png`, `reals.png` and `progress.png` are written at the end.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import atomic
from pipeline.params import TrainRun
from training import checkpoint, generate, health
from training.checkpoint import NetworkInfo
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.history import Row, RunHistory
from training.image_grid import Pixels, image_grid, progress, write_png
from training.metrics.snapshot_swd import SnapshotMetric
from training.schedule import Step
from training.start import Start
from training.trainer import CHANNELS, Trainer

LATEST = "latest.png"
SHEET_PIXELS = 256
"""The largest side of a sample in the sheet of a tick, which therefore takes about the same time at all resolutions."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Writes the snapshots of one run into its folder."""

    run: TrainRun
    reals: Reals
    folder: Path
    trainer: Trainer
    history: RunHistory
    metric: SnapshotMetric | None
    start: Start | None = None

    def sheet(self, step: Step) -> Pixels:
        """The samples at `step` as one picture (H, W, C), each of at most `SHEET_PIXELS`."""
        run, average = self.run, self.trainer.average
        count = run.grid_columns * run.grid_rows
        latents_NL = random_streams.latents(run.seed, Stream.GRID, 0, (count, run.networks.latent_size))
        _, labels_NL = self.reals.mirrored_and_labels(0, count, np.arange(count))
        shrink = max(1, step.resolution // SHEET_PIXELS)
        samples = generate.images(average, latents_NL, labels_NL, lod=step.lod, minibatch=step.minibatch, shrink=shrink)
        return image_grid(samples, run.grid_columns, min(run.grid_cell_pixels, SHEET_PIXELS))

    def write_first(self, step: Step) -> Pixels:
        """Write the grid of samples before the first step, of new networks or those of `start`; returns it as `sheet`."""
        picture = self.sheet(step)
        scale = self.run.grid_cell_pixels // min(self.run.grid_cell_pixels, SHEET_PIXELS)
        write_png(self._samples_path(self.trainer.images_shown), picture.repeat(scale, axis=0).repeat(scale, axis=1))
        return picture

    def write_latest(self, step: Step) -> Pixels:
        """Write the sheet of a tick in place of that of the tick before."""
        picture = self.sheet(step)
        write_png(self.folder / LATEST, picture, compress_level=1)
        return picture

    def preview(self, step: Step) -> Row:
        """Write the grid of samples at `step`, the last that was trained; returns the figures of the samples."""
        run, shown, average = self.run, self.trainer.images_shown, self.trainer.average
        count = run.grid_columns * run.grid_rows
        first = self.reals.read(step.resolution, 0, count)
        reals_path = self._reals_path(step.resolution)
        if not reals_path.exists():
            self._write_grid(reals_path, first.images_NCHW)
        latents_NL = random_streams.latents(run.seed, Stream.GRID, 0, (count, run.networks.latent_size))
        samples = generate.images(average, latents_NL, first.labels_NL, lod=step.lod, minibatch=step.minibatch)
        self._write_grid(self._samples_path(shown), samples)
        std = health.sample_std(samples)
        figures = {} if std is None else {health.SAMPLE_STD: std}
        swd = self.metric and self.metric.measure(average, step)
        if self.metric is not None and swd is not None:
            figures[self.metric.name] = swd
            if step.lod == 0:
                self.history.update_best(shown, self.metric.name, swd, self.metric.options)
        return figures

    def save(self, step: Step) -> None:
        """Write a checkpoint of the networks after `step`, and remove files that are no longer needed."""
        trainer, size = self.trainer, self.reals.label_size
        info = NetworkInfo.of_run(
            self.run, channels=CHANNELS, label_size=size, images_shown=trainer.images_shown, lod=step.lod
        )
        state = {"trainer": trainer.state_dict(), "story": self.history.to_json()}
        start = None if self.start is None else self.start.identity
        images = self.reals.digest()
        checkpoint.save(self.folder, info, trainer.networks(), state, run=self.run, images=images, start=start)
        self._prune(checkpoint.RESUMABLE)

    def finish(self) -> None:
        """Write the pictures of the whole run, and keep only what a finished run needs."""
        shown = set(self.history.snapshots)
        at_snapshots = [row for row in self.history.rows if row["images"] in shown]
        samples = {int(row["resolution"]): self._samples_path(int(row["images"])) for row in at_snapshots}
        last = max(samples)
        for path, grid in (("samples.png", samples[last]), ("reals.png", self._reals_path(last))):
            if grid.exists():
                atomic.write_bytes(self.folder / path, grid.read_bytes())
        picture = progress(samples, self.run.grid_columns, self.run.grid_cell_pixels)
        if picture is not None:
            write_png(self.folder / "progress.png", picture)
        self._prune(resumable=1)

    def _write_grid(self, path: Path, images_NCHW: Pixels) -> None:
        write_png(path, image_grid(images_NCHW, self.run.grid_columns, self.run.grid_cell_pixels))

    def _prune(self, resumable: int) -> None:
        best = set() if self.history.best is None else {self.history.best[0]}
        keep = checkpoint.kept(self.history.snapshots, self.run.keep_snapshots)
        checkpoint.prune(self.folder, best | keep, resumable)

    def _samples_path(self, images_shown: int) -> Path:
        return self.folder / "grids" / f"samples-{images_shown:09d}.png"

    def _reals_path(self, resolution: int) -> Path:
        return self.folder / "grids" / f"reals-{resolution:04d}.png"
