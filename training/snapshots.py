"""What a run writes at every snapshot and at its end: grids of samples, their figures, and the checkpoint.

`grids/` holds the samples of every snapshot and the reals of every resolution; `samples.png`, `reals.png` and
`progress.png` are written at the end.
"""

from pathlib import Path

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
from training.trainer import CHANNELS, Trainer


class Snapshots:
    """Writes the snapshots of one run into its folder."""

    def __init__(self, run: TrainRun, reals: Reals, folder: Path, distance: SnapshotMetric | None) -> None:
        self._run = run
        self._reals = reals
        self._folder = folder
        self._distance = distance

    def preview(self, trainer: Trainer, history: RunHistory, step: Step) -> Row:
        """Write the grid of samples at the step that was trained last; returns the figures of the samples by name."""
        run = self._run
        count = run.grid_columns * run.grid_rows
        first = self._reals.read(step.resolution, 0, count)
        reals_path = self._reals_path(step.resolution)
        if not reals_path.exists():
            self._write_grid(reals_path, first.images_NCHW)
        latents_NL = random_streams.latents(run.seed, Stream.GRID, 0, (count, run.networks.latent_size))
        samples = generate.images(trainer.average, latents_NL, first.labels_NL, lod=step.lod, minibatch=step.minibatch)
        self._write_grid(self._samples_path(trainer.images_shown), samples)
        std = health.sample_std(samples)
        figures = {} if std is None else {health.SAMPLE_STD: std}
        swd = None if self._distance is None else self._distance.measure(trainer.average, step)
        if self._distance is None or swd is None:
            return figures
        if step.lod == 0:
            history.update_best(trainer.images_shown, self._distance.name, swd, self._distance.options)
        return figures | {self._distance.name: swd}

    def save(self, trainer: Trainer, history: RunHistory, step: Step) -> None:
        """Write a checkpoint of the networks after `step`, and remove files that are no longer needed."""
        info = NetworkInfo.of_run(
            self._run,
            channels=CHANNELS,
            label_size=self._reals.label_size,
            images_shown=trainer.images_shown,
            lod=step.lod,
        )
        state = {"trainer": trainer.state_dict(), "story": history.to_json()}
        checkpoint.save(self._folder, info, trainer.networks(), state)
        self._prune(history, resumable=checkpoint.RESUMABLE)

    def finish(self, history: RunHistory) -> None:
        """Write the pictures of the whole run, and keep only what a finished run needs."""
        run, folder = self._run, self._folder
        at_snapshots = [row for row in history.rows if row["images"] in history.snapshots]
        samples = {int(row["resolution"]): self._samples_path(int(row["images"])) for row in at_snapshots}
        write_png(folder / "progress.png", progress(samples, run.grid_cell_pixels))
        atomic.write_bytes(folder / "samples.png", self._samples_path(history.snapshots[-1]).read_bytes())
        atomic.write_bytes(folder / "reals.png", self._reals_path(max(samples)).read_bytes())
        self._prune(history, resumable=1)

    def last_good(self) -> str:
        """A sentence that names the newest network file."""
        newest = checkpoint.network_files(self._folder)[-1:]
        return f"The last good snapshot is kept: {newest[0]}" if newest else "There is no snapshot yet"

    def _write_grid(self, path: Path, images_NCHW: Pixels) -> None:
        write_png(path, image_grid(images_NCHW, self._run.grid_columns, self._run.grid_cell_pixels))

    def _prune(self, history: RunHistory, resumable: int) -> None:
        best = set() if history.best is None else {history.best[0]}
        checkpoint.prune(self._folder, best | checkpoint.kept(history.snapshots, self._run.keep_snapshots), resumable)

    def _samples_path(self, images_shown: int) -> Path:
        return self._folder / "grids" / f"samples-{images_shown:09d}.png"

    def _reals_path(self, resolution: int) -> Path:
        return self._folder / "grids" / f"reals-{resolution:04d}.png"
