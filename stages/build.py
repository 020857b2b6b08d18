"""`celebahq build`: a data set from pictures in one command, by the same stages as `dvc repro`.

The stages run in `OUT/.work`, with one set of workers for all of them; a build that was killed goes on there.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml.error import YAMLError

from pipeline import atomic, manifest, provenance, suspicions
from pipeline.errors import (
    DropReason,
    ParamsError,
    PipelineError,
    SourceError,
    SuspiciousInputError,
    TooManyDroppedError,
)
from pipeline.manifest import Drop
from pipeline.params import DETECT, FOLDERS
from pipeline.provenance import RECORD, read_json
from pipeline.shards.layout import VIEW
from pipeline.sources.local import link_or_copy
from stages import DATA, PARAMS, load_yaml, pictures
from stages.align import align
from stages.crop import crop
from stages.denoise import denoise
from stages.detect import detect
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
STAGES: tuple[Callable[[], None], ...] = (
    extract, detect, align, crop, fit_denoise, denoise, fit_superres, superres, select, shard,
)  # fmt: skip
SHEETS = {"detect/faces.png": "detected.png", "superres/faces.png": "faces.png"}
"""By file below `data`, the name of its copy in OUT."""
APART = """# DVC looks at all of {watch}, which holds the pictures and the tables.
# Where that holds more, put the tables into the folder of the pictures and build again: DVC would read all of it, and
# refuses a folder that holds the checkout.
"""
ALL = 10**9
CHOICES = {
    "pictures": "download.source.images",
    "--landmarks": "download.source.landmarks",
    "--attributes": "download.source.attributes",
    "--rectangle": "align.rectangle",
    "--resolution": "align.resolution",
    "--orientation": "photographs.orientation",
    "--restore": "denoise.method",
    "--engine": "detect.engine",
    "--weights": "detect.weights",
}
"""What makes a data set another one, by the words of the command; the key in its params file."""
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
        values: dict[str, Any] = {
            "cluster": self.cluster,
            "photographs": {"orientation": self.orientation},
            "download": pictures.source(self.images, self.landmarks, self.attributes),
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
        No picture could be used; `dropped.csv` and `suspicions.csv` are written, and named where they hold a row.
    ParamsError
        The folders cannot be used, `out` holds a data set of other pictures or options, or a value is impossible.
    BusyError
        Another process builds in the same folder.
    """
    out = request.out
    _check(request)
    values = request.params()
    watch = values["download"]["watch"]
    head = HEAD if watch == str(request.images) else HEAD + APART.format(watch=watch)
    text, params = pictures.params_of(values, head, out / PARAMS)
    _refuse_another(out, text)
    with pictures.working_in(out) as work:
        (out / RECORD).unlink(missing_ok=True)
        atomic.write_bytes(out / PARAMS, text.encode())
        try:
            pictures.run_stages(work, params, STAGES)
        except NOTHING as error:
            lists = {pictures.DROPPED: pictures.write_dropped(out), suspicions.FILE: pictures.write_suspicions(out)}
            filled = " and ".join(name for name, found in lists.items() if found)
            earlier = f" {VIEW} there is that of an earlier build." if (out / VIEW).exists() else ""
            why = pictures.reasons_of(error).rstrip() if isinstance(error, TooManyDroppedError) else str(error)
            if isinstance(error, SuspiciousInputError):
                here = f"in {out / PARAMS}, copy that to the root of the checkout, and run dvc repro shard"
                why = why.replace(f"in {PARAMS}", here)
            listed = f"\nSee {filled} in {out}." if filled else ""
            raise NothingBuiltError(f"nothing was built.\n{why}{listed}{earlier}") from error
        drops = pictures.write_dropped(out)
        pictures.write_suspicions(out)
        _publish(out)
        yield from _summary(out, drops)
        yield how_to_train(out, Path(watch))
        pictures.remove_work(work)


def _check(request: Request) -> None:
    out = request.out
    pictures.check_folders(request.images, out)
    if out.exists() and {*out.iterdir()} - {out / pictures.SCRATCH} and not (out / PARAMS).is_file():
        raise ParamsError(f"{out}: holds other files. Name a new or empty folder for the result.")
    for path in (request.landmarks, request.attributes):
        if path not in (None, DETECT, FOLDERS) and not path.exists():
            raise ParamsError(f"{path}: no such file. Correct the path after --landmarks or --attributes.")


def _refuse_another(out: Path, text: str) -> None:
    """Raise `ParamsError` if `out` holds a finished data set by other params than those of `text`."""
    if not ((out / VIEW).exists() and (out / PARAMS).is_file()):
        return
    try:
        before = _chosen((out / PARAMS).read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, AttributeError):  # of unknown origin
        before = {}
    now = _chosen(text)
    differ = [
        f"{option} {before.get(key, 'none')} instead of {now.get(key, 'none')}"
        for option, key in CHOICES.items()
        if before.get(key) != now.get(key)
    ]
    if differ:
        raise ParamsError(
            f"{out}: holds another data set, with {', '.join(differ)}. Name a new folder, or remove that one."
        )


def _chosen(text: str) -> dict[str, Any]:
    """The values of a params file by dotted key, without None; a path is the place that it leads to."""
    values = provenance.flat(load_yaml(text))
    return {
        key: str(Path(value).resolve()) if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in values.items()
        if value is not None
    }


def _publish(out: Path) -> None:
    """Link or copy data set and sheets to `out`, in place of an earlier one; the record is the last file.

    The stages keep theirs: a build that was killed here does it again.
    """
    data = out / pictures.SCRATCH / DATA
    for old in [*out.glob("shard-*.h5"), *(out / name for name in SHEETS.values())]:
        old.unlink(missing_ok=True)
    (out / "dataset-labels.npy").unlink(missing_ok=True)
    for source, name in SHEETS.items():
        if (data / source).is_file():
            shutil.copyfile(data / source, out / name)
    files = sorted((data / "shard").iterdir(), key=lambda path: path.name == RECORD)
    for path in files:
        (out / path.name).unlink(missing_ok=True)  # a link to the same file would not be replaced
        link_or_copy(path, out / path.name)


def _summary(out: Path, drops: Sequence[tuple[str, Drop]]) -> Iterator[str]:
    files = {*manifest.kept_columns(out / "shard.parquet", ["index"])["index"].to_pylist()}
    images = read_json(out / RECORD)["report"]["images"]
    rows = sum(drop.reason == DropReason.NO_PHOTOGRAPH for _, drop in drops)
    drops = [(stage, drop) for stage, drop in drops if drop.reason != DropReason.NO_PHOTOGRAPH]
    lost = {drop.index: drop.reason.value for _, drop in drops if drop.index not in files}
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(lost.values()).most_common())
    faces = len(drops) - sum(drop.index in lost for _, drop in drops)
    yield f"{len(files) + len(lost)} files: {len(files)} kept, {len(lost)} dropped{f' ({reasons})' if lost else ''}"
    if rows:
        yield f"{rows} rows of landmarks name no file there"
    yield f"data set of {images} images{f', without {faces} other faces' if faces else ''}: {out}"


def how_to_train(out: Path, watch: Path) -> str:
    """What to do next; `watch` is the folder that DVC would follow."""
    if pictures.ROOT.is_relative_to(watch):
        return (
            "to train on it, put the tables into the folder of the pictures and build again: they lie apart, and DVC "
            f"cannot watch {watch}, which holds the checkout"
        )
    return f"to train on it, in the root of the checkout: cp {out / PARAMS} . && dvc repro train@faces"
