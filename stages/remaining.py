"""How far the stages are, and what is left (`celebahq progress`, and the first and the last line of each stage).

A stage is done if its record has the params, recipe and inputs at hand; the state of one that runs, or was stopped, is
the file that it publishes (`pipeline.progress`). Seconds follow from the last whole run with equal params on this
machine (`stages.RATES`), else from the last `celebahq plan` of equal params.
"""

import time
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import atomic, progress, provenance
from pipeline.params import Params
from pipeline.progress import State, duration
from pipeline.provenance import RECORD, read_json
from pipeline.report.page.results import FACES as STAGES
from stages import DATA, PARAMS, RATES, REPORTS, WORK, read_params, recipe_of, work_folders

PLANS = RATES / "plans"
"""The items and seconds by stage that `celebahq plan` has found, by the digest of the params."""
FACES = ("extract", "detect", "align", "crop", "denoise", "superres", "select", "shard")
"""Each takes what the one before has kept."""
WITH_WORKERS = ("detect", "align", "crop", "denoise", "superres", "shard", "lsun")
OUTPUTS = {"train": Path("runs"), "evaluate": Path("evaluations")}
UNCERTAIN = 0.01
"""Of a stage that has done less, the time left follows from earlier runs, if there are some."""
DONE, RUNNING, STOPPED, TO_COME = "done", "running", "stopped", "to come"
_only: ContextVar[Collection[str] | None] = ContextVar("only", default=None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is; None where it is not known.

    `state` is done, running, stopped or to come. `given` inputs are in it, `kept` and `dropped` so far. `share` (0...1)
    of it is done. `seconds` is what it took, `left` what it will take, on the clock.
    """

    stage: str
    state: str
    given: int | None = None
    kept: int | None = None
    dropped: int | None = None
    share: float | None = None
    seconds: float | None = None
    left: float | None = None


def progress_of_all(params: Params, ended: str | None = None) -> list[Progress]:
    """Of each stage but `report`, in the order of the graph; `ended` no longer runs, though it has its lock."""
    found: list[Progress] = []
    estimate = _Estimate.read(params)
    unfinished: list[Path] = []
    kept: int | None = None
    for name in names(params):
        state = progress.read_published(WORK / f"{name}.progress.json")
        if name != ended and atomic.is_locked(WORK / f"{name}.lock"):
            one = _begun(Progress(name, RUNNING), state or State(), kept, estimate)
        elif _is_done(name, estimate.params, unfinished):
            one = _ended(name)
        elif state is not None and state.total and _is_kept(name, estimate.params):
            one = _begun(Progress(name, STOPPED), replace(state, left=None), kept, estimate)
        else:
            given = kept if name in FACES else None
            if name == "shard" and given is not None:
                given = min(given, params.select.keep)
            one = Progress(name, TO_COME, given=given, left=estimate.seconds(name, given))
        if one.state != DONE:
            unfinished.append(output(name))
        elif name in FACES and one.kept is not None:
            kept = one.kept
        found.append(one)
    return found


@contextmanager
def only(stages: Collection[str]) -> Generator[None]:
    """Count no other stages inside: `celebahq build` runs no training, though its params have a run."""
    token = _only.set(stages)
    try:
        yield
    finally:
        _only.reset(token)


def names(params: Params) -> list[str]:
    """The stages but `report`, in the order of the graph, with the items of those that have some."""
    runs = params.train.runs
    lsun = [f"lsun@{category}" for category in params.lsun.categories]
    found = [*STAGES, *lsun, *(f"train@{run}" for run in runs), *(f"evaluate@{run}" for run in runs)]
    counted = _only.get()
    return found if counted is None else [name for name in found if name in counted]


def workers_of(params: Params, stage: str) -> int | None:
    """Among how many workers a stage divides its work; None for a stage without workers."""
    alone = stage not in WITH_WORKERS or (stage == "denoise" and params.denoise.method == "none")
    return None if alone else params.cluster.workers


def output(name: str) -> Path:
    """The folder that a stage publishes."""
    stage, _, item = name.partition("@")
    return OUTPUTS.get(stage, DATA / stage) / item


def left_after(name: str, *, ended: bool) -> str | None:
    """`stage 4 of 14; after it about 3.0 h`, by its place in the graph; None where the time of no stage is known."""
    if not PARAMS.is_file():
        return None
    params = read_params()
    estimate = _Estimate.read(params)
    if name not in (known := names(params)) or all(estimate.seconds(other, None) is None for other in known):
        return None
    stages = progress_of_all(params, name if ended else None)
    others = [one for one in stages if one.stage != name]
    waiting = [one for one in others if one.state != DONE]
    unknown = [one.stage for one in waiting if one.left is None]
    parts = [f"about {duration(sum(one.left or 0 for one in waiting))}"] if len(unknown) < len(waiting) else []
    parts += [f"{_some(unknown)} of unknown time"] if unknown else []
    return f"stage {1 + known.index(name)} of {len(known)}; after it {', and '.join(parts) or 'nothing'}"


def lines(stages: list[Progress]) -> list[str]:
    """A table of at most 80 columns, and what is left in all."""
    width = max(len(one.stage) for one in stages)
    text = [f"{'stage':<{width}}{'in':>9}{'kept':>9}{'dropped':>9}  time"]
    for one in stages:
        counts = "".join(f"{'-' if n is None else n:>9}" for n in (one.given, one.kept, one.dropped))
        text.append(f"{one.stage:<{width}}{counts}  {_time(one)}")
    waiting = [one for one in stages if one.state != DONE]
    dropped = sum(one.dropped or 0 for one in stages if one.stage != "select")
    done = len(stages) - len(waiting)
    text += ["", f"{done} of {len(stages)} stages are done; {dropped} inputs dropped so far, select not counted."]
    if not waiting:
        return text
    unknown = [one.stage for one in waiting if one.left is None]
    seconds = sum(one.left or 0 for one in waiting)
    if len(unknown) < len(waiting):
        end = time.strftime("%a %d %b %H:%M", time.localtime(time.time() + seconds))
        text.append(f"About {duration(seconds)} are left: until {end}.")
    if unknown:
        text.append(f"Not counted, because their time is not known: {_some(unknown)}.")
    if {"align", "crop", "superres", "select", "shard"} & {*unknown}:
        text.append("celebahq plan measures the stages of the data set, in about a minute.")
    if all(one.state != RUNNING for one in stages):
        text.append("No stage is running: dvc repro begins, or goes on with what was stopped.")
    return text


def same_params(recorded: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether recorded values, by dotted key, are those of `params`; keys that are no params, and None, are ignored."""
    for key, value in recorded.items():
        place: Any = params
        for part in key.split("."):
            place = place.get(part) if isinstance(place, Mapping) else None
        if place is not None and value is not None and not _agrees(value, place):
            return False
    return True


def recorded(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the last whole run of a stage with equal params took on this machine; empty if there is none."""
    record = read_json(RATES / f"{name.replace('@', '/')}.json")
    searched = name != "detect" or record.get("items")  # with landmarks given it takes no time, and notes that
    return record if "params" in record and searched and same_params(record["params"], params) else {}


def seconds_of(record: Mapping[str, Any], items: int, workers: int | None) -> float:
    """What `items` take with so many workers (None for a stage without workers), by a record."""
    scale = items / record["items"] if record["items"] else 1.0
    return record["seconds"] * scale * (record["workers"] / workers if workers else 1)


def keep_plan(params: Params, stages: Mapping[str, tuple[int, float]]) -> None:
    """Keep the items and seconds of the stages that a plan has found."""
    path = _plan(params)
    atomic.write_json(path, {**read_json(path), **stages})


def _plan(params: Params) -> Path:
    return PLANS / f"{provenance.digest_of(params.model_dump(mode='json'))[:16]}.json"


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What stages will take."""

    given: Params
    params: dict[str, Any]
    planned: dict[str, Any]

    @classmethod
    def read(cls, params: Params) -> "_Estimate":
        return cls(params, params.model_dump(mode="json"), read_json(_plan(params)))

    def seconds(self, name: str, items: int | None) -> float | None:
        """Of a stage, with as many items as in the plan or the earlier run if there is no number."""
        stage, _, item = name.partition("@")
        record = recorded(name, self.params)
        planned, seconds = self.planned.get(name, (0, None))
        if stage == "train":
            items = round(1000 * self.params["train"]["runs"][item]["schedule"]["total_kimg"])
        if record:
            return seconds_of(record, items or planned or record["items"], workers_of(self.given, stage))
        return seconds if seconds is None or not planned or not items else seconds * items / planned


def _ended(name: str) -> Progress:
    report = read_json(_report(name))
    found = Progress(name, DONE, seconds=report.get("seconds"), left=0.0)
    if not {"given", "kept", "dropped"} <= report.keys():
        return found
    return replace(found, given=report["given"], kept=report["kept"], dropped=sum(report["dropped"].values()))


def _report(name: str) -> Path:
    return REPORTS / f"{name.replace('@', '/')}.json"


def _begun(found: Progress, state: State, kept: int | None, estimate: _Estimate) -> Progress:
    """A stage that runs, or was stopped."""
    stage = found.stage.partition("@")[0]
    if stage in WITH_WORKERS and state.unit == "row":
        found = replace(found, given=int(state.total or 0), kept=int(state.done) - state.dropped, dropped=state.dropped)
    share = min(state.done / state.total, 1.0) if state.total else None
    whole = estimate.seconds(found.stage, found.given or (kept if stage in FACES else None))
    left = None if state.left is None else max(state.left - max(time.time() - state.at, 0), 0.0)
    if whole is not None and (left is None or (share or 0) < UNCERTAIN):
        left = whole * (1 - (share or 0))
    return replace(found, share=share, left=left)


def _is_done(name: str, params: dict[str, Any], unfinished: list[Path]) -> bool:
    """Whether what a stage has published is what it would make now, as far as its record and its inputs show."""
    stage, _, item = name.partition("@")
    folder = output(name)
    record = read_json(folder / RECORD)
    made = record.get("recipe") == recipe_of(stage) and same_params(record["params"], params)
    if not _report(name).is_file() or not made:
        return False
    if stage == "train" and record.get("run") != params["train"]["runs"][item]:
        return False  # it is to be longer, which its params in the record do not say
    written = (folder / RECORD).stat().st_mtime
    inputs = {Path(path): digest for path, digest in record["inputs"].items()}
    if any(path.is_relative_to(other) for path in inputs for other in unfinished):
        return False
    return all(_is_same(path, digest, written) for path, digest in inputs.items())


def _is_kept(name: str, params: dict[str, Any]) -> bool:
    """Whether what a stopped stage has done counts with the params at hand."""
    records = (read_json(work / RECORD).get("params") for work in work_folders(name))
    return any(known is not None and same_params(known, params) for known in records)


def _is_same(path: Path, digest: str, written: float) -> bool:
    """Whether an input is that of a record; folders are not looked into."""
    if not path.is_file():
        return path.is_dir()
    changed = path.stat()
    return max(changed.st_mtime, changed.st_ctime) <= written or provenance.digest_of_file(path) == digest


def _time(one: Progress) -> str:
    share = "" if one.share is None else f" {'at ' if one.state == STOPPED else ''}{one.share:.0%}"
    if one.state == DONE:
        return DONE if one.seconds is None else f"done in {duration(one.seconds)}"
    if one.left is None:
        return f"{one.state}{share}"
    return f"{one.state}{share}, about {duration(one.left)}{' left' if one.state != TO_COME else ''}"


def _some(stages: list[str]) -> str:
    """`shard, train@a and 3 more`."""
    shown = stages if len(stages) <= 3 else stages[:2]
    rest = len(stages) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _agrees(recorded: Any, found: Any) -> bool:
    """Equal; a mapping may leave out keys, and have nested ones by dotted names, as training runs have."""
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        return provenance.flat(recorded).items() <= provenance.flat(found).items()
    return recorded == found
