"""The DVC stages, and what they share: `params.yaml`, work folders, published folders, records and reports.

Stages never import each other. They read what earlier stages published in `data/<stage>/`, with the table
`data/<stage>/<stage>.parquet`.
"""

import errno
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import atomic, drops, provenance
from pipeline.errors import ParamsError, PipelineError, SourceError
from pipeline.manifest import Accounting
from pipeline.params import Params
from pipeline.sources.fetch import terms
from pipeline.sources.fetch.downloads import Downloads

PARAMS = Path("params.yaml")
DATA = Path("data")
WORK = DATA / ".work"
CHECKOUT = Path(os.environ.get("DVC_ROOT", ""))
"""The user's checkout: another folder than the current one in a temporary workspace of `dvc exp run --temp`."""
DOWNLOADS = CHECKOUT / DATA / ".downloads"
"""Downloaded files; outside the work folders, so that no change of params loses them."""
MANIFESTS = Path("manifests")
REPORTS = Path("reports")
RECORD = "record.json"
"""In every published folder: what it was made from. Equal in every run of equal code on equal params and inputs."""
RECORDS = Path("records")
"""Where version 0.1.0 kept the records."""
SYSTEM_FAULTS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ESTALE)
"""Errors of a disk, not of the program: the command line shows the message alone."""
RECIPES = Path(__file__).with_name("recipes.yaml")


def read_params(path: Path = PARAMS) -> Params:
    """Read a params file; `ParamsError` if it is absent or invalid."""
    if not path.is_file():
        raise ParamsError(f"{path.resolve()}: no such file. Run from the repository's root, which holds params.yaml.")
    return parse_params(path.read_text(encoding="utf-8"), path)


def load_yaml(text: str) -> Any:
    """The content of a YAML 1.2 text, as DVC reads it: 1e-3 is a number, and a key that stands twice is an error."""
    return YAML(typ="safe", pure=True).load(text)


def parse_params(text: str, path: Path) -> Params:
    """Validate the text of the params file `path`.

    Raises
    ------
    ParamsError
        The text is no YAML, or has missing, unknown or impossible values; the message lists each.
    """
    try:
        return Params.model_validate_json(json.dumps(load_yaml(text)))
    except YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from error
    except ValidationError as error:
        faults = "".join(
            f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']} (found {fault['input']!r})\n"
            for fault in error.errors()
        )
        raise ParamsError(
            f"{path}: {error.error_count()} fault(s):\n{faults}Compare with profiles/demo.yaml, which is complete."
        ) from error


Manifest = TypeVar("Manifest", bound=BaseModel)


def read_manifest(path: Path, kind: type[Manifest]) -> Manifest:
    """Read a file of `manifests/`; `SourceError` if it is absent or has another content."""
    try:
        return kind.model_validate_json(json.dumps(load_yaml(path.read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file; it comes with the repository: git checkout {path}.") from error
    except (YAMLError, ValidationError) as error:
        raise SourceError(
            f"{path}: not a list of published files: {error}\nRestore it: git checkout {path}."
        ) from error


def open_downloads(params: Params) -> Downloads:
    """The published files in the user's checkout, under the terms that were accepted there."""
    network = params.network
    if network.local is not None:
        network = network.model_copy(update={"local": CHECKOUT / network.local})
    return Downloads(DOWNLOADS, network, terms.Acceptance.read(CHECKOUT / terms.FILE))


@dataclass
class StageRun:
    """One execution of a stage.

    Attributes
    ----------
    work
        The folder to fill. Its name holds the digest of params, inputs and recipe, so what a killed run left there
        is what this run would make again.
    report
        Numbers for the record and for `reports/<name>.json`, the stage's DVC metrics, which also has the seconds that
        the run took. Nothing else that varies between equal runs.
    notes
        Further entries of the record; nothing that varies between equal runs.
    """

    stage: str
    work: Path
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def table(self) -> Path:
        """The stage's table, in the work folder."""
        return self.work / f"{self.stage}.parquet"

    def count(self, account: Accounting, max_dropped: float) -> None:
        """Report an account; raise `TooManyDroppedError` above the limit."""
        self.report.update(asdict(account))
        drops.check(self.stage, account, max_dropped, self.table)


def _once_at_a_time(body: Callable[..., Generator[StageRun]]) -> Callable[..., Generator[StageRun]]:
    """Refuse a second run of the same stage, and remove what killed runs left half written in its work folders."""

    @wraps(body)
    def run(name: str, **values: Any) -> Generator[StageRun]:
        with atomic.locked(WORK / f"{name}.lock", name):
            for work in WORK.glob(f"{name}-{'?' * 16}/"):
                atomic.sweep(work)
            yield from body(name, **values)

    return run


@contextmanager
@_once_at_a_time
def stage_run(
    name: str,
    *,
    params: Mapping[str, BaseModel | Any],
    inputs: Sequence[Path],
    out: Path | None = None,
    keep_work: bool = False,
) -> Generator[StageRun]:
    """Run the body of a stage in a work folder; publish the folder, with its record, as `out` on success.

    Code and library versions are recorded, but do not decide which work is resumed: the stage's number in
    `stages/recipes.yaml` does.

    Parameters
    ----------
    name
        The stage, `train@demo` for an item of a foreach stage.
    params
        The values that decide the result, by their key in `params.yaml`.
    inputs
        Files and folders that decide the result; tables stand for the containers they describe.
    out
        The folder to publish; `data/<stage>` or `data/<stage>/<item>` by default.
    keep_work
        The result is days of work (a training run): work folders of other params are kept, and a published result of
        the same params and inputs is continued instead of made anew. DVC must `persist` the output.
    """
    stage, path = name.partition("@")[0], name.replace("@", "/")
    out = out or DATA / path
    made_from = {
        "params": to_jsonable_python(dict(params)),
        "inputs": provenance.digest_of_inputs(inputs),
        "recipe": recipe_of(stage),
    }
    made_by = {"code": provenance.code_digest(), "libraries": provenance.library_versions()}
    digest = provenance.digest_of(made_from)
    facts = {**made_from, **made_by, "digest": digest}
    work = WORK / f"{name}-{digest[:16]}"
    _retire_stale(name, work, keep_work)
    before = _record_of(out, path) if keep_work and not work.exists() else {}
    if before.get("digest") == digest:
        WORK.mkdir(parents=True, exist_ok=True)
        out.replace(work)
        atomic.write_json(work / RECORD, before)
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        print(f"{name}: resuming from {work}", file=sys.stderr)
        _print_differences(name, _read_json(work / RECORD) or made_by, made_by)
    else:
        atomic.write_json(work / RECORD, facts)
    started = time.monotonic()
    run = StageRun(stage, work)
    yield run
    seconds = round(time.monotonic() - started, 2)
    atomic.write_json(work / RECORD, {**facts, "report": run.report, **run.notes})
    atomic.write_json(REPORTS / f"{path}.json", {**run.report, "seconds": seconds})
    atomic.publish(work, out)


def recipe_of(stage: str) -> int:
    """The number of a stage in `stages/recipes.yaml`, raised whenever the bytes that the stage makes change."""
    return load_yaml(RECIPES.read_text(encoding="utf-8"))[stage]


def main(stage: Any) -> None:
    """Run a stage's function from the command line: a named error ends it with its message alone."""
    try:
        stage(*sys.argv[1:])
    except PipelineError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    except OSError as error:
        if _errno(error) not in SYSTEM_FAULTS:
            raise
        sys.exit(f"\nOSError: {error}. Mend the disk or its limits, then run again: what is finished is kept.")


def _errno(error: OSError) -> int | None:
    """The error number; HDF5 gives it in the text alone."""
    found = re.search(r"\berrno = (\d+)", str(error))
    return error.errno if found is None else int(found[1])


def table(stage: str) -> Path:
    """The table that `stage` published."""
    return DATA / stage / f"{stage}.parquet"


def _record_of(out: Path, path: str) -> dict[str, Any]:
    """The record of a published folder, also of one that version 0.1.0 published; empty if there is none."""
    if not out.exists():
        return {}
    return _read_json(out / RECORD) or _read_json(RECORDS / f"{path}.json")


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _print_differences(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Print how the code and the libraries differ from those that began this work."""
    changed = ["the project's code"] if before["code"] != now["code"] else []
    for library, version in now["libraries"].items():
        old = before["libraries"].get(library, "not installed")
        if old != version:
            changed.append(f"{library} {old} -> {version}")
    if changed:
        print(f"{name}: changed since this work was begun: {', '.join(changed)}", file=sys.stderr)


def _retire_stale(name: str, current: Path, keep: bool) -> None:
    """Delete the work folders of other params or data; with `keep` name them only."""
    for folder in sorted(WORK.glob(f"{name}-{'?' * 16}/")):
        if folder == current:
            continue
        if keep:
            print(
                f"{name}: {folder} was made with other params or data. It is kept: delete it by hand, or, to continue "
                f"from it all the same, rename it to {current}",
                file=sys.stderr,
            )
        else:
            shutil.rmtree(folder)
