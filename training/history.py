"""What happened so far in a run, beside training itself."""

import json

from pipeline.params import SnapshotSwd, TrainRun
from training import schedule
from training.schedule import Step

Row = dict[str, float]
"""The figures of one tick by name; `images` is the clock."""


class RunHistory:
    """Part of every checkpoint, and told on from there.

    Attributes
    ----------
    rows
        The figures of each tick.
    snapshots
        The images shown at each snapshot.
    best
        Of the snapshots at full resolution, faded in, the one nearest to the reals: images shown, name and value of its
        distance. None before the first.
    measured_as
        How the distance of `best` was measured.
    tick_start
        The images shown when the current tick began.
    step_start
        The images shown when the last step began; None before the first.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.snapshots: list[int] = []
        self.best: tuple[int, str, float] | None = None
        self.measured_as: dict[str, int] | None = None
        self.tick_start = 0
        self.step_start: int | None = None

    def told(self) -> str:
        """All of it as JSON, whose bytes depend on the values alone (those of a pickle also on who made them)."""
        return json.dumps(vars(self))

    def recall(self, told: str) -> None:
        """Go on from what `told` returned."""
        vars(self).update(json.loads(told))

    def last_step(self, run: TrainRun) -> Step | None:
        """What was trained last, which is what samples are made at; None before the first step."""
        return None if self.step_start is None else schedule.at(run.schedule, run.resolution, self.step_start)

    def snapshot_due(self, run: TrainRun, images_shown: int) -> bool:
        """Whether the tick that is now complete, not yet among the rows, ends with a snapshot; the last one does."""
        return (len(self.rows) + 1) % run.snapshot_ticks == 0 or schedule.run_ends(run.schedule, images_shown)

    def measured(self, images_shown: int, name: str, value: float, options: SnapshotSwd) -> None:
        """A snapshot of the whole network has this distance; one measured otherwise before is no rival."""
        measured_as = options.model_dump()
        if self.best is None or self.measured_as != measured_as or value < self.best[2]:
            self.best, self.measured_as = (images_shown, name, value), measured_as

    def kept(self, snapshots: set[int]) -> set[int]:
        """`snapshots`, and the best one."""
        return snapshots if self.best is None else snapshots | {self.best[0]}
