"""What a run writes at every snapshot, and at its end: sheets of samples, figures of them, and the checkpoint.

`grids/` holds the samples of every snapshot and the reals of every resolution; `samples.png`, `reals.png` and
`progress.png` come at the end.
"""

from pathlib import Path

from pipeline.params import TrainRun
from training import checkpoint, generate, health, image_grid
from training.checkpoint import NetworkInfo
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.history import Row, RunHistory
from training.metrics.snapshot_swd import SnapshotMetric
from training.schedule import Step
from training.trainer import CHANNELS, Trainer


class Snapshots:
    """The writer of one run, in its folder."""

    def __init__(self, run: TrainRun, reals: Reals, folder: Path, distance: SnapshotMetric | None) -> None:
        self._run = run
        self._reals = reals
        self._folder = folder
        self._distance = distance

    def look(self, trainer: Trainer, history: RunHistory, step: Step) -> Row:
        """Draw the sheet of samples, at the step that was trained last; returns the figures of the samples by name."""
        run = self._run
        count = run.grid_columns * run.grid_rows
        first = self._reals.first(step.resolution, count)
        reals_path = self._reals_path(step.resolution)
        if not reals_path.exists():
            image_grid.write(reals_path, image_grid.sheet(first.images_NCHW, run.grid_columns, run.grid_cell_pixels))
        latents_NL = random_streams.latents(run.seed, Stream.GRID, 0, (count, run.networks.latent_size))
        samples = generate.images(trainer.average, latents_NL, first.labels_NL, lod=step.lod, minibatch=step.minibatch)
        image_grid.write(
            self._samples_path(trainer.images_shown), image_grid.sheet(samples, run.grid_columns, run.grid_cell_pixels)
        )
        std = health.sample_std(samples)
        figures = {} if std is None else {health.SAMPLE_STD: std}
        swd = None if self._distance is None else self._distance.measure(trainer.average, step)
        if self._distance is None or swd is None:
            return figures
        if step.lod == 0:
            history.measured(trainer.images_shown, self._distance.name, swd, self._distance.options)
        return figures | {self._distance.name: swd}

    def save(self, trainer: Trainer, history: RunHistory, step: Step) -> None:
        """Write a checkpoint, whose networks stand at `step`, and remove what need not be kept beside it."""
        info = NetworkInfo.of_run(
            self._run,
            channels=CHANNELS,
            label_size=self._reals.label_size,
            images_shown=trainer.images_shown,
            lod=step.lod,
        )
        state = {"trainer": trainer.state(), "story": history.told()}
        checkpoint.save(self._folder, info, trainer.networks(), state)
        self._prune(history, resumable=checkpoint.FALLBACKS)

    def finish(self, history: RunHistory) -> None:
        """Write the pictures of the whole run."""
        run, folder = self._run, self._folder
        at_snapshots = [row for row in history.rows if row["images"] in history.snapshots]
        grown = {int(row["resolution"]): self._samples_path(int(row["images"])) for row in at_snapshots}
        image_grid.write(folder / "progress.png", image_grid.progress(grown, run.grid_cell_pixels))
        image_grid.write(folder / "samples.png", image_grid.read(self._samples_path(history.snapshots[-1])))
        image_grid.write(folder / "reals.png", image_grid.read(self._reals_path(max(grown))))
        self._prune(history, resumable=1)

    def last_good(self) -> str:
        """Which network file an alarm leaves, in words."""
        newest = checkpoint.network_files(self._folder)[-1:]
        return f"The last good snapshot is kept: {newest[0]}" if newest else "There is no snapshot yet"

    def _prune(self, history: RunHistory, resumable: int) -> None:
        staying = history.kept(checkpoint.kept(history.snapshots, self._run.keep_snapshots))
        checkpoint.prune(self._folder, staying, resumable)

    def _samples_path(self, images_shown: int) -> Path:
        return self._folder / "grids" / f"samples-{images_shown:09d}.png"

    def _reals_path(self, resolution: int) -> Path:
        return self._folder / "grids" / f"reals-{resolution:04d}.png"
