"""The DVC stages, and what they share: `params.yaml`, work folders, published folders, records and reports.

Stages never import each other. They read what earlier stages published in `data/<stage>/`, with the table
`data/<stage>/<stage>.parquet`.
"""

import errno
import json
import os
import re
import resource
import shutil
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import atomic, checksums, disk, provenance
from pipeline.errors import DiskFullError, ParamsError, PipelineError, SourceError, SuspiciousInputError
from pipeline.no_pandas import arrow_without_pandas
from pipeline.params import Params
from pipeline.progress import QUIET, duration, published
from pipeline.provenance import RECORD, read_json

if TYPE_CHECKING:  # pyarrow and requests take longer to load than most commands take
    from pipeline.drops import DropLimit
    from pipeline.manifest import Accounting
    from pipeline.sources.fetch.downloads import Downloads
    from pipeline.suspicions import Suspicion

PARAMS = Path("params.yaml")
DATA = Path("data")
WORK = DATA / ".work"
CHECKOUT = Path(os.environ.get("DVC_ROOT", ""))
"""The user's checkout: another folder than the current one in a temporary workspace of `dvc exp run --temp`."""
DOWNLOADS = CHECKOUT / DATA / ".downloads"
"""Downloaded files; outside the work folders, so that no change of params loses them."""
MANIFESTS = Path("manifests")
REPORTS = Path("reports")
RECORDS = Path("records")
"""Where version 0.1.0 kept the records."""
RATES = DATA / ".rates"
"""What each stage took on this machine when it last ran from its start, for `celebahq plan`."""
SYSTEM_FAULTS = (errno.EIO, errno.EROFS, errno.ESTALE)
"""Errors of a disk, not of the program: the command line shows the message alone."""
USER_FAULTS = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENAMETOOLONG)
"""Errors of a path that the user gave or keeps: as above."""
TRACEBACK = "CELEBAHQ_TRACEBACK"
"""The environment variable that, when it is not empty, shows where in the program such an error arose."""
INTERRUPTED = 130
"""The exit status after Ctrl-C, as of a shell: 128 + SIGINT."""
RECIPES = Path(__file__).with_name("recipes.yaml")


def read_params(path: Path = PARAMS) -> Params:
    """Read a params file; `ParamsError` if it is absent or invalid."""
    if not path.is_file():
        raise ParamsError(f"{path.resolve()}: no such file. Run from the repository's root, which holds params.yaml.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 ({error}). Save it as UTF-8.") from error
    return parse_params(text, path)


def load_yaml(text: str) -> Any:
    """The content of a YAML 1.2 text, as DVC reads it: 1e-3 is a number, and a key that stands twice is an error."""
    return YAML(typ="safe", pure=True).load(text)


@lru_cache(maxsize=4)  # a stage reads them several times, which takes 25 ms each
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
    except TypeError as error:  # dates and sets of YAML are no JSON
        raise ParamsError(f"{path}: {error}; no param has such a value. Write it in quotes, or correct it.") from error
    except ValidationError as error:
        faults = "".join(
            f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            + ("\n" if fault["type"] == "missing" else f" (found {fault['input']!r})\n")
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


def open_downloads(params: Params) -> "Downloads":
    """The published files in the user's checkout, under the terms that were accepted there."""
    from pipeline.sources.fetch import terms
    from pipeline.sources.fetch.downloads import Downloads

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
        Numbers for the record and for `reports/<name>.json`, which also has the seconds that the run took.
        Nothing else that varies between equal runs.
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

    def drop_limit(self, max_dropped: float, inputs: Path) -> "DropLimit":
        """Counts what is dropped of the kept rows of the table `inputs` while the stage runs."""
        from pipeline import drops, manifest

        return drops.DropLimit(self.stage, max_dropped, manifest.account(inputs).kept)

    def suspect(self, found: Sequence["Suspicion"], max_share: float = 1.0, key: str | None = None) -> None:
        """Print suspicions, write them to `suspicions.csv`, and raise `SuspiciousInputError` above `max_share` (0...1).

        Called once by a stage, with all that it suspects. `key` of `params.yaml` has the share, that of the stage by
        default.
        """
        from pipeline import suspicions

        for suspicion in found:
            print(f"{self.stage}: {suspicion}", file=sys.stderr)
        suspicions.write(self.work, found)
        self.report["suspicions"] = sum(suspicion.count for suspicion in found)
        above = [
            str(suspicion)
            for suspicion in found
            if not suspicion.harmless and suspicion.count > max_share * suspicion.of
        ]
        if above:
            raise SuspiciousInputError(
                f"{self.stage}: {'; '.join(above)}. Allowed is a share of {max_share:.1%}. Correct the input; or, if "
                f"it is right as it is, raise {key or f'{self.stage}.max_suspicious'} in params.yaml."
            )

    def count(self, account: "Accounting", max_dropped: float) -> None:
        """Report an account; raise `TooManyDroppedError` above the limit."""
        from pipeline import drops

        self.report.update(asdict(account))
        drops.check(self.stage, account, max_dropped, self.table)


def _once_at_a_time(body: Callable[..., Generator[StageRun]]) -> Callable[..., Generator[StageRun]]:
    """Refuse a second run of the same stage, and remove what killed runs left half written."""

    @wraps(body)
    def run(name: str, **values: Any) -> Generator[StageRun]:
        with atomic.locked(WORK / f"{name}.lock", name), published(WORK / f"{name}.progress.json"):
            for work in WORK.glob(f"{name}-{'?' * 16}/"):
                atomic.sweep(work)
            for folder in (REPORTS, RATES):
                atomic.sweep_abandoned(folder)
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
    identity: Mapping[str, Any] | None = None,
    room: int = 0,
    libraries: Sequence[str] = (),
) -> Generator[StageRun]:
    """Run the body of a stage in a work folder; publish the folder, with its record, as `out` on success.

    `DiskFullError` if its results will not fit, or no longer fit, on the disk.

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
    identity
        Of days of work that survive a new recipe (a training run): what names its work folder, in place of params,
        inputs and recipe. The stage decides what becomes of other work folders and of a published result, before it
        calls this (see `work_folder`); DVC must `persist` the output.
    room
        About how many bytes the results will have; what the work folder holds already counts.
    libraries
        Whose versions are recorded too: those that decide this result alone.
    """
    stage, path = name.partition("@")[0], name.replace("@", "/")
    out = out or DATA / path
    made_from = {
        "params": to_jsonable_python(dict(params)),
        "inputs": provenance.digest_of_inputs(inputs),
        "recipe": recipe_of(stage),
    }
    made_by = {"code": provenance.code_digest(), "libraries": provenance.library_versions(*libraries)}
    digest = provenance.digest_of(identity or made_from)
    facts = {**made_from, **made_by, "digest": digest}
    work = work_folder(name, identity or made_from)
    if identity is None:
        _retire_stale(name, work)
    work.mkdir(parents=True, exist_ok=True)
    fresh = not any(work.iterdir())
    if not fresh:
        print(f"{name}: resuming from {work}", file=sys.stderr)
        (work / checksums.FILE).unlink(missing_ok=True)  # of a published run that is made longer: no longer true
        _print_differences(name, read_json(work / RECORD) or read_json(RECORDS / f"{path}.json"), facts)
    else:
        atomic.write_json(work / RECORD, facts)
    disk.require(work, room - disk.size_of(work), name)
    workers = read_params().cluster.workers if PARAMS.exists() else 1
    if after := _left_after(name, ended=False):
        print(f"{name}: {after}", file=sys.stderr)
    started = time.monotonic()
    run = StageRun(stage, work)
    try:
        yield run
    except DiskFullError as error:
        missing, free = room - disk.size_of(work), disk.free_bytes(work)
        if missing <= 0:
            raise
        raise DiskFullError(
            f"{error} {name} needs about {disk.gigabytes(missing)} more, {disk.gigabytes(free)} are free."
        ) from error
    seconds = round(time.monotonic() - started, 2)
    atomic.write_json(work / RECORD, {**facts, "report": run.report, **run.notes})
    atomic.write_json(REPORTS / f"{path}.json", {**run.report, "seconds": seconds})
    checksums.write(work)
    atomic.publish(work, out)
    if fresh:
        atomic.write_json(
            RATES / f"{path}.json", {"params": made_from["params"], "seconds": seconds, **_measured(run, workers)}
        )
    if not os.environ.get(QUIET):
        after = _left_after(name, ended=True)
        print(_ended(name, run.report, seconds) + (f"; {after}" if after else ""), file=sys.stderr)


def _left_after(name: str, *, ended: bool) -> str | None:
    from stages import remaining  # which imports this package

    try:
        return None if os.environ.get(QUIET) else remaining.left_after(name, ended=ended)
    except (PipelineError, OSError) as error:  # params.yaml may be edited meanwhile; a remark fails no stage
        return f"what is left is not known ({error})"


def _ended(name: str, report: Mapping[str, Any], seconds: float) -> str:
    """`crop: kept 202590 of 202599 inputs, dropped 9 (6 truncated image, 3 not an image), in 2.1 h`."""
    kept = ""
    if {"given", "kept", "dropped"} <= report.keys():
        kept = f" kept {report['kept']} of {report['given']} inputs,"
        reasons = sorted(report["dropped"].items(), key=lambda item: -item[1])
        if reasons:
            kept += f" dropped {sum(report['dropped'].values())} ({', '.join(f'{n} {why}' for why, n in reasons)}),"
    return f"{name}:{kept} in {duration(seconds)}" if kept else f"{name}: done in {duration(seconds)}"


def work_folder(name: str, identity: Mapping[str, Any]) -> Path:
    """The work folder of a stage for what its result is made from."""
    return WORK / f"{name}-{provenance.digest_of(identity)[:16]}"


def work_folders(name: str) -> list[Path]:
    """All work folders of a stage, of whatever params."""
    return sorted(WORK.glob(f"{name}-{'?' * 16}/"))


def _measured(run: StageRun, workers: int) -> dict[str, int]:
    """Items, peak memory of the largest process in bytes, and workers of a stage that has run."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    items = next((int(run.report[key]) for key in ("given", "images") if key in run.report), 0)
    return {"items": items, "memory": peak * 1024, "workers": workers}


def recipe_of(stage: str) -> int:
    """The number of a stage in `stages/recipes.yaml`, raised whenever the bytes that the stage makes change."""
    return load_yaml(RECIPES.read_text(encoding="utf-8"))[stage]


def main(stage: Any) -> None:
    """Run a stage's function from the command line: a named error ends it with its message alone."""
    arrow_without_pandas()
    try:
        stage(*sys.argv[1:])
    except (KeyboardInterrupt, SystemExit) as error:  # typer turns the first into the second
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        print("\nInterrupted. What is finished is kept, and the same command goes on from there.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except PipelineError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    except MemoryError as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(f"\nMemoryError: {error or 'no more'}: this needs more memory than there is. Ask for less at once.")
    except OSError as error:
        path = Path(error.filename or DATA)
        full = disk.full_error(path, path, error)
        if full is not None:
            sys.exit(f"\n{type(full).__name__}: {full}")
        if error.filename is not None and error.errno in USER_FAULTS and not os.environ.get(TRACEBACK):
            sys.exit(f"\n{type(error).__name__}: {error.filename}: {error.strerror}. ({TRACEBACK}=1 shows where.)")
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


def _print_differences(name: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Print how recipe, code and libraries differ from those that began this work, as far as that is recorded."""
    if not before:
        return
    changed = ["the project's code"] if before["code"] != now["code"] else []
    recipe = before.get("recipe", now["recipe"])
    if recipe != now["recipe"]:
        changed.append(f"the stage's recipe {recipe} -> {now['recipe']}")
    for library, version in now["libraries"].items():
        old = before["libraries"].get(library, version)  # earlier versions did not record all of them
        if old != version:
            changed.append(f"{library} {old} -> {version}")
    if changed:
        print(f"{name}: changed since this work was begun: {', '.join(changed)}", file=sys.stderr)


def _retire_stale(name: str, current: Path) -> None:
    """Delete the work folders of other params or data."""
    for folder in work_folders(name):
        if folder != current:
            shutil.rmtree(folder)
