"""What lies in the folders of training runs, read while a run may train in them; nothing is changed."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline import disk
from pipeline.errors import NetworkError, PipelineError
from pipeline.params import TrainRun
from pipeline.provenance import RECORD, read_json
from pipeline.shards.reader import DataSet
from training import checkpoint, run_identity, start
from training.data.real_images import Reals
from training.run_identity import SavedRun
from training.runtime.run_lock import holder

ATTEMPTS = 3
"""Readings of a folder whose files a training process removes meanwhile."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder of the run `name`.

    `saved` is its newest intact checkpoint; `images_shown` that of the newest tick, which may be later, or of the
    newest network file. `best` is the network file with the smallest distance to the reals. `process` trains in it
    now. `checkpoints` counts all, damaged ones too. `damaged`: the network files newer than the newest whole one.
    """

    name: str
    folder: Path
    saved: SavedRun | None
    checkpoints: int
    images_shown: int
    resolution: int | None
    networks: list[Path]
    best: Path | None
    process: int | None
    bytes: int
    damaged: list[Path]

    @property
    def total_kimg(self) -> float | None:
        """Images that the run was to be shown when it was last saved, in thousands."""
        return self.saved.options["schedule"]["total_kimg"] if self.saved and self.saved.options else None

    @property
    def full_resolution(self) -> int | None:
        """The resolution of the fully grown networks."""
        return self.saved.options["resolution"] if self.saved and self.saved.options else None


def read(name: str, folder: Path) -> RunFolder | None:
    """What `folder` holds; None where it holds neither a checkpoint nor a network file, and no process trains in it."""
    for attempt in range(ATTEMPTS):
        try:
            return _read(name, folder)
        except FileNotFoundError:  # an older checkpoint was removed when a new one was complete
            if attempt == ATTEMPTS - 1:
                raise
    return None


def state(found: RunFolder, runs: Mapping[str, TrainRun] | None, folders: Mapping[str, list[Path]]) -> tuple[bool, str]:
    """Whether `dvc repro train@NAME` goes on with the run in this folder, and why, or why not.

    `runs` are those of the params, None where they cannot be read; `folders` those in which each run is searched, the
    published one first.
    """
    resumable, why = _state(found, runs, folders)
    if found.damaged:
        why += f"; damaged: {', '.join(path.name for path in found.damaged)}"
    return resumable, why


def _state(
    found: RunFolder, runs: Mapping[str, TrainRun] | None, folders: Mapping[str, list[Path]]
) -> tuple[bool, str]:
    if found.process is not None:
        return True, f"training now (process {found.process})"
    if found.saved is None:
        return False, _without_checkpoint(found)
    if runs is None:
        return (
            False,
            f"has a checkpoint after {found.saved.images_shown / 1000:g} kimg; no params.yaml to compare it with",
        )
    if found.name not in runs:
        return False, f"train.runs of params.yaml has no run {found.name}"
    return _compared(found.saved, runs[found.name], folders[found.name])


def _compared(saved: SavedRun, run: TrainRun, folders: list[Path]) -> tuple[bool, str]:
    try:
        with ExitStack() as stack:
            images = stack.enter_context(Reals(stack.enter_context(DataSet(run.dataset)), run)).digest()
        begun = start.of_run(run, images, folders)
    except PipelineError as error:
        return False, f"cannot be compared: {error}"
    fault = run_identity.fault(saved, run, images, begun and begun.identity)
    if fault is not None:
        return False, f"another run than that of params.yaml ({fault})"
    if saved.images_shown >= 1000 * run.schedule.total_kimg:
        return True, "finished; a larger schedule.total_kimg goes on"
    return True, f"resumable after {saved.images_shown / 1000:g} kimg"


def _read(name: str, folder: Path) -> RunFolder | None:
    networks, checkpoints = checkpoint.network_files(folder), list(folder.glob("checkpoint-*.json"))
    process = holder(folder)
    if not networks and not checkpoints and process is None:
        return None
    saved = checkpoint.saved_run(folder)
    shown, resolution = 0, None
    damaged: list[Path] = []
    for path in reversed(networks):
        try:
            info, _ = checkpoint.read_network(path, ())
        except NetworkError:
            damaged.append(path)
        else:
            shown, resolution = info.images_shown, info.resolution
            break
    best = None
    report = read_json(folder / RECORD).get("report", {})
    if report.get("best") and (saved is None or saved.images_shown == report.get("images")):
        # of a finished run, whose last checkpoint is older than the distance of its last network
        best = folder / Path(report["best"]["network"]).name
    elif saved is not None:
        history = checkpoint.history_of(folder, saved.images_shown)
        best = history["best"] and checkpoint.network_path(folder, history["best"][0])
    live = read_json(folder / "live/metrics.json")  # of the newest tick
    if live.get("step", 0) > shown:
        shown, resolution = live["step"], live.get("resolution", resolution)
    return RunFolder(
        name, folder, saved, len(checkpoints), shown, resolution, networks, best, process, disk.size_of(folder), damaged
    )


def _without_checkpoint(found: RunFolder) -> str:
    if found.checkpoints:
        return f"no intact checkpoint: {found.checkpoints} damaged or incomplete"
    return "network files without a checkpoint: a run can start from them (train.runs.NAME.start)"
