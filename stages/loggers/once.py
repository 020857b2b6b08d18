"""Loggers whose curves outlive a session: what they have been given is not given to them again."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline import atomic
from pipeline.errors import ParamsError
from pipeline.provenance import read_json
from training.history import Row
from training.image_grid import Pixels
from training.timing import Timing


class Once(ABC):
    """Gives each figure of each tick to the logger once, however often the run is killed and resumed.

    A resumed run repeats the ticks after its checkpoint. Their figures are the same (on a GPU, up to rounding), so the
    first ones stay. A tick that the logger has not been given, because it was chosen later, is made up for.

    Parameters
    ----------
    record
        A file that holds, by figure, the images shown up to which it has been given.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self._given: dict[str, int] = read_json(record)

    def begin(self, rows: Sequence[Row], timings: Sequence[Timing]) -> None:
        """Start the logger, and give it what it lacks of the run so far."""
        self.start()
        times = {round(timing.kimg * 1000): timing for timing in timings}
        for row in rows:
            self._give(row, times.get(int(row["images"])))
        self._save()

    def tick(self, row: Row, timing: Timing) -> None:
        """Give it one tick."""
        self._give(row, timing)
        self._save()

    def measured(self, row: Row, figures: Row) -> None:
        """Give it figures of an earlier tick."""
        self._give({"images": row["images"], **figures}, None)
        self._save()

    def sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """Give it a sheet."""
        if self._given.get("sheet", -1) < images_shown:
            self._given["sheet"] = images_shown
            self.log_sheet(images_shown, picture_HWC)
            self._save()

    @abstractmethod
    def start(self) -> None:
        """Open the logger's run."""

    @abstractmethod
    def log_figures(self, images_shown: int, figures: Mapping[str, float], unix_time: float | None) -> None:
        """Log figures of one tick."""

    @abstractmethod
    def log_sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """Log a sheet."""

    @abstractmethod
    def close(self) -> None:
        """End the logger's run."""

    def _give(self, row: Row, timing: Timing | None) -> None:
        shown, figures = int(row["images"]), {name: value for name, value in row.items() if name != "images"}
        if timing is not None:
            times = timing._asdict()
            figures |= {f"timing/{name}": times[name] for name in times if name not in ("kimg", "unix_time")}
        new = {
            name: value for name, value in figures.items() if self._given.get(name, -1) < shown and math.isfinite(value)
        }
        if new:
            self.log_figures(shown, new, timing and timing.unix_time)
            self._given |= dict.fromkeys(new, shown)

    def _save(self) -> None:
        atomic.write_json(self._record, self._given)


def missing(package: str) -> ParamsError:
    """The package of a logger is not installed."""
    return ParamsError(
        f"loggers of the run in params.yaml has {package}, which is not installed: pip install 'celebahq[{package}]'"
    )
