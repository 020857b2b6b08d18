"""`celebahq build`: a data set from pictures in one command, by the same stages as `dvc repro`.

The stages run in `OUT/.work`, with one set of workers for all of them. A build that was killed goes on there.
"""

import csv
import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from pipeline import atomic, manifest, provenance, suspicions
from pipeline.errors import ParamsError, PipelineError, SourceError, SuspiciousInputError, TooManyDroppedError
from pipeline.manifest import Drop, Face
from pipeline.params import DETECT, FOLDERS, Params
from pipeline.sources.extraction import state_of_images
from pipeline.sources.fetch import terms
from pipeline.sources.source import FILE as CONTENTS
from pipeline.sources.source import Contents
from pipeline.workers import connect
from stages import DATA, MANIFESTS, PARAMS, RECORD, WORK, parse_params, profiles, read_json, reports
from stages.align import align
from stages.crop import crop
from stages.denoise import denoise
from stages.detect import detect
from stages.download import download
from stages.extract import extract
from stages.fit_denoise import fit_denoise
from stages.fit_superres import fit_superres
from stages.select import select
from stages.shard import shard
from stages.superres import superres

HEAD = """# Made by celebahq build. In the root of a checkout, dvc repro shard makes the same data set from it, and
# dvc repro train@faces trains a small GAN on the data set that was built (a minute to half an hour on a CPU). On a GPU
# raise its resolution, networks and total_kimg (profiles/one-gpu.yaml).
"""
ROOT = Path(__file__).parents[1]
SCRATCH = ".work"
FINISHED = "finished.json"
DROPPED = "dropped.csv"
STAGES: tuple[Callable[[], None], ...] = (
    extract, detect, align, crop, fit_denoise, denoise, fit_superres, superres, select, shard,
)  # fmt: skip
SHEETS = {"detect/faces.png": "detected.png", "superres/faces.png": "faces.png"}
"""By file below `data`, the name of its copy in OUT."""
ALL = 10**9
NOTHING = (TooManyDroppedError, SuspiciousInputError, SourceError)
"""Errors after which nothing can be built of these pictures."""
EXIT_NOTHING = 3


class NothingBuiltError(PipelineError):
    """No picture could be used; the files that say why are in the folder of the result."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to build; paths are absolute. `landmarks` and `attributes` may be `DETECT` and `FOLDERS`."""

    images: Path
    out: Path
    landmarks: Path | None
    attributes: Path | None
    rectangle: Literal["landmarks", "centre", "whole"]
    resolution: int
    orientation: Literal["shown", "stored"]
    restore: Literal["none", "network"]
    detect: dict[str, Any]
    cluster: dict[str, Any]

    def params(self) -> dict[str, Any]:
        """What differs from the profile `folder`."""
        network = self.restore == "network" and self.rectangle == "landmarks"
        none = {"network": {"kind": "none"}}
        enlarge = "lanczos" if self.rectangle == "landmarks" else "none"
        files = {path for path in (self.images, self.landmarks, self.attributes) if path} - {DETECT, FOLDERS}
        source = {"images": self.images, "landmarks": self.landmarks, "attributes": self.attributes}
        values: dict[str, Any] = {
            "cluster": self.cluster,
            "photographs": {"orientation": self.orientation},
            "download": {
                "watch": os.path.commonpath(files),
                "source": {"kind": "folder", **{key: path and str(path) for key, path in source.items()}},
            },
            "detect": self.detect,
            "align": {"rectangle": self.rectangle, "resolution": self.resolution},
            "superres": {"method": "network" if network else enlarge},
            "denoise": {"method": "network" if network else "none"},
            "select": {"method": "index", "keep": ALL},
        }
        if not network:
            values |= {"fit_denoise": none, "fit_superres": none}
        for stage in ("extract", "detect", "align", "crop", "denoise", "superres"):
            values[stage] = values.get(stage, {}) | {"max_dropped": 1.0}
        return values | {
            "train": {"runs": {"faces": {"dataset": str(self.out), "resolution": min(32, self.resolution)}}}
        }


def build(request: Request) -> Iterator[str]:
    """Build the data set; yield what to print about it.

    Raises
    ------
    NothingBuiltError
        No picture could be used; `dropped.csv` and `suspicions.csv` are written.
    ParamsError
        The folders cannot be used, or a value is impossible.
    """
    out, work = request.out, request.out / SCRATCH
    _check_folders(request)
    with chdir(ROOT):
        text = profiles.overlaid("folder", HEAD + yaml.safe_dump(request.params(), sort_keys=False))
    params = parse_params(text, out / PARAMS)
    for link in (MANIFESTS, Path(terms.FILE), DATA / ".downloads"):
        _link(work / link, ROOT / link)
    (out / RECORD).unlink(missing_ok=True)
    atomic.write_bytes(out / PARAMS, text.encode())
    try:
        with chdir(work):
            _run_stages(params)
    except NOTHING as error:
        _write_lists(out)
        raise NothingBuiltError(
            f"nothing was built.\n{error}\n{out / DROPPED} and {out / suspicions.FILE} list what was found."
        ) from error
    drops = _write_lists(out)
    _publish(out)
    yield from _summary(out, drops)
    shutil.rmtree(work)


def _check_folders(request: Request) -> None:
    images, out = request.images, request.out
    if not images.exists():
        raise ParamsError(f"{images}: no such file or folder.")
    if not (ROOT / profiles.PROFILES).is_dir():
        raise ParamsError(f"{ROOT}: has no {profiles.PROFILES}. Install the checkout in place: make env.")
    if images.is_dir() and images.resolve() in (out.resolve(), *out.resolve().parents):
        raise ParamsError(f"{out}: lies in the folder of the pictures. Name a folder elsewhere for the result.")
    if out.exists() and not out.is_dir():
        raise ParamsError(f"{out}: is a file. Name a folder for the result.")
    if out.exists() and any(out.iterdir()) and not (out / PARAMS).is_file():
        raise ParamsError(f"{out}: holds other files. Name a new or empty folder for the result.")
    for path in (request.landmarks, request.attributes):
        if path not in (None, DETECT, FOLDERS) and not path.exists():
            raise ParamsError(f"{path}: no such file. Correct the path after --landmarks or --attributes.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParamsError(f"{out}: cannot be made ({error.strerror}). Name another folder for the result.") from error


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not path.is_symlink():
        path.symlink_to(target)


def _run_stages(params: Params) -> None:
    """Run the stages that a killed build with equal params and files has not finished."""
    before = read_json(Path(FINISHED))
    download_params = params.model_dump_json()
    with connect(params.cluster) as client:
        address = str(client.scheduler_info()["address"])
        used = params.model_copy(update={"cluster": params.cluster.model_copy(update={"scheduler": address})})
        PARAMS.write_text(yaml.safe_dump(used.model_dump(mode="json")), encoding="utf-8")
        download()
        source = DATA / "download"
        state = state_of_images(source, Contents.read(source))
        key = provenance.digest_of([download_params, (source / CONTENTS).read_text(encoding="utf-8"), state])
        done: list[str] = before["stages"] if before.get("key") == key else []
        for stage in STAGES:
            name = stage.__name__
            if name in done:
                continue
            print(f"{name} ...", file=sys.stderr)
            stage()
            done.append(name)
            atomic.write_json(Path(FINISHED), {"key": key, "stages": done})


def _write_lists(out: Path) -> list[tuple[str, Drop]]:
    """Write `dropped.csv` and `suspicions.csv` of finished and unfinished stages; return the drops with their stage."""
    with chdir(out / SCRATCH), redirect_stderr(io.StringIO()):
        drops = [(stage, drop) for stage in reports.with_drops() for drop in reports.drops(stage)]
        found = {  # align repeats what download found in the annotations
            (suspicion.kind, suspicion.count, suspicion.of): suspicion
            for stage in reports.stages()
            for folder in (DATA / stage, *sorted(WORK.glob(f"{stage}-*")))
            for suspicion in suspicions.read(folder)
        }
    rows = [[drop.file, drop.face, stage, drop.reason.value, drop.detail] for stage, drop in drops]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "face", "stage", "reason", "detail"])
    writer.writerows(rows)
    atomic.write_bytes(out / DROPPED, text.getvalue().encode())
    suspicions.write(out, [*found.values()])
    return drops


def _publish(out: Path) -> None:
    """Move the data set and copy the sheets to `out`, in place of an earlier one; the record is the last file."""
    data = out / SCRATCH / DATA
    for old in [*out.glob("shard-*.h5"), *(out / name for name in SHEETS.values())]:
        old.unlink(missing_ok=True)
    (out / "dataset-labels.npy").unlink(missing_ok=True)
    for source, name in SHEETS.items():
        if (data / source).is_file():
            shutil.copyfile(data / source, out / name)
    files = sorted((data / "shard").iterdir(), key=lambda path: path.name == RECORD)
    for path in files:
        path.replace(out / path.name)


def _summary(out: Path, drops: Sequence[tuple[str, Drop]]) -> Iterator[str]:
    files = {row.index for row in manifest.read_kept(out / "shard.parquet", Face)}
    images = read_json(out / RECORD)["report"]["images"]
    lost = {drop.index: drop.reason.value for _, drop in drops if drop.index not in files}
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(lost.values()).most_common())
    faces = len(drops) - sum(drop.index in lost for _, drop in drops)
    yield f"{len(files) + len(lost)} files: {len(files)} kept, {len(lost)} dropped{f' ({reasons})' if lost else ''}"
    yield f"data set of {images} images{f', without {faces} other faces' if faces else ''}: {out}"
    yield "to train on it, in the root of the checkout: cp " + f"{out / PARAMS} . && dvc repro train@faces"
