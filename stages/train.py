"""Stage train: one run of the progressive GAN on a data set of shards, resumed where it was stopped."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from dvclive.live import Live

from pipeline.errors import StoppedError
from pipeline.params import TrainRun
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import main, read_params, stage_run
from training import checkpoint
from training.data.real_images import Reals
from training.distributed.launch import launch, process_count
from training.distributed.process_group import ProcessGroup, init_process_group
from training.history import Row, RunHistory
from training.loop import Reporter
from training.loop import train as train_run
from training.runtime.device import default_device
from training.runtime.signals import stop_signals
from training.sizes import run_bytes

RUNS = Path("runs")
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


def train(name: str) -> None:
    """Train the run `name` of `train.runs`; publish `runs/<name>`.

    With several GPUs and `schedule.devices` above 1, in several processes; under `torchrun`, as one of its processes.
    """
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
                start(Path(group.broadcast(None)), Reporter())
        except StoppedError as stopped:
            if group.is_main and UNDER_DVC in os.environ:
                raise
            if group.is_main:
                print(stopped, file=sys.stderr)


def _train_main(name: str, run: TrainRun, reals: Reals, group: ProcessGroup, start: Callable[..., RunHistory]) -> None:
    labels = [run.dataset / layout.LABELS] if run.labels else []
    with stage_run(
        f"train@{name}",
        params={f"train.runs.{name}": run.deciding()},
        inputs=[run.dataset / layout.VIEW, *labels],  # the view holds the MD5 of every image
        out=RUNS / name,
        keep_work=True,
        room=run_bytes(run, reals.label_size),
    ) as stage:
        group.broadcast(str(stage.work))
        reporter = LiveReporter(stage.work / "live", run)
        reporter.log(
            f"train@{name}: {len(reals)} images of {run.dataset}, {run.resolution} px, on {default_device().type}, "
            f"{group.world_size} process(es) for schedule.devices {run.schedule.devices}"
        )
        history = start(stage.work, reporter)
        stage.report.update(history.rows[-1])
        if history.best is not None:
            shown, figure, value = history.best
            stage.report["best"] = {"network": checkpoint.network_path(RUNS / name, shown).as_posix(), figure: value}
        stage.notes["run"] = run.model_dump(mode="json")


if __name__ == "__main__":
    main(train)
