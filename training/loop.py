"""A training run from its first image to its last, or from its last checkpoint (SPEC §6).

The clock is the number of real images shown. Every random draw is a pure function of it, so a run
that was killed anywhere goes on to the same weights, bit for bit on a CPU.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from pipeline.errors import AlarmError, StoppedError, TrainingError
from pipeline.params import TrainRun
from training import checkpoint, health, schedule
from training.checkpoint import Checkpoint
from training.data.real_images import Reals
from training.distributed.process_group import ALONE, Ranks, rows_of_part
from training.history import Row, RunHistory
from training.metrics.snapshot_swd import snapshot_metric
from training.runtime import preflight
from training.runtime.device import prepare
from training.runtime.signals import never, sole_writer
from training.schedule import Step
from training.snapshots import Snapshots
from training.trainer import Trainer


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


def train(
    run: TrainRun,
    reals: Reals,
    folder: Path,
    reporter: Reporter,
    device: torch.device,
    *,
    ranks: Ranks = ALONE,
    asked_to_stop: Callable[[], bool] = never,
) -> RunHistory:
    """Train until `run.schedule.total_kimg`, going on from the newest checkpoint in `folder`.

    `folder` then holds the kept network files (`checkpoint.kept`, and the best by the snapshots' distance), the newest
    checkpoint, and the pictures of `training.snapshots`. Of several ranks only the first writes and reports. Returns
    what happened: its last row is that of the whole run.

    Raises
    ------
    TrainingError
        The minibatch does not suit the networks or the ranks, `folder` holds another run or only damaged
        checkpoints, or another process trains in it.
    AlarmError
        The run has gone wrong (`training.health`).
    StoppedError
        `asked_to_stop` said so on any rank. The run is saved, in the middle of a tick too.
    """
    _check(run, ranks)
    prepare(run, device)
    preflight.check(run, reals, device, ranks)
    with ExitStack() as held:
        if ranks.first:
            held.enter_context(sole_writer(folder, reporter.tell))
        distance = held.enter_context(snapshot_metric(run, reals, folder)) if ranks.first else None
        snapshots = Snapshots(run, reals, folder, distance)
        loop = _Loop(run, folder, reporter, ranks, Trainer(run, reals, device, ranks), RunHistory(), snapshots)
        loop.start()
        while not schedule.run_ends(run.schedule, loop.trainer.images_shown):
            loop.step()
            if not schedule.run_ends(run.schedule, loop.trainer.images_shown) and ranks.any(asked_to_stop()):
                loop.stop()
        if ranks.first:
            snapshots.finish(loop.history)
    return loop.history


def _check(run: TrainRun, ranks: Ranks) -> None:
    options, group = run.schedule, run.networks.mbstd_group_size
    if options.devices % ranks.count:
        raise TrainingError(
            f"{ranks.count} processes were started for a run of {options.devices} devices. Start as many as "
            f"schedule.devices says, or a number that divides it."
        )
    for step in preflight.steps(run):
        try:
            rows_of_part(step.minibatch, group, 0, options.devices)
        except TrainingError as error:
            raise TrainingError(f"at {step.resolution}x{step.resolution}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Loop:
    run: TrainRun
    folder: Path
    reporter: Reporter
    ranks: Ranks
    trainer: Trainer
    history: RunHistory
    snapshots: Snapshots

    def start(self) -> None:
        """Draw the weights, or take up the newest checkpoint."""
        found = self._newest()
        if found is None:
            self.trainer.initialise()
        else:
            _check_same(self.run, found, self.folder)
            self.trainer.restore(found.info.images_shown, found.networks, found.state["trainer"])
            self.history.recall(found.state["story"])
        if self.ranks.first:
            if found is not None:
                self.reporter.tell(f"going on after {self.trainer.images_shown / 1000:.1f} thousand images")
            self.reporter.begin(self.history.rows)

    def step(self) -> None:
        """One step of training, as often as a minibatch is repeated, and the end of the tick where it is due."""
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
        """Save, and end the run for now."""
        step = self.history.last_step(self.run)
        assert step is not None  # a run is asked after a step
        if self.ranks.first:
            self.snapshots.save(self.trainer, self.history, step)
        self.ranks.any(False)  # none ends before all is saved
        raise StoppedError(
            f"asked to stop after {self.trainer.images_shown} images. The run is saved in {self.folder}; it goes on "
            f"when it is started again."
        )

    def _newest(self) -> Checkpoint | None:
        found = checkpoint.newest(self.folder, self.reporter.tell) if self.ranks.first else None
        shown = self.ranks.of_first(found.info.images_shown if found else None)
        return checkpoint.read(self.folder, shown) if found is None and shown is not None else found

    def _end_tick(self, step: Step) -> None:
        trainer, history, snapshots = self.trainer, self.history, self.snapshots
        due = history.snapshot_due(self.run, trainer.images_shown)
        row = {
            "images": trainer.images_shown,
            "lod": step.lod,
            "resolution": step.resolution,
            "minibatch": step.minibatch,
            "learning_rate": step.learning_rate,
            **trainer.take_figures(),
        }
        if due:
            self._check_alike()
            history.snapshots.append(trainer.images_shown)
        if not self.ranks.first:  # an alarm ends the first rank, and with it the run
            history.rows.append(row)
            return
        wrong = health.in_figures(self.run.alarms, row)
        if due and wrong is None:
            row |= snapshots.look(trainer, history, step)
            wrong = health.in_samples(self.run.alarms, row)
        history.rows.append(row)
        self.reporter.tick(row)
        if wrong is not None:
            raise AlarmError(f"after {trainer.images_shown} images {wrong}. {snapshots.last_good()}")
        if due:
            snapshots.save(trainer, history, step)

    def _check_alike(self) -> None:
        """Raise where ranks hold other weights than the first: a fault of a device, or of the code."""
        if self.ranks.count == 1:
            return
        sha256 = hashlib.sha256()
        for name in ("G", "D"):
            for value in self.trainer.networks()[name].values():
                sha256.update(value.detach().cpu().contiguous().numpy().tobytes())
        digest = int.from_bytes(sha256.digest()[:7])
        if self.ranks.largest(digest) != -self.ranks.largest(-digest):
            raise TrainingError(
                f"after {self.trainer.images_shown} images the ranks hold different weights: one of the devices does "
                f"not compute as the others do. Test them one by one; the run goes on from its newest checkpoint."
            )


def _check_same(run: TrainRun, found: Checkpoint, folder: Path) -> None:
    before, shown = found.info.run, found.info.images_shown
    if before is None or before.deciding() != run.deciding():
        raise TrainingError(
            f"{folder}: holds a run with other params{_differences(before, run)}. Train into another folder, or delete "
            f"this one by hand."
        )
    if run.schedule.total_kimg < before.schedule.total_kimg and schedule.run_ends(run.schedule, shown):
        raise TrainingError(
            f"{folder}: was shown {shown / 1000:g} thousand images, more than schedule.total_kimg "
            f"{run.schedule.total_kimg:g} wants now. Raise it; to have the shorter run, train into another folder."
        )


def _differences(before: TrainRun | None, run: TrainRun) -> str:
    if before is None:
        return ""
    old, new = before.deciding(), run.deciding()
    return f" (other are: {', '.join(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))})"
