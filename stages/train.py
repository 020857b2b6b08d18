"""Stage train: one run of the progressive GAN on a data set of shards, resumed where it was stopped."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dvclive.live import Live

from pipeline.params import TrainRun
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import main, read_params, stage_run
from training.data import Reals
from training.loop import Row, device_at_hand
from training.loop import train as train_run

RUNS = Path("runs")


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
    """Train the run `name` of `train.runs`; publish `runs/<name>`."""
    run = read_params().train.named(name)
    labels = [run.dataset / layout.LABELS] if run.labels else []
    dataset = DataSet(run.dataset)
    with (
        dataset,
        stage_run(
            f"train@{name}",
            params={f"train.runs.{name}": run},
            inputs=[run.dataset / layout.VIEW, *labels],  # the view holds the MD5 of every image
            out=RUNS / name,
            module="stages.train",
            precious=True,
        ) as stage,
    ):
        device = device_at_hand()
        reporter = LiveReporter(stage.work / "live", run)
        reporter.tell(f"train@{name}: {len(dataset)} images of {run.dataset}, {run.resolution} px, on {device.type}")
        stage.report.update(train_run(run, Reals(dataset, run), stage.work, reporter, device))


if __name__ == "__main__":
    main(train)
