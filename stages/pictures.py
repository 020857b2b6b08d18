"""What `celebahq build` and `celebahq detect` share: stages on a user's pictures, in a work folder of the result."""

import csv
import io
import os
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import yaml

from pipeline import atomic, provenance, suspicions
from pipeline.errors import ParamsError, TooManyDroppedError
from pipeline.manifest import Drop
from pipeline.params import DETECT, FOLDERS, Params
from pipeline.provenance import read_json
from pipeline.sources.extraction import state_of_images
from pipeline.sources.fetch import terms
from pipeline.sources.source import FILE as CONTENTS
from pipeline.sources.source import Contents
from pipeline.suspicions import Suspicion
from pipeline.workers import connect
from stages import DATA, MANIFESTS, PARAMS, RECIPES, WORK, parse_params, profiles, remaining, reports
from stages.download import download

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = ".work"
FINISHED, LOCK = "finished.json", "lock"
DROPPED = "dropped.csv"


def source(images: Path, landmarks: Path | None, attributes: Path | None) -> dict[str, Any]:
    """The section `download` for a user's files; `landmarks` and `attributes` may be `DETECT` and `FOLDERS`."""
    given = {"images": images, "landmarks": landmarks, "attributes": attributes}
    files = {path for path in given.values() if path} - {DETECT, FOLDERS}
    return {
        "watch": os.path.commonpath(files),
        "source": {"kind": "folder", **{key: path and str(path) for key, path in given.items()}},
    }


def params_of(values: Mapping[str, Any], head: str, path: Path) -> tuple[str, Params]:
    """The profile `folder` with `values` in place of its own, as text that begins with `head`, and as params.

    `ParamsError`, which names `path`, if a value is impossible, or the project is not installed from its checkout.
    """
    if not (ROOT / profiles.PROFILES).is_dir():
        raise ParamsError(f"{ROOT}: has no {profiles.PROFILES}. Install the checkout in place: make env.")
    with chdir(ROOT):
        text = profiles.overlaid("folder", head + yaml.safe_dump(dict(values), sort_keys=False))
    return text, parse_params(text, path)


def check_folders(images: Path, out: Path) -> None:
    """Raise `ParamsError` if there are no pictures at `images`, or `out` is among them, in a result, or a file."""
    if not images.exists():
        raise ParamsError(f"{images}: no such file or folder.")
    if images.is_dir() and images.resolve() in (out.resolve(), *out.resolve().parents):
        raise ParamsError(f"{out}: lies in the folder of the pictures. Name a folder elsewhere for the result.")
    if (above := provenance.results_above(out.parent)) is not None:
        raise ParamsError(f"{out}: lies in {above}, which would no longer be whole. Name another folder.")
    if out.exists() and not out.is_dir():
        raise ParamsError(f"{out}: is a file. Name a folder for the result.")


@contextmanager
def working_in(out: Path) -> Generator[Path]:
    """Make the work folder inside `out`, where the stages find manifests, accepted terms and downloads of the checkout.

    `BusyError`: another process works there. `ParamsError`: the folder cannot be made.
    """
    work = out / SCRATCH
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParamsError(f"{out}: cannot be made ({error.strerror}). Name another folder for the result.") from error
    with atomic.locked(work / LOCK, str(out)):
        for name in (MANIFESTS, Path(terms.FILE), DATA / ".downloads"):
            _bring(ROOT / name, work / name)
        yield work


def _bring(source: Path, target: Path) -> None:
    """Link what stands in the checkout; copy it where the file system has no links (exFAT), but for large downloads."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists() or os.path.lexists(target):
        return
    try:
        target.symlink_to(source)
    except OSError:
        if source.is_file():
            shutil.copyfile(source, target)
        elif source.name == MANIFESTS.name:
            shutil.copytree(source, target)


def run_stages(work: Path, params: Params, stages: Sequence[Callable[[], None]]) -> None:
    """Run `download`, and those of `stages` that a killed run with equal params, files and recipes has not finished.

    One set of workers serves all of them.
    """
    names = ["download", *(stage.__name__ for stage in stages)]
    with chdir(work), connect(params.cluster) as client, remaining.only(names):
        before = read_json(Path(FINISHED))
        address = str(client.scheduler_info()["address"])
        used = params.model_copy(update={"cluster": params.cluster.model_copy(update={"scheduler": address})})
        PARAMS.write_text(yaml.safe_dump(used.model_dump(mode="json")), encoding="utf-8")
        download(with_dvc=False)
        folder = DATA / "download"
        decided = params.model_dump(mode="json", exclude={"cluster"})
        state = state_of_images(folder, Contents.read(folder))
        texts = [path.read_text(encoding="utf-8") for path in (folder / CONTENTS, RECIPES)]
        key = provenance.digest_of([decided, texts, state])
        done: list[str] = before["stages"] if before.get("key") == key else []
        for stage in stages:
            name = stage.__name__
            if name in done:
                continue
            print(f"{name} ...", file=sys.stderr)
            stage()
            done.append(name)
            atomic.write_json(Path(FINISHED), {"key": key, "stages": done})


def reasons_of(error: TooManyDroppedError) -> str:
    """Its message without the remedy, which is for params.yaml: build and detect allow any share of drops."""
    return str(error).partition("celebahq drops")[0]


def remove_work(work: Path) -> None:
    """Remove the work folder. What a kill leaves of it does not count as finished."""
    (work / FINISHED).unlink()
    shutil.rmtree(work)


def write_dropped(out: Path) -> list[tuple[str, Drop]]:
    """Write `dropped.csv` of finished and unfinished stages to `out`; return the drops, each with its stage."""
    with chdir(out / SCRATCH), redirect_stderr(io.StringIO()):
        drops = [(stage, drop) for stage in reports.with_drops() for drop in reports.drops(stage)]
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "face", "stage", "reason", "detail"])
    rows.writerows([drop.file, drop.face, stage, drop.reason.value, drop.detail] for stage, drop in drops)
    atomic.write_bytes(out / DROPPED, text.getvalue().encode())
    return drops


def write_suspicions(out: Path) -> list[Suspicion]:
    """Write `suspicions.csv` of finished and unfinished stages to `out`, and return them; the later of a kind."""
    found = {
        suspicion.kind: suspicion
        for stage in reports.stages()
        for folder in (out / SCRATCH / DATA / stage, *sorted((out / SCRATCH / WORK).glob(f"{stage}-*")))
        for suspicion in suspicions.read(folder)
    }
    suspicions.write(out, [*found.values()])
    return [*found.values()]
