"""Stage train: one run of the progressive GAN on a data set of shards, resumed where it was stopped."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dvclive.live import Live

from pipeline.errors import StoppedError
from pipeline.params import TrainRun
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import main, read_params, stage_run
from training import checkpoint
from training.data.real_images import Reals
from training.distributed import launch
from training.distributed.process_group import Ranks, joined
from training.history import Row
from training.loop import train as train_run
from training.runtime.device import device_at_hand
from training.runtime.signals import asked_to_stop

RUNS = Path("runs")
UNDER_DVC = "DVC_STAGE"
"""Set in the environment of what DVC starts."""


class LiveReporter:
    """Writes each tick to dvclive's files, the curves by images shown, and one line of it to the terminal."""

    _live: Live  # from `begin` on

    def __init__(self, folder: Path, run: TrainRun) -> None:
        self._folder = folder
        self._total = run.schedule.total_kimg
        self._then, self._shown = time.monotonic(), 0.0

    def begin(self, rows: Sequence[Row]) -> None:
        """Start the files again from what the checkpoint remembers: rows of ticks that were lost go with them."""
        self._live = Live(str(self._folder), save_dvc_exp=False, dvcyaml=False)
        for row in rows:
            self._log(row)
        self._then, self._shown = time.monotonic(), rows[-1]["images"] if rows else 0.0

    def tick(self, row: Row) -> None:
        """Log one tick. The speed goes to the terminal only: files of equal runs are equal."""
        self._log(row)
        now, shown = time.monotonic(), row["images"]
        self.tell(
            f"{shown / 1000:8.1f} of {self._total:g} kimg  {row['resolution']:4.0f} px  lod {row['lod']:5.2f}  "
            f"loss D {row['loss/discriminator']:8.3f} G {row['loss/generator']:8.3f}  "
            f"{(shown - self._shown) / (now - self._then):6.1f} images/s"
        )
        self._then, self._shown = now, shown

    def tell(self, message: str) -> None:
        """Print for whoever watches."""
        print(message, file=sys.stderr, flush=True)

    def _log(self, row: Row) -> None:
        self._live.step = int(row["images"])
        for name, value in row.items():
            if name != "images":
                self._live.log_metric(name, value)
        self._live.sync()


def train(name: str) -> None:
    """Train the run `name` of `train.runs`; publish `runs/<name>`.

    With several GPUs and `schedule.devices` above 1, in several processes; under `torchrun` as one of its.
    """
    count = launch.processes_for(read_params().train.named(name), launch.gpus_at_hand())
    if count > 1:
        launch.launch(count, partial(main, take_part))
    else:
        take_part(name)


def take_part(name: str) -> None:
    """Be one process of the run. Asked to stop, it saves and returns; under DVC it fails, so that nothing is committed.

    Raises
    ------
    StoppedError
        Asked to stop, under DVC.
    """
    run = read_params().train.named(name)
    dataset = DataSet(run.dataset)
    with joined() as ranks, asked_to_stop() as asked, dataset, Reals(dataset, run) as reals:
        try:
            if ranks.first:
                _lead(name, run, reals, ranks, asked)
            else:
                folder = Path(ranks.of_first(None))
                reporter, device = LiveReporter(folder, run), device_at_hand()
                train_run(run, reals, folder, reporter, device, ranks=ranks, asked_to_stop=asked)
        except StoppedError as stopped:
            if ranks.first:
                if UNDER_DVC in os.environ:
                    raise
                print(stopped, file=sys.stderr)


def _lead(name: str, run: TrainRun, reals: Reals, ranks: Ranks, asked_to_stop: Callable[[], bool]) -> None:
    labels = [run.dataset / layout.LABELS] if run.labels else []
    with stage_run(
        f"train@{name}",
        params={f"train.runs.{name}": run.deciding()},
        inputs=[run.dataset / layout.VIEW, *labels],  # the view holds the MD5 of every image
        out=RUNS / name,
        keep_work=True,
    ) as stage:
        folder, device = Path(ranks.of_first(str(stage.work))), device_at_hand()
        reporter = LiveReporter(stage.work / "live", run)
        reporter.tell(
            f"train@{name}: {len(reals)} images of {run.dataset}, {run.resolution} px, on {device.type}, "
            f"{ranks.count} process(es) for schedule.devices {run.schedule.devices}"
        )
        story = train_run(run, reals, folder, reporter, device, ranks=ranks, asked_to_stop=asked_to_stop)
        stage.report.update(story.rows[-1])
        if story.best is not None:
            shown, figure, value = story.best
            stage.report["best"] = {"network": checkpoint.network_path(RUNS / name, shown).as_posix(), figure: value}
        stage.notes["run"] = run.model_dump(mode="json")


if __name__ == "__main__":
    main(train)
