"""Where the progress of a training run is shown: a line in the terminal, and the run's `loggers`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.params import TrainRun
from pipeline.progress import State, publish
from stages.loggers.once import Once
from stages.loggers.to_dvclive import DvcliveLogger
from stages.loggers.to_tensorboard import TensorboardLogger
from stages.loggers.to_wandb import WandbLogger
from training.history import Row
from training.image_grid import Pixels
from training.loop import Reporter
from training.timing import Timing

Logger = DvcliveLogger | Once


class RunReporter(Reporter):
    """Prints a line per tick, and passes figures and sheets on to the loggers of the run.

    A logger that fails is reported and not called again in this session: it never ends the run.

    Parameters
    ----------
    name
        Of the run.
    work
        Its work folder, whose name ends in the digest of what decides the run: the loggers' runs have it too, so that
        a resumed run continues its curves.

    Raises
    ------
    ParamsError
        The package of a logger is not installed.
    """

    def __init__(self, name: str, run: TrainRun, work: Path) -> None:
        self._total = run.schedule.total_kimg
        run_id = f"{name}-{work.name.rpartition('-')[2]}"
        make: dict[str, Callable[[], Logger]] = {
            "dvclive": lambda: DvcliveLogger(work / "live"),
            "tensorboard": lambda: TensorboardLogger(run_id, run),
            "wandb": lambda: WandbLogger(name, run_id, run),
        }
        self._loggers = {kind: make[kind]() for kind in run.loggers}
        self._begun = False

    def begin(self, rows: Sequence[Row], timings: Sequence[Timing]) -> None:
        """Start the loggers with the history of the checkpoint, without ticks that were lost."""
        self._begun = True
        self._call(lambda logger: logger.begin(rows, timings))

    def tick(self, row: Row, timing: Timing) -> None:
        """Print and log one tick."""
        memory = f"  GPU {timing.gpu_peak_mib:.0f} MiB" if timing.gpu_peak_mib else ""
        self.log(
            f"{timing.kimg:8.1f} of {self._total:g} kimg  {row['resolution']:4.0f} px  lod {row['lod']:5.2f}  "
            f"loss D {row['loss/discriminator']:8.3f} G {row['loss/generator']:8.3f}  "
            f"{timing.images_per_second:6.1f} images/s  {timing.seconds_per_kimg:.2f} s/kimg  "
            f"data wait {timing.data_wait_seconds:.1f} s{memory}  "
            f"time {duration(timing.seconds)}  ETA {duration(timing.eta_seconds)}"
        )
        publish(State(1000 * timing.kimg, 1000 * self._total, "image", left=timing.eta_seconds))
        self._call(lambda logger: logger.tick(row, timing))

    def measured(self, row: Row, figures: Row) -> None:
        """Log the figures of a snapshot, which come later than those of its tick."""
        self._call(lambda logger: logger.measured(row, figures))

    def sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """Log a sheet of samples."""
        self._call(lambda logger: logger.sheet(images_shown, picture_HWC))

    def log(self, message: str) -> None:
        """Print a message to the terminal."""
        print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the loggers, if the run has begun."""
        if self._begun:
            self._call(lambda logger: logger.close())

    def _call(self, function: Callable[[Logger], None]) -> None:
        for kind, logger in list(self._loggers.items()):
            try:
                function(logger)
            except Exception as error:  # noqa: BLE001 - whatever a logger raises, training goes on
                del self._loggers[kind]
                self.log(f"the logger {kind} failed, and training goes on without it ({type(error).__name__}: {error})")


def duration(seconds: float) -> str:
    """`1d 02h 03m`, `2h 03m`, `3m 04s` or `4s`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d {hours % 24:02d}h {minute:02d}m"
    if hours:
        return f"{hours}h {minute:02d}m"
    return f"{minute}m {second:02d}s" if minute else f"{second}s"
