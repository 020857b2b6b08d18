"""The history of a run: the figures of its ticks, its snapshots, and the best of them."""

import json
from typing import Any

from pipeline.params import SnapshotFid, SnapshotSwd, TrainRun
from training import schedule

Row = dict[str, float]
"""The figures of one tick by name; `images` is the clock."""


class RunHistory:
    """What happened in a run so far; saved in every checkpoint. The names of attributes are part of its format.

    Attributes
    ----------
    rows
        The figures of each tick.
    snapshots
        The images shown at each snapshot.
    pending
        Those of `snapshots` whose figures are not in `rows` yet: they are measured after they are saved.
    best
        The snapshot nearest to the reals, of those at full resolution without fade: images shown, name and value of
        its distance. None before the first.
    measured_as
        The options by which the distance of `best` was measured.
    tick_start
        The images shown when the current tick began.
    step_start
        The images shown when the last step began; None before the first.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.snapshots: list[int] = []
        self.pending: list[int] = []
        self.best: tuple[int, str, float] | None = None
        self.measured_as: dict[str, Any] | None = None
        self.tick_start = 0
        self.step_start: int | None = None

    def to_json(self) -> str:
        """The state for `load_json`; its bytes depend on the values alone, unlike those of a pickle."""
        return json.dumps(vars(self))

    def load_json(self, content: str) -> None:
        """Restore a saved state."""
        vars(self).update(json.loads(content))

    def last_lod(self, run: TrainRun) -> float | None:
        """The level of detail of the last step; None before the first step."""
        return None if self.step_start is None else schedule.at(run.schedule, run.resolution, self.step_start).lod

    def snapshot_due(self, run: TrainRun, images_shown: int) -> bool:
        """Whether the tick that is complete, but not among the rows yet, ends with a snapshot; the last one does."""
        return (len(self.rows) + 1) % run.snapshot_ticks == 0 or schedule.run_ends(run.schedule, images_shown)

    def row(self, images_shown: int) -> Row:
        """The tick of a snapshot."""
        return next(row for row in reversed(self.rows) if row["images"] == images_shown)

    def update_best(self, images_shown: int, name: str, value: float, options: SnapshotSwd | SnapshotFid) -> None:
        """Compare a snapshot at full resolution with the best; one measured with other options is replaced."""
        measured_as = options.model_dump(mode="json")
        if self.best is None or self.measured_as != measured_as or value < self.best[2]:
            self.best, self.measured_as = (images_shown, name, value), measured_as
