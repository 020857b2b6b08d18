"""Stage train: one run of the progressive GAN on a data set of shards, resumed where it was stopped."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import yaml

from pipeline.errors import ParamsError, ShardError, StoppedError, TrainingError
from pipeline.params import TrainRun
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import WORK, main, read_params, stage_run, work_folder, work_folders
from stages.loggers import RunReporter
from training import checkpoint, dry_run, run_identity
from training import start as starts
from training.data.real_images import Reals
from training.distributed.launch import launch, process_count
from training.distributed.process_group import ProcessGroup, init_process_group
from training.history import RunHistory
from training.loop import Reporter
from training.loop import train as train_run
from training.run_identity import SavedRun
from training.runtime.device import default_device
from training.runtime.signals import UNDER_DVC, stop_signals
from training.sizes import run_bytes
from training.start import Start

RUNS = Path("runs")
DRY_RUN = "--dry-run"


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

    A second signal ends it at once, as does the first one before the first step and where gradients are compiled.

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
        reporter = RunReporter(name, run, stage.work)
        reporter.log(
            f"train@{name}: {len(reals)} images of {run.dataset}, {run.resolution} px, on {default_device().type}, "
            f"{group.world_size} process(es) for schedule.devices {run.schedule.devices}"
        )
        try:
            history = start(stage.work, reporter, start=began)
        finally:
            reporter.close()
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
