"""A training run from its first image, or its newest checkpoint, to its last.

The clock is the number of real images shown. Every random draw is a function of it, so a run that was killed at any
moment ends with the same weights as an uninterrupted one, bit for bit on a CPU.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.errors import AlarmError, StoppedError, TrainingError
from pipeline.params import TrainRun
from training import checkpoint, health, schedule
from training.checkpoint import Checkpoint
from training.data.real_images import Reals
from training.distributed.batch_split import rows_of_part
from training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from training.history import Row, RunHistory
from training.metrics.snapshot_swd import snapshot_metric
from training.runtime import preflight
from training.runtime.device import prepare
from training.runtime.run_lock import run_lock
from training.schedule import Step
from training.snapshots import Snapshots
from training.trainer import Trainer


class Reporter:
    """Receives the progress of a run; this base class ignores it."""

    def begin(self, rows: Sequence[Row]) -> None:
        """The run starts, or resumes after the ticks `rows`; ticks reported after them are void."""

    def tick(self, row: Row) -> None:
        """A tick is complete."""

    def log(self, message: str) -> None:
        """A message for the user."""


def train(
    run: TrainRun,
    reals: Reals,
    folder: Path,
    reporter: Reporter,
    device: torch.device,
    *,
    group: ProcessGroup = SINGLE_PROCESS,
    stop_requested: Callable[[], bool] = lambda: False,
) -> RunHistory:
    """Train until `run.schedule.total_kimg`, from the newest checkpoint in `folder` if there is one.

    `folder` then holds the kept network files (`checkpoint.kept`, and the best by the snapshots' distance), the newest
    checkpoint, and the pictures of `training.snapshots`. Only the main process writes and reports. The last row of the
    returned history is that of the whole run.

    Raises
    ------
    TrainingError
        The minibatch does not suit the networks or the processes, `folder` holds another run or only damaged
        checkpoints, or another process trains in it.
    AlarmError
        The run has failed a health check (`training.health`).
    StoppedError
        `stop_requested` returned true in any process. The run is saved, even in the middle of a tick.
    """
    _check_splits(run, group)
    prepare(run, device)
    preflight.check(run, reals, device, group)
    with ExitStack() as stack:
        if group.is_main:
            stack.enter_context(run_lock(folder, reporter.log))
        distance = stack.enter_context(snapshot_metric(run, reals, folder)) if group.is_main else None
        snapshots = Snapshots(run, reals, folder, distance)
        loop = _Loop(run, folder, reporter, group, Trainer(run, reals, device, group), RunHistory(), snapshots)
        loop.start()
        while not schedule.run_ends(run.schedule, loop.trainer.images_shown):
            loop.step()
            if not schedule.run_ends(run.schedule, loop.trainer.images_shown) and group.any(stop_requested()):
                loop.stop()
        if group.is_main:
            snapshots.finish(loop.history)
    return loop.history


def _check_splits(run: TrainRun, group: ProcessGroup) -> None:
    devices = run.schedule.devices
    if devices % group.world_size:
        raise TrainingError(
            f"{group.world_size} processes were started for a run of {devices} devices. Start as many as "
            f"schedule.devices says, or a number that divides it."
        )
    for step in preflight.steps(run):
        try:
            rows_of_part(step.minibatch, run.networks.mbstd_group_size, 0, devices)
        except TrainingError as error:
            raise TrainingError(f"at {step.resolution}x{step.resolution}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Loop:
    run: TrainRun
    folder: Path
    reporter: Reporter
    group: ProcessGroup
    trainer: Trainer
    history: RunHistory
    snapshots: Snapshots

    def start(self) -> None:
        """Draw the initial weights, or load the newest checkpoint."""
        found = self._newest()
        if found is None:
            self.trainer.initialise()
        else:
            _check_same_run(self.run, found, self.folder)
            self.trainer.restore(found.info.images_shown, found.networks, found.state["trainer"])
            self.history.load_json(found.state["story"])
        if self.group.is_main:
            if found is not None:
                self.reporter.log(f"resuming after {self.trainer.images_shown / 1000:.1f} thousand images")
            self.reporter.begin(self.history.rows)

    def step(self) -> None:
        """Take one step of the schedule, with its repeats, and end the tick where it is due."""
        run, trainer, history = self.run, self.trainer, self.history
        step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
        before = history.last_step(run)
        if run.schedule.reset_optimizers and schedule.resets(before and before.lod, step.lod):
            trainer.reset_optimizers()
        history.step_start = trainer.images_shown
        for _ in range(run.schedule.minibatch_repeats):
            trainer.update(step)
        if schedule.tick_ends(run.schedule, step, tick_start=history.tick_start, images=trainer.images_shown):
            history.tick_start = trainer.images_shown
            self._end_tick(step)

    def stop(self) -> None:
        """Save a checkpoint and raise `StoppedError`."""
        step = self.history.last_step(self.run)
        assert step is not None  # at least one step was taken
        if self.group.is_main:
            self.snapshots.save(self.trainer, self.history, step)
        self.group.any(False)  # no process ends before the checkpoint is saved
        raise StoppedError(
            f"stopped on request after {self.trainer.images_shown} images. The run is saved in {self.folder}; it "
            f"resumes when it is started again."
        )

    def _newest(self) -> Checkpoint | None:
        """The newest checkpoint; the main process checks the files and broadcasts which one to load."""
        found = checkpoint.newest(self.folder, self.reporter.log) if self.group.is_main else None
        images_shown = self.group.broadcast(found.info.images_shown if found else None)
        return found if self.group.is_main or images_shown is None else checkpoint.read(self.folder, images_shown)

    def _end_tick(self, step: Step) -> None:
        trainer, history, snapshots = self.trainer, self.history, self.snapshots
        snapshot_due = history.snapshot_due(self.run, trainer.images_shown)
        row = {
            "images": trainer.images_shown,
            "lod": step.lod,
            "resolution": step.resolution,
            "minibatch": step.minibatch,
            "learning_rate": step.learning_rate,
            **trainer.take_figures(),
        }
        if snapshot_due:
            self._check_equal_weights()
            history.snapshots.append(trainer.images_shown)
        if not self.group.is_main:  # a failed health check ends the main process, and with it the run
            history.rows.append(row)
            return
        fault = health.check_figures(self.run.alarms, row)
        if snapshot_due and fault is None:
            row |= snapshots.preview(trainer, history, step)
            fault = health.check_samples(self.run.alarms, row)
        history.rows.append(row)
        self.reporter.tick(row)
        if fault is not None:
            raise AlarmError(f"after {trainer.images_shown} images {fault}. {snapshots.last_good()}")
        if snapshot_due:
            snapshots.save(trainer, history, step)

    def _check_equal_weights(self) -> None:
        """Raise where processes hold different weights: a fault of a device, or of the code."""
        if self.group.world_size == 1:
            return
        sha256 = hashlib.sha256()
        for name in ("G", "D"):
            for value in self.trainer.networks()[name].values():
                sha256.update(value.detach().cpu().contiguous().numpy().tobytes())
        digest = int.from_bytes(sha256.digest()[:7])
        if self.group.max(digest) != -self.group.max(-digest):
            raise TrainingError(
                f"after {self.trainer.images_shown} images the ranks hold different weights: one of the devices does "
                f"not compute as the others do. Test them one by one; training resumes from the newest checkpoint."
            )


def _check_same_run(run: TrainRun, found: Checkpoint, folder: Path) -> None:
    before, shown = found.info.run, found.info.images_shown
    old, new = {} if before is None else before.deciding(), run.deciding()
    if before is None or old != new:
        different = ", ".join(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))
        raise TrainingError(
            f"{folder}: holds a run with other params (different: {different}). Train into another folder, or delete "
            f"this one by hand."
        )
    if run.schedule.total_kimg < before.schedule.total_kimg and schedule.run_ends(run.schedule, shown):
        raise TrainingError(
            f"{folder}: was shown {shown / 1000:g} thousand images, more than the run's schedule.total_kimg "
            f"{run.schedule.total_kimg:g}. Raise it; to have the shorter run, train into another folder."
        )
