"""How much a stage may drop: checked while it runs, and explained with examples where it is too much."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline import manifest
from pipeline.errors import NO_INPUTS, DropReason, TooManyDroppedError
from pipeline.manifest import Accounting

REASONS = 5
EXAMPLES = 3


class DropLimit:
    """Counts what a stage drops, part by part, and ends it as soon as `max_dropped` can no longer be met.

    Parameters
    ----------
    stage
        Its name, that of the section of `params.yaml` with `max_dropped`.
    max_dropped
        The largest allowed fraction of dropped inputs, 0...1.
    inputs
        The number of inputs of the stage, without those dropped for `NO_INPUTS`, as far as that is known.
    spare
        The number of further inputs that take the place of dropped ones.
    """

    def __init__(self, stage: str, max_dropped: float, inputs: int, spare: int = 0) -> None:
        self._inputs = inputs
        self._spare = spare
        self._stage = stage
        self._max_dropped = max_dropped
        self._tables: list[Path] = []
        self._dropped = 0

    def add(self, table: Path) -> None:
        """Count the rows of a part of the stage's table; raise `TooManyDroppedError` if it is too much already."""
        self._tables.append(table)
        self._dropped += _dropped(manifest.account(table))
        inputs = self._inputs + min(self._dropped, self._spare)
        if self._dropped > self._max_dropped * inputs:
            raise _error(self._stage, self._dropped, inputs, self._max_dropped, self._tables)


def check(stage: str, account: Accounting, max_dropped: float, table: Path) -> None:
    """Raise `TooManyDroppedError` if the dropped fraction exceeds `max_dropped` (0...1) or no input is kept.

    What was never meant to become an image (`NO_INPUTS`) is not counted. `table` has the drops of `account`.
    """
    dropped = _dropped(account)
    if not account.kept or dropped > max_dropped * (account.kept + dropped):
        raise _error(stage, dropped, account.kept + dropped, max_dropped, [table])


def _dropped(account: Accounting) -> int:
    return account.given - account.kept - sum(account.dropped.get(reason, 0) for reason in NO_INPUTS)


def _error(stage: str, count: int, inputs: int, max_dropped: float, tables: Sequence[Path]) -> TooManyDroppedError:
    counts: Counter[DropReason] = Counter()
    examples: dict[DropReason, list[str]] = {}
    for drop in (drop for table in tables for drop in manifest.iterate_dropped(table)):
        if drop.reason != DropReason.NOT_PUBLISHED:
            counts[drop.reason] += 1
            if counts[drop.reason] <= EXAMPLES:
                examples.setdefault(drop.reason, []).append(drop.file)
    commonest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:REASONS]
    lines = [f"  {reason}: {number} ({_some(examples[reason], number)})" for reason, number in commonest]
    more = len(counts) - len(commonest)
    if more:
        lines.append(f"  and {more} other reason(s)")
    where = (
        tables[0] if len(tables) == 1 else f"the tables in {os.path.commonpath([path.absolute() for path in tables])}"
    )
    return TooManyDroppedError(
        f"{stage}: {count} of {inputs} inputs dropped, allowed are {max_dropped:.1%} and at least one must remain.\n"
        + "".join(f"{line}\n" for line in lines)
        + f"celebahq drops {stage} lists them all (from {where}). If they are expected, raise {stage}.max_dropped in "
        f"params.yaml and run dvc repro: what is done is not done again."
    )


def _some(files: Sequence[str], count: int) -> str:
    return ", ".join(files) + (", ..." if count > len(files) else "")
