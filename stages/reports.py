"""What `celebahq summary` and `celebahq drops` print: the reports and tables that the stages left."""

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from pipeline import atomic, manifest
from pipeline.errors import ParamsError
from pipeline.manifest import Drop
from stages import DATA, PARAMS, RECIPES, REPORTS, WORK, load_yaml

LOCK = Path("dvc.lock")


def summary() -> Iterator[str]:
    """The report of each stage in a few lines, without those that were made with other params or from such results."""
    reports, other = current()
    for name, report in reports.items():
        kept = f"kept {report.pop('kept')} of {report.pop('given')}" if "given" in report else ""
        dropped = ", ".join(f"{count} {reason}" for reason, count in report.pop("dropped", {}).items())
        yield f"{name:18} {kept}{f', dropped {dropped}' if dropped else ''}".rstrip()
        if report:
            yield textwrap.indent(textwrap.fill(", ".join(_flat(report)), 91), " " * 19)
    if not reports and not other:
        yield "No stage has left a report: dvc repro runs them."
    if other:
        yield f"\nNot shown, because made with other params than those in {PARAMS}: {', '.join(other)}"


def current() -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The reports by stage, and the stages whose reports are left out: made with other params, or from such results.

    `ParamsError` if a report is damaged.
    """
    files = {path.relative_to(REPORTS).with_suffix("").as_posix().replace("/", "@"): path for path in _json_files()}
    reports = {name for name in files if name.partition("@")[0] in stages()}
    params = load_yaml(PARAMS.read_text(encoding="utf-8"))
    other = {name for name in reports if not _is_in_params(name, params)} | _changed(params) & reports
    shown = sorted(reports - other, key=_place)
    return {name: _read(files[name], name) for name in shown}, sorted(other, key=_place)


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        return TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ParamsError(f"{path}: damaged ({error.errors()[0]['msg']}). Make it again: dvc repro {name}.") from error


def stages() -> list[str]:
    """The names of all stages, in the order of the graph."""
    return list(load_yaml(RECIPES.read_text(encoding="utf-8")))


def drops(name: str) -> Iterator[Drop]:
    """The dropped inputs of a stage; those of its unfinished run, if there is one, else of its published table.

    Raises
    ------
    ParamsError
        There is no stage of that name, or it has no table.
    """
    stage, path = name.partition("@")[0], name.replace("@", "/")
    if stage not in stages():
        raise ParamsError(f"{name!r} is no stage; there are {', '.join(stages())}")
    unfinished = sorted(WORK.glob(f"{name}-{'?' * 16}/"), key=lambda folder: folder.stat().st_mtime)
    folder = unfinished[-1] if unfinished else DATA / path
    whole = folder / f"{stage}.parquet"
    files = sorted(Path(root, name) for root, _, names in os.walk(folder) for name in names)
    tables = [whole] if whole.is_file() else [path for path in files if path.suffix == ".parquet"]
    tables = [path for path in tables if not any(part.endswith(atomic.PARTIAL_SUFFIX) for part in path.parts)]
    if not tables:
        raise ParamsError(f"{folder}: holds no table of dropped inputs. Run the stage: dvc repro {name}.")
    print(f"{name}: dropped according to {whole if whole in tables else folder}", file=sys.stderr)
    for table in tables:
        if "drop_reason" in pq.read_schema(table).names:
            yield from manifest.iterate_dropped(table)


def with_drops() -> list[str]:
    """The stages that have a published or unfinished table of kept and dropped inputs."""
    published = [path.parent.relative_to(DATA) for path in DATA.glob("*/*.parquet")]
    published += [path.parent.relative_to(DATA) for path in DATA.glob("*/*/*.parquet")]
    names = {path.as_posix().replace("/", "@") for path in published}
    names |= {path.name.rpartition("-")[0] for path in WORK.glob(f"*-{'?' * 16}/") if [*path.rglob("*.parquet")]}
    return sorted((name for name in names if name.partition("@")[0] in stages()), key=_place)


def _place(name: str) -> tuple[int, str]:
    return stages().index(name.partition("@")[0]), name


def _json_files() -> list[Path]:
    return sorted(REPORTS.rglob("*.json"))


def _is_in_params(name: str, params: Any) -> bool:
    stage, _, item = name.partition("@")
    lists = {"lsun": "lsun.categories", "train": "train.runs", "evaluate": "train.runs"}
    return stage not in lists or item in (_value(params, lists[stage]) or ())


def _changed(params: Any) -> set[str]:
    """The stages whose params in `dvc.lock` are not those of params.yaml, and those that depend on them."""
    if not LOCK.is_file():
        return set()
    stages: dict[str, Any] = load_yaml(LOCK.read_text(encoding="utf-8")).get("stages", {})
    changed = {
        name
        for name, stage in stages.items()
        if any(_value(params, key) != value for key, value in stage.get("params", {}).get(str(PARAMS), {}).items())
    }
    while more := {name for name, stage in stages.items() if name not in changed and _reads(stage, stages, changed)}:
        changed |= more
    return changed


def _reads(stage: Mapping[str, Any], stages: Mapping[str, Any], changed: set[str]) -> bool:
    outs = {out["path"] for name in changed for out in stages[name].get("outs", [])}
    deps = {dep["path"] for dep in stage.get("deps", [])}
    return any(outs & {dep, *map(str, Path(dep).parents)} for dep in deps)


def _value(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} {value:.5g}" if isinstance(value, float) else f"{prefix}{key} {value}"
