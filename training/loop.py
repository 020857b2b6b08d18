"""A training run from its first image to its last, or from its last checkpoint (SPEC §6).

The clock is the number of real images shown. Every random draw is a pure function of it, so a run
that was killed anywhere goes on to the same weights, bit for bit on a CPU.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from training import checkpoint, draws, generate, grids, preflight, schedule
from training.checkpoint import NetworkInfo
from training.data import Reals
from training.draws import Stream
from training.trainer import CHANNELS, Trainer

Row = dict[str, float]
"""The figures of one tick by name; `images` is the clock."""


class Reporter(Protocol):
    """Whoever wants to know how a run is going."""

    def begin(self, rows: Sequence[Row]) -> None:
        """The run starts, or goes on after the ticks `rows`: what was reported after them did not happen."""
        ...

    def tick(self, row: Row) -> None:
        """Another tick is complete."""
        ...

    def tell(self, message: str) -> None:
        """Something a person should know."""
        ...


class Story:
    """What happened so far, beside training itself.

    Attributes
    ----------
    rows
        The figures of each tick.
    snapshots
        The images shown at each snapshot.
    tick_start
        The images shown when the current tick began.
    lod
        The level of detail of the last step; None before the first.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.snapshots: list[int] = []
        self.tick_start = 0
        self.lod: float | None = None

    def told(self) -> str:
        """All of it as JSON, whose bytes depend on the values alone (those of a pickle also on who made them)."""
        return json.dumps(vars(self))

    def recall(self, told: str) -> None:
        """Go on from what `told` returned."""
        vars(self).update(json.loads(told))

    def snapshot_due(self, run: TrainRun, images_shown: int) -> bool:
        """Whether the tick just completed ends with a snapshot; the last one does."""
        return len(self.rows) % run.snapshot_ticks == 0 or schedule.run_ends(run.schedule, images_shown)


def train(run: TrainRun, reals: Reals, folder: Path, reporter: Reporter, device: torch.device) -> Row:
    """Train until `run.schedule.total_kimg`, going on from the newest checkpoint in `folder`.

    `folder` then holds the kept network files (`checkpoint.kept`), the newest checkpoint, `grids/` with
    the samples of every snapshot and the reals of every resolution, and `samples.png`, `reals.png`
    and `progress.png`. Returns the figures of the last tick.

    Raises
    ------
    TrainingError
        The minibatch does not suit the networks, `folder` holds another run or only damaged
        checkpoints, or the losses are no longer finite.
    """
    _check(run)
    torch.set_num_threads(run.threads)
    preflight.check(run, reals.label_size, device)
    trainer, story = _start(run, reals, folder, reporter, device)
    reporter.begin(story.rows)
    while not schedule.run_ends(run.schedule, trainer.images_shown):
        step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
        if run.schedule.reset_optimizers and schedule.resets(story.lod, step.lod):
            trainer.reset_optimizers()
        story.lod = step.lod
        for _ in range(run.schedule.minibatch_repeats):
            trainer.update(step)
        shown = trainer.images_shown
        if not schedule.tick_ends(run.schedule, step, tick_start=story.tick_start, images=shown):
            continue
        story.tick_start = shown
        story.rows.append(_row(trainer, step, folder))
        reporter.tick(story.rows[-1])
        if story.snapshot_due(run, shown):
            story.snapshots.append(shown)
            _draw_grids(run, reals, trainer, folder)
            _save(run, reals, trainer, story, folder)
    _finish(run, story, folder)
    return story.rows[-1]


def device_at_hand() -> torch.device:
    """The GPU where there is one, else the CPU; matrix products of a GPU in full float32."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


def _check(run: TrainRun) -> None:
    options = run.schedule
    phases = (run.resolution // options.initial_resolution).bit_length()
    for phase in range(phases):
        kimg = phase * (options.train_kimg + options.fade_kimg) + options.train_kimg / 2
        step = schedule.at(options, run.resolution, int(kimg * 1000))
        group = run.networks.mbstd_group_size
        if step.minibatch < 1 or (group > 1 and step.minibatch % min(group, step.minibatch)):
            raise TrainingError(
                f"at {step.resolution}x{step.resolution} the minibatch is {step.minibatch}, which cannot be cut into "
                f"groups of {group}. Choose minibatch, minibatch_at and devices in the run's schedule so that it is a "
                f"multiple of networks.mbstd_group_size, or not larger than it."
            )


def _start(
    run: TrainRun, reals: Reals, folder: Path, reporter: Reporter, device: torch.device
) -> tuple[Trainer, Story]:
    trainer, story = Trainer(run, reals, device), Story()
    found = checkpoint.newest(folder, reporter.tell)
    if found is None:
        trainer.initialise()
        return trainer, story
    if found.info.run != run:
        raise TrainingError(
            f"{folder}: holds a run with other params. Train into another folder, or delete this one by hand."
        )
    trainer.restore(found.info.images_shown, found.networks, found.state["trainer"])
    story.recall(found.state["story"])
    reporter.tell(f"going on after {trainer.images_shown / 1000:.1f} thousand images")
    return trainer, story


def _row(trainer: Trainer, step: schedule.Step, folder: Path) -> Row:
    figures = trainer.take_figures()
    if not all(math.isfinite(value) for value in figures.values()):
        newest = checkpoint.network_files(folder)[-1:]
        raise TrainingError(
            f"the losses are no longer finite after {trainer.images_shown} images "
            f"({', '.join(f'{name} {value:.4g}' for name, value in figures.items())}). "
            f"{f'The last good snapshot is kept: {newest[0]}' if newest else 'There is no snapshot yet'}. "
            f"Lower schedule.learning_rate, or raise loss.wgan_lambda (WGAN-GP), and train again."
        )
    return {
        "images": trainer.images_shown,
        "lod": step.lod,
        "resolution": step.resolution,
        "minibatch": step.minibatch,
        "learning_rate": step.learning_rate,
        **figures,
    }


def _save(run: TrainRun, reals: Reals, trainer: Trainer, story: Story, folder: Path) -> None:
    step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
    info = NetworkInfo.of_run(
        run, channels=CHANNELS, label_size=reals.label_size, images_shown=trainer.images_shown, lod=step.lod
    )
    state = {"trainer": trainer.state(), "story": story.told()}
    checkpoint.save(folder, info, trainer.networks(), state)
    checkpoint.prune(folder, checkpoint.kept(story.snapshots, run.keep_snapshots), resumable=checkpoint.FALLBACKS)


def _draw_grids(run: TrainRun, reals: Reals, trainer: Trainer, folder: Path) -> None:
    count = run.grid_columns * run.grid_rows
    step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
    first = reals.first(step.resolution, count)
    reals_path = _reals_path(folder, step.resolution)
    if not reals_path.exists():
        grids.write(reals_path, grids.sheet(first.images_NCHW, run.grid_columns, run.grid_cell_pixels))
    latents_NL = draws.latents(run.seed, Stream.GRID, 0, (count, run.networks.latent_size))
    samples = generate.images(trainer.average, latents_NL, first.labels_NL, lod=step.lod, minibatch=step.minibatch)
    path = _samples_path(folder, trainer.images_shown)
    grids.write(path, grids.sheet(samples, run.grid_columns, run.grid_cell_pixels))


def _finish(run: TrainRun, story: Story, folder: Path) -> None:
    last_of = {schedule.at(run.schedule, run.resolution, shown).resolution: shown for shown in story.snapshots}
    grown = {resolution: _samples_path(folder, shown) for resolution, shown in last_of.items()}
    grids.write(folder / "progress.png", grids.progress(grown, run.grid_cell_pixels))
    grids.write(folder / "samples.png", grids.read(_samples_path(folder, story.snapshots[-1])))
    grids.write(folder / "reals.png", grids.read(_reals_path(folder, max(grown))))
    checkpoint.prune(folder, checkpoint.kept(story.snapshots, run.keep_snapshots), resumable=1)


def _samples_path(folder: Path, images_shown: int) -> Path:
    return folder / "grids" / f"samples-{images_shown:09d}.png"


def _reals_path(folder: Path, resolution: int) -> Path:
    return folder / "grids" / f"reals-{resolution:04d}.png"
