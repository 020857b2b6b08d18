"""DVCLive: curves in the run's folder, which `dvc plots` and DVC Studio show."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.no_pandas import no_pandas
from training.history import Row
from training.image_grid import Pixels
from training.timing import Timing

with no_pandas():
    from dvclive.live import Live


class DvcliveLogger:
    """Writes figures with images shown as the step; equal runs write equal files, so times are not among them."""

    _live: Live

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, rows: Sequence[Row], timings: Sequence[Timing]) -> None:
        """Write the files anew."""
        self._live = Live(str(self._folder), save_dvc_exp=False, dvcyaml=False)
        for row in rows:
            self._write(row)

    def tick(self, row: Row, timing: Timing) -> None:
        """Write one tick."""
        self._write(row)

    def measured(self, row: Row, figures: Row) -> None:
        """Write figures of an earlier tick."""
        self._write({"images": row["images"], **figures})

    def sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """The sheets are in the run's folder already."""

    def close(self) -> None:
        """Every tick is written already."""

    def _write(self, row: Row) -> None:
        self._live.step = int(row["images"])
        for name, value in row.items():
            if name != "images":
                self._live.log_metric(name, value)
        self._live.sync()
