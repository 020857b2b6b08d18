"""What makes two training runs the same one: the images they learn from, and the options that decide what they learn.

Neither code nor versions of libraries do: a run outlives an upgrade. Runs are compared as JSON, as checkpoints state
them, so that one of another version of the project can be compared too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.params import TrainRun
from pipeline.provenance import flat

FREE = (
    "dataset", "ram_mib", "threads", "speed", "snapshot_ticks", "keep_snapshots", "snapshot_swd", "snapshot_fid",
    "alarms", "loggers", "deterministic", "grid_columns", "grid_rows", "grid_cell_pixels", "schedule.total_kimg",
    "schedule.tick_kimg", "schedule.tick_kimg_at", "start",
)  # fmt: skip
"""Options that do not decide the weights: they may change when a run is resumed. The folder of the data set is among
them, since its images are compared instead, and so is `start`, whose files are."""

BEFORE: dict[str, Any] = {"schedule.discriminator_rates": None}
"""Options that were added after the first release, by dotted name, each with the value at which everything is as it was
without the option: `{"networks.new_option": False}`. At this value they are no part of a run's identity, and network
files do not state them."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What a checkpoint states of its run.

    `options` is the JSON of the `TrainRun`, of whichever version of the project saved it; None where the networks were
    trained elsewhere. `images` is the `Reals.digest` of what it learns from; None in format 4. `start` is the
    `Start.identity` of what it started from; None for new networks.
    """

    images_shown: int
    options: dict[str, Any] | None
    images: str | None
    start: dict[str, Any] | None = None


def identity(run: TrainRun, images: str, start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is equal in equal runs only, as JSON. `images` is the `Reals.digest`, `start` the `Start.identity`."""
    return _identity(run.model_dump(mode="json"), images, start)


def identity_of(saved: SavedRun) -> dict[str, Any]:
    """The `identity` of the run that saved a checkpoint."""
    return _identity(saved.options or {}, saved.images, saved.start)


def _identity(options: Mapping[str, Any], images: str | None, start: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"options": deciding(options), "images": images} | ({} if start is None else {"start": dict(start)})


def fault(saved: SavedRun, run: TrainRun, images: str, start: Mapping[str, Any] | None = None) -> str | None:
    """Why a checkpoint cannot be resumed by `run` on `images` (the `Reals.digest`) from `start`; None if it can."""
    if saved.options is None:
        return "its networks were trained elsewhere"
    different = differences(deciding(saved.options), deciding(run.model_dump(mode="json")))
    if different:
        return f"different: {', '.join(different)}"
    if saved.start != start:
        return "it started from " + ("new networks" if saved.start is None else "other networks or at another kimg")
    return None if saved.images in (images, None) else f"trained on other images than those of {run.dataset}"


def deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run that decide its weights, by dotted names."""
    options = {**BEFORE, **flat(values)}
    free = tuple(f"{name}." for name in FREE)
    return {
        name: value
        for name, value in options.items()
        if not f"{name}.".startswith(free) and not (name in BEFORE and value == BEFORE[name])
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The options by dotted names that two runs have different values of, as `name old -> new`."""
    names = sorted(before.keys() | now.keys())
    return [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def network_options_before() -> dict[str, Any]:
    """Of `BEFORE`, the options of the networks, by their names in `NetworkOptions`."""
    return {name.removeprefix("networks."): value for name, value in BEFORE.items() if name.startswith("networks.")}
