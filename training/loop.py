"""A training run from its first image, or its newest checkpoint, to its last.

The clock is the number of real images shown. Every random draw is a function of it, so a run that was killed at any
moment ends with the same weights as an uninterrupted one, bit for bit on a CPU.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from pipeline.errors import AlarmError, StoppedError, TrainingError
from pipeline.params import TrainRun
from pipeline.provenance import flat
from training import checkpoint, health, previews, run_identity, schedule
from training import start as starts
from training.data.real_images import Reals
from training.distributed.batch_split import rows_of_part
from training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from training.history import Row, RunHistory
from training.image_grid import Pixels
from training.metrics import inception
from training.previews import PreviewProcess
from training.run_identity import SavedRun
from training.runtime import preflight, signals
from training.runtime.device import prepare
from training.runtime.run_lock import run_lock
from training.schedule import Step
from training.snapshots import Snapshots
from training.start import Start
from training.timing import TickTimer, Timing
from training.trainer import Trainer

WAIT_SECONDS = 0.2
"""Between two looks whether a stop is requested."""


class Reporter:
    """Receives the progress of a run; this base class ignores it."""

    def begin(self, rows: Sequence[Row], timings: Sequence[Timing]) -> None:
        """The run starts, or resumes after the ticks `rows`; ticks reported after them are void.

        `timings` are those of the ticks as far as they are known: a run of an earlier version has none.
        """

    def tick(self, row: Row, timing: Timing) -> None:
        """A tick is complete."""

    def measured(self, row: Row, figures: Row) -> None:
        """The snapshot of an earlier tick is measured: `figures`, which are now part of its `row`."""

    def sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """A sheet of samples, of the start or of a snapshot."""

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
    start: Start | None = None,
) -> RunHistory:
    """Train until `run.schedule.total_kimg`, from the newest checkpoint in `folder` if there is one.

    Without one, from the networks of `start`, or from new ones.

    `folder` then holds the kept network files (`checkpoint.kept`, and the best by the snapshots' distance), the newest
    checkpoint, the pictures of `training.snapshots`, and `timing.csv`. Only the main process writes and reports. The
    last row of the returned history is that of the whole run.

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
    if run.snapshot_fid is not None and group.is_main:
        inception.check_file(run.snapshot_fid, "the run's snapshot_fid")
    if group.is_main:
        previews.preload()
    first = start.images_shown if start else 0
    earliest = group.broadcast((checkpoint.earliest(folder) or first) if group.is_main else None)
    with signals.nothing_to_save("the largest steps of all resolutions were tried"):
        preflight.check(run, reals, device, group, images_shown=earliest)
    with ExitStack() as stack:
        if group.is_main:
            stack.enter_context(run_lock(folder, reporter.log))
        process = PreviewProcess(run, reals.dataset, folder, device)
        if group.is_main:
            process = stack.enter_context(previews.preview_process(run, reals.dataset, folder, device))
        trainer, history = Trainer(run, reals, device, group), RunHistory()
        snapshots = Snapshots(run, reals, folder, trainer, history, process, start)
        _initialise_or_resume(snapshots, group, reporter)
        timer = _begin(snapshots, device, reporter) if group.is_main else None
        growth = schedule.growth(run.schedule, run.resolution)
        while not schedule.run_ends(run.schedule, trainer.images_shown):
            step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
            if run.schedule.reset_optimizers and schedule.resets(history.last_lod(run), step.lod):
                trainer.reset_optimizers()
            history.step_start = trainer.images_shown
            for _ in range(run.schedule.minibatch_repeats):
                trainer.update(step)
            if any(resolution == 2 * step.resolution for _, resolution in growth):
                trainer.preload(2 * step.resolution)
            if schedule.tick_ends(run.schedule, step, tick_start=history.tick_start, images=trainer.images_shown):
                history.tick_start = trainer.images_shown
                _end_tick(step, snapshots, reporter, group, timer)
            if not schedule.run_ends(run.schedule, trainer.images_shown) and group.any(stop_requested()):
                if group.is_main:
                    snapshots.save(step)
                group.any(False)  # no process ends before the checkpoint is saved
                raise StoppedError(
                    f"stopped on request after {trainer.images_shown} images. The run is saved in {folder}; it "
                    f"resumes when it is started again."
                )
        if group.is_main:
            _finish(snapshots, reporter)
    return history


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


def _initialise_or_resume(snapshots: Snapshots, group: ProcessGroup, reporter: Reporter) -> None:
    """Draw the initial weights, or load the newest checkpoint; the main process checks the files and broadcasts it."""
    folder, trainer, history = snapshots.folder, snapshots.trainer, snapshots.history
    found = checkpoint.newest(folder, reporter.log) if group.is_main else None
    images_shown = group.broadcast(found.info.images_shown if found else None)
    if images_shown is None and snapshots.start is not None:
        _start(snapshots, snapshots.start, reporter)
    elif images_shown is None:
        trainer.initialise()
    else:
        found = found or checkpoint.read(folder, images_shown)
        _check_same_run(snapshots, found.run)
        trainer.restore(images_shown, found.networks, found.state["trainer"])
        history.load_json(found.state["story"])
    if group.is_main and found is not None:
        _log_resumed(snapshots.run, found.run, reporter)


def _start(snapshots: Snapshots, start: Start, reporter: Reporter) -> None:
    """Load trained networks. What is no part of them, ticks, snapshots and the best of them, begins anew."""
    run, trainer, history = snapshots.run, snapshots.trainer, snapshots.history
    loaded = starts.load(start, run, snapshots.reals.label_size)
    trainer.start(start.images_shown, loaded.networks, loaded.trainer)
    history.tick_start, history.step_start = start.images_shown, loaded.step_start
    for message in (starts.description(start, run), *loaded.remarks):
        reporter.log(message)


def _begin(snapshots: Snapshots, device: torch.device, reporter: Reporter) -> TickTimer:
    """Report what was before this session; write the samples of the networks that the run starts with."""
    run, shown = snapshots.run, snapshots.trainer.images_shown
    timer = TickTimer(
        snapshots.folder,
        device,
        images_shown=shown,
        growth=schedule.growth(run.schedule, run.resolution),
        total=run.schedule.total_kimg * 1000,
    )
    reporter.begin(snapshots.history.rows, timer.lines)
    for pending in snapshots.history.pending:
        snapshots.measure(pending)
    if shown == (snapshots.start.images_shown if snapshots.start else 0):
        reporter.sheet(shown, snapshots.write_first(schedule.at(run.schedule, run.resolution, shown)))
    return timer


def _end_tick(
    step: Step, snapshots: Snapshots, reporter: Reporter, group: ProcessGroup, timer: TickTimer | None
) -> None:
    """Report the figures, check them, and write a snapshot where it is due."""
    run, trainer, history = snapshots.run, snapshots.trainer, snapshots.history
    snapshot_due = history.snapshot_due(run, trainer.images_shown)
    d_rate = step.discriminator_learning_rate
    row = {
        "images": trainer.images_shown,
        "lod": step.lod,
        "resolution": step.resolution,
        "minibatch": step.minibatch,
        "learning_rate": step.learning_rate,
        **({} if d_rate is None else {"discriminator_learning_rate": d_rate}),
        **trainer.take_figures(),
    }
    if snapshot_due:
        _check_equal_weights(trainer, group)
        history.snapshots.append(trainer.images_shown)
    waited = trainer.take_data_wait()
    if timer is None:  # a failed health check ends the main process, and with it the run
        history.rows.append(row)
        return
    fault = health.check_figures(run.alarms, row)
    history.rows.append(row)
    sheet = snapshots.write_latest(step)
    reporter.tick(row, timer.tick(trainer.images_shown, waited))
    if snapshot_due:
        reporter.sheet(trainer.images_shown, sheet)
    if fault is not None:
        _raise_alarm(snapshots, trainer.images_shown, fault)
    _take_measured(snapshots, reporter, leave=0 if snapshot_due else len(history.pending))
    if snapshot_due:
        history.pending.append(trainer.images_shown)
        snapshots.save(step)
        snapshots.measure(trainer.images_shown)


def _take_measured(snapshots: Snapshots, reporter: Reporter, *, leave: int) -> None:
    """Take what is measured, and wait until at most `leave` snapshots are not, or until a stop is requested.

    A snapshot is saved after the one before was measured. So what a checkpoint states does not depend on how long that
    took, and no more than one is behind.
    """
    while True:
        wait = WAIT_SECONDS if len(snapshots.history.pending) > leave and not signals.requested() else 0.0
        taken = snapshots.take_measured(wait)
        if taken is None:
            if wait:
                continue
            return
        shown, figures = taken
        if isinstance(figures, str):
            reporter.log(f"the snapshot after {shown} images could not be measured: {figures}. Training goes on.")
            continue
        row = snapshots.history.row(shown)
        reporter.measured(row, figures)
        fault = health.check_samples(snapshots.run.alarms, row)
        if fault is not None:
            _raise_alarm(snapshots, shown, fault)


def _finish(snapshots: Snapshots, reporter: Reporter) -> None:
    """Measure the last snapshot, and write what a finished run has."""
    history = snapshots.history
    with signals.nothing_to_save("the last snapshot was measured"):
        if len(history.pending) > 1:  # the request to stop came with the last step: the last checkpoint states too few
            _take_measured(snapshots, reporter, leave=1)
            snapshots.save(schedule.at(snapshots.run.schedule, snapshots.run.resolution, history.step_start or 0))
        _take_measured(snapshots, reporter, leave=0)
    snapshots.finish()


def _raise_alarm(snapshots: Snapshots, images_shown: int, fault: str) -> None:
    before = checkpoint.network_path(snapshots.folder, images_shown)
    good = [path for path in checkpoint.network_files(snapshots.folder) if path < before]
    kept = f"The last good snapshot is kept: {good[-1]}" if good else "There is no snapshot yet"
    raise AlarmError(f"after {images_shown} images {fault}. {kept}")


def _check_equal_weights(trainer: Trainer, group: ProcessGroup) -> None:
    """Raise where processes hold different weights: a fault of a device, or of the code."""
    if group.world_size == 1:
        return
    sha256 = hashlib.sha256()
    for name in ("G", "D"):
        for value in trainer.networks()[name].values():
            sha256.update(value.detach().cpu().contiguous().numpy().tobytes())
    digest = int.from_bytes(sha256.digest()[:7])
    if group.max(digest) != -group.max(-digest):
        raise TrainingError(
            f"after {trainer.images_shown} images the ranks hold different weights: one of the devices does not "
            f"compute as the others do. Test them one by one; training resumes from the newest checkpoint."
        )


def _check_same_run(snapshots: Snapshots, saved: SavedRun) -> None:
    """Raise where the checkpoint is of a run that learns otherwise, learns from other images, or is longer already."""
    run, folder = snapshots.run, snapshots.folder
    start = None if snapshots.start is None else snapshots.start.identity
    fault = run_identity.fault(saved, run, snapshots.reals.digest(), start)
    if fault is not None:
        raise TrainingError(
            f"{folder}: holds another run ({fault}). Train into another folder, or delete this one by hand."
        )
    total = run.schedule.total_kimg
    if saved.options and total < saved.options["schedule"]["total_kimg"] and saved.images_shown >= total * 1000:
        raise TrainingError(
            f"{folder}: was shown {saved.images_shown / 1000:g} thousand images, more than the run's "
            f"schedule.total_kimg {total:g}. Raise it; to have the shorter run, train into another folder."
        )


def _log_resumed(run: TrainRun, saved: SavedRun, reporter: Reporter) -> None:
    reporter.log(f"resuming after {saved.images_shown / 1000:.1f} thousand images")
    options = flat(run.model_dump(mode="json"))
    changed = run_identity.differences(flat(saved.options or {}), options)
    if changed:
        reporter.log(f"options changed since the checkpoint was saved: {', '.join(changed)}")
    if saved.images is None:
        reporter.log(
            f"its images are taken to be those of {run.dataset}: the checkpoint is of an earlier version, which does "
            f"not state them"
        )
