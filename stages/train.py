"""Stage train: one run of the progressive GAN on a data set of shards, resumed where it was stopped."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import yaml
from dvclive.live import Live

from pipeline.errors import ParamsError, ShardError, StoppedError, TrainingError
from pipeline.params import TrainRun
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import WORK, main, read_params, stage_run, work_folder, work_folders
from training import checkpoint, dry_run, run_identity
from training import start as starts
from training.data.real_images import Reals
from training.distributed.launch import launch, process_count
from training.distributed.process_group import ProcessGroup, init_process_group
from training.history import Row, RunHistory
from training.loop import Reporter
from training.loop import train as train_run
from training.run_identity import SavedRun
from training.runtime.device import default_device
from training.runtime.signals import stop_signals
from training.sizes import run_bytes
from training.start import Start

RUNS = Path("runs")
DRY_RUN = "--dry-run"
UNDER_DVC = "DVC_STAGE"
"""Environment variable of every process that DVC starts."""


class LiveReporter(Reporter):
    """Writes each tick to dvclive's files, with images shown as the step, and one line of it to the terminal."""

    _live: Live  # these are set by `begin`
    _then: float
    _shown: float

    def __init__(self, folder: Path, run: TrainRun) -> None:
        self._folder = folder
        self._total = run.schedule.total_kimg

    def begin(self, rows: Sequence[Row]) -> None:
        """Write the files anew from the history of the checkpoint, without ticks that were lost."""
        self._live = Live(str(self._folder), save_dvc_exp=False, dvcyaml=False)
        for row in rows:
            self._write(row)
        self._then, self._shown = time.monotonic(), rows[-1]["images"] if rows else 0.0

    def tick(self, row: Row) -> None:
        """Write one tick. The speed goes to the terminal only: files of equal runs are equal."""
        self._write(row)
        now, shown = time.monotonic(), row["images"]
        self.log(
            f"{shown / 1000:8.1f} of {self._total:g} kimg  {row['resolution']:4.0f} px  lod {row['lod']:5.2f}  "
            f"loss D {row['loss/discriminator']:8.3f} G {row['loss/generator']:8.3f}  "
            f"{(shown - self._shown) / (now - self._then):6.1f} images/s"
        )
        self._then, self._shown = now, shown

    def log(self, message: str) -> None:
        """Print a message to the terminal."""
        print(message, file=sys.stderr, flush=True)

    def _write(self, row: Row) -> None:
        self._live.step = int(row["images"])
        for name, value in row.items():
            if name != "images":
                self._live.log_metric(name, value)
        self._live.sync()


def train(name: str, *options: str) -> None:
    """Train the run `name` of `train.runs`; publish `runs/<name>`. With the option `--dry-run`, print what it will do.

    With several GPUs and `schedule.devices` above 1, in several processes; under `torchrun`, as one of its processes.
    """
    if options:
        if options != (DRY_RUN,):
            raise ParamsError(f"unknown option {' '.join(options)}; usage: python -m stages.train NAME [{DRY_RUN}]")
        _dry_run(name)
        return
    count = process_count(read_params().train.named(name), torch.cuda.device_count())
    if count > 1:
        launch(count, partial(main, train_process))
    else:
        train_process(name)


def train_process(name: str) -> None:
    """One process of the run. On a stop signal it saves and returns; under DVC it fails, so that nothing is committed.

    Raises
    ------
    StoppedError
        Stopped by a signal, under DVC.
    """
    run = read_params().train.named(name)
    dataset = DataSet(run.dataset)
    with init_process_group() as group, stop_signals() as stop_requested, dataset, Reals(dataset, run) as reals:
        start = partial(train_run, run, reals, device=default_device(), group=group, stop_requested=stop_requested)
        try:
            if group.is_main:
                _train_main(name, run, reals, group, start)
            else:
                work, began = group.broadcast(None)
                start(Path(work), Reporter(), start=began and Start.model_validate_json(json.dumps(began)))
        except StoppedError as stopped:
            if group.is_main and UNDER_DVC in os.environ:
                raise
            if group.is_main:
                print(stopped, file=sys.stderr)


def _train_main(name: str, run: TrainRun, reals: Reals, group: ProcessGroup, start: Callable[..., RunHistory]) -> None:
    labels = [run.dataset / layout.LABELS] if run.labels else []
    began = starts.of_run(run, reals.digest(), [RUNS / name, *work_folders(f"train@{name}")])
    identity = run_identity.identity(run, reals.digest(), began and began.identity)
    work = work_folder(f"train@{name}", identity)
    _take_up(name, run, reals, work, began)
    if began and not checkpoint.saved_run(work):
        starts.load(began, run, reals.label_size)  # before the work folder and the memory of a GPU are taken
    with stage_run(
        f"train@{name}",
        params={f"train.runs.{name}": identity["options"]},
        inputs=[run.dataset / layout.VIEW, *labels],
        out=RUNS / name,
        identity=identity,
        room=run_bytes(run, reals.label_size),
    ) as stage:
        group.broadcast([str(stage.work), began and began.model_dump(mode="json")])
        reporter = LiveReporter(stage.work / "live", run)
        reporter.log(
            f"train@{name}: {len(reals)} images of {run.dataset}, {run.resolution} px, on {default_device().type}, "
            f"{group.world_size} process(es) for schedule.devices {run.schedule.devices}"
        )
        history = start(stage.work, reporter, start=began)
        stage.report.update(history.rows[-1])
        if history.best is not None:
            shown, figure, value = history.best
            stage.report["best"] = {"network": checkpoint.network_path(RUNS / name, shown).as_posix(), figure: value}
        stage.notes["run"] = run.model_dump(mode="json")
        if began:
            stage.notes["start"] = {"path": began.network.as_posix(), **began.identity}
        _keep_published(name, run, reals, began)


def _dry_run(name: str) -> None:
    """Print the run, its phases, and what it resumes from; nothing is changed."""
    run, device = read_params().train.named(name), default_device()
    print(yaml.safe_dump({name: run.model_dump(mode="json")}, sort_keys=False))
    try:
        dataset = DataSet(run.dataset)
    except ShardError as error:
        began = run.start and starts.find(run.start)
        print(dry_run.table(run, None, device, began.images_shown if began else 0))
        print(f"\nThe data set is not there yet: {error}")
        return
    with dataset, Reals(dataset, run) as reals:
        began = starts.of_run(run, reals.digest(), [RUNS / name, *work_folders(f"train@{name}")])
        print(dry_run.table(run, reals, device, began.images_shown if began else 0))
        print(f"\n{len(reals)} images of {run.dataset}; on {device.type}, {torch.cuda.device_count()} GPU(s)")
        work = work_folder(f"train@{name}", run_identity.identity(run, reals.digest(), began and began.identity))
        folder = work if checkpoint.saved_run(work) else _earlier_part(name, run, reals, work, began)
        saved = checkpoint.saved_run(folder) if folder else None
        if saved:
            print(f"resumes after {saved.images_shown / 1000:g} kimg, from {folder}")
        elif began:
            remarks = starts.load(began, run, reals.label_size).remarks
            print(*remarks, starts.description(began, run), sep="\n")
        else:
            print("begins with new networks")


def _keep_published(name: str, run: TrainRun, reals: Reals, began: Start | None) -> None:
    """Move the published run, if it is another one than that which is to be published, back to a work folder."""
    saved = checkpoint.saved_run(RUNS / name)
    if saved is None or run_identity.fault(saved, run, reals.digest(), began and began.identity) is None:
        return
    identity = run_identity.identity_of(saved)
    kept = work_folder(f"train@{name}", identity)
    if kept.exists():
        kept = work_folder(f"train@{name}", {**identity, "images_shown": saved.images_shown})
        shutil.rmtree(kept, ignore_errors=True)
    (RUNS / name).replace(kept)
    print(f"train@{name}: the run that was published before is kept in {kept}", file=sys.stderr)


def _take_up(name: str, run: TrainRun, reals: Reals, work: Path, began: Start | None) -> None:
    """Give the run's work folder, if it holds no checkpoint, what there is of this run elsewhere."""
    folder = _earlier_part(name, run, reals, work, began)
    if folder is None or checkpoint.saved_run(work):
        return
    shutil.rmtree(work, ignore_errors=True)
    work.parent.mkdir(parents=True, exist_ok=True)
    folder.replace(work)


def _earlier_part(name: str, run: TrainRun, reals: Reals, work: Path, began: Start | None) -> Path | None:
    """The folder, other than its work folder, that holds the most of this run.

    That is the published run, which is made longer, or a work folder that another version of the project has named.
    Work folders of other runs are kept and named.

    Raises
    ------
    TrainingError
        Several folders may be this run: an earlier version did not state in them which images they were trained on.
    """
    found: dict[Path, SavedRun] = {}
    for folder in (RUNS / name, *work_folders(f"train@{name}")):
        saved = None if folder == work else checkpoint.saved_run(folder)
        fault = saved and run_identity.fault(saved, run, reals.digest(), began and began.identity)
        if saved and fault is None:
            found[folder] = saved
        elif saved:
            then = (
                f", and moves to {WORK} when this one is published" if folder == RUNS / name else " until you delete it"
            )
            print(f"train@{name}: {folder} is another run ({fault}). It is kept{then}.", file=sys.stderr)
    if len(found) > 1 and not checkpoint.saved_run(work) and any(saved.images is None for saved in found.values()):
        raise TrainingError(
            f"train@{name}: any of {', '.join(map(str, found))} may be the run on {run.dataset}: the earlier version "
            f"that wrote them did not state their images. Rename the right one to {work}."
        )
    return max(found, key=lambda folder: found[folder].images_shown, default=None)


if __name__ == "__main__":
    main(train)
