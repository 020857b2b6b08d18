"""Runs an export: in parts, by several processes; what was killed is resumed.

A part is finished when its file of results is in the work folder. A part that was killed is written again, over what it
left. The bytes of an export depend on its data set and its options, not on workers or interruptions.
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline import atomic, disk, provenance
from pipeline.errors import ExportError, ShardError
from pipeline.progress import progress
from pipeline.shards import layout
from pipeline.shards.export.folder import PngFolder
from pipeline.shards.export.parquet import Parquet
from pipeline.shards.export.plan import Format, Image, Part, Plan, by_split
from pipeline.shards.export.stylegan import StyleGanZip
from pipeline.shards.export.tfrecord import TfRecords
from pipeline.shards.export.webdataset import WebDataset
from pipeline.shards.export.zarr import ZarrGroup
from pipeline.shards.items import read_items
from pipeline.shards.reader import DataSet

FormatName = Literal["png", "zip", "webdataset", "tfrecord", "parquet", "zarr"]
FORMATS: dict[FormatName, Format] = {
    "png": PngFolder(),
    "zip": StyleGanZip(),
    "webdataset": WebDataset(),
    "tfrecord": TfRecords(),
    "parquet": Parquet(),
    "zarr": ZarrGroup(),
}
assert tuple(FORMATS) == get_args(FormatName)

RECORD = "export.json"
"""In a finished export: what it is, and of what."""
IDENTITY, LOCK = "identity.json", "lock"
READ_BYTES = 2**24
SHOWN = 3
"""Names of files in a message."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to export: a data set, or one `split` of it, at one of its resolutions.

    `images_per_file`: of the formats webdataset and parquet; None: about 500 MB of pixels.
    """

    dataset: Path
    out: Path
    format: FormatName
    resolution: int
    split: str | None = None
    images_per_file: int | None = None


def export(request: Request, workers: int = 1) -> dict[str, Any]:
    """Export a data set; return what `export.json` states, but the list of files. A finished export is left as it is.

    Raises
    ------
    ExportError
        The folder holds other files or another export, a package is missing, or a worker died.
    ShardError
        The data set cannot be read, an image differs from its MD5, or no image has that split.
    DiskFullError
        The export does not fit on the disk.
    """
    form = FORMATS[request.format]
    if form.needs is not None:
        _require(*form.needs)
    plan = _plan(request, form)
    form.levels(plan)  # an error before anything is written
    identity = _identity(request, form, plan)
    _check_folder(plan, identity)
    with atomic.locked(plan.work / LOCK, f"the export to {plan.out}"):
        done = _read(plan.out / RECORD)
        if done is None:
            atomic.sweep(plan.out)
            disk.require(plan.out, form.size(plan) - disk.size_of(plan.out), "the export")
            atomic.write_json(plan.work / IDENTITY, identity)
            done = _write(request.format, form, plan, identity, workers)
        else:
            _check_sizes(plan, done)
        shutil.rmtree(plan.work)
    return {name: value for name, value in done.items() if name != "sizes"}


def _sizes(plan: Plan) -> dict[str, int]:
    """The bytes of each file by its name in the folder, without the record and what is unfinished."""
    return {
        path.relative_to(plan.out).as_posix(): path.stat().st_size
        for path in plan.out.rglob("*")
        if path.is_file() and path != plan.out / RECORD and not path.is_relative_to(plan.work)
    }


def _check_sizes(plan: Plan, done: dict[str, Any]) -> None:
    """Raise `ExportError` if a finished export has lost files or bytes; files that were added are none of ours."""
    found, sizes = _sizes(plan), done.get("sizes", {})
    faults = sorted(name for name, size in sizes.items() if found.get(name) != size)
    names = ", ".join(faults[:SHOWN]) + (f" and {len(faults) - SHOWN} more" if faults[SHOWN:] else "")
    what = f"{len(faults)} of the export's {len(sizes)} files lost or changed: {names}"
    files, size = len(found), sum(found.values())
    if not sizes and (files < done.get("files", 0) or size < done.get("bytes", 0)):  # of earlier versions
        faults, what = [""], f"{files} files of {size} bytes; the export had {done['files']} of {done['bytes']}"
    if faults:
        raise ExportError(f"{plan.out}: {what}. Remove the folder and export again, or restore it.")


def _plan(request: Request, form: Format) -> Plan:
    with DataSet(request.dataset) as data:
        levels = layout.level_resolutions(data.resolution)
        if request.resolution not in levels:
            raise ExportError(
                f"{request.dataset}: has no resolution {request.resolution}; there are {', '.join(map(str, levels))}"
            )
        items = read_items(data, request.split)
        classes = None if data.labels is None else data.labels.shape[1]
    items = by_split(items) if form.groups_splits else items
    return Plan(
        request.dataset.resolve(), request.out.resolve(), request.resolution, items, classes, request.images_per_file
    )


def _identity(request: Request, form: Format, plan: Plan) -> dict[str, Any]:
    """What decides the bytes."""
    return {
        "format": request.format,
        "version": form.version,
        "resolution": plan.resolution,
        "split": request.split,
        "images": len(plan.items),
        "images_per_file": plan.images_per_file,
        "name": plan.out.name if form.names_folder else None,
        "dataset": provenance.digest_of([asdict(item) for item in plan.items]),
    }


def _check_folder(plan: Plan, identity: dict[str, Any]) -> None:
    """Refuse a folder that holds anything else than this export, finished or not."""
    above = provenance.results_above(plan.out, [plan.dataset])
    if above not in (None, plan.out):
        raise ExportError(f"{plan.out}: lies in {above}, which would no longer be whole. Name another folder.")
    if plan.out.exists() and not plan.out.is_dir():
        raise ExportError(f"{plan.out}: is a file. Name a new or empty folder for the export.")
    known = _read(plan.out / RECORD) or _read(plan.work / IDENTITY)
    if known is None:
        if plan.out.is_dir() and {path.name for path in plan.out.iterdir()} - {plan.work.name}:
            raise ExportError(f"{plan.out}: holds other files. Name a new or empty folder for the export.")
        return
    other = [
        f"{key} {known.get(key)!r} instead of {value!r}" for key, value in identity.items() if known.get(key) != value
    ]
    if other:
        raise ExportError(
            f"{plan.out}: holds another export, with {', '.join(other)}. Name a new folder, or remove that one."
        )


def _write(name: FormatName, form: Format, plan: Plan, identity: dict[str, Any], workers: int) -> dict[str, Any]:
    form.begin(plan)
    parts = form.parts(plan)
    missing = [part for part in parts if not _result(plan, part).exists()]
    count = len(plan.items)
    done = count - sum(part.stop - part.start for part in missing)
    with progress(total=count, initial=done, unit="image", desc=f"export {name}") as bar:
        for part in _run(name, plan, missing, workers):
            bar.update(part.stop - part.start)
    results: list[dict[str, Any]] = [json.loads(_result(plan, part).read_bytes()) for part in parts]
    form.finish(
        plan,
        [md5 for result in results for md5 in result["md5s"]],
        [value for result in results for value in result["values"]],
    )
    sizes = _sizes(plan)
    totals = {"files": len(sizes), "bytes": sum(sizes.values())}
    record = identity | totals | {"sizes": sizes, "libraries": provenance.library_versions()}
    atomic.write_json(plan.out / RECORD, record)
    return record


def _run(name: FormatName, plan: Plan, parts: list[Part], workers: int) -> Iterator[Part]:
    """Write parts, by processes if there are several; yield each that is finished."""
    count = min(workers, len(parts))
    if count <= 1:
        for part in parts:
            _write_part(name, plan, part)
            yield part
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_start, initargs=(name, plan)) as pool:
        try:
            futures = {pool.submit(_work, part): part for part in parts}
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool as error:
            raise ExportError(
                f"{plan.out}: a worker died, which is most often for want of memory. Run the same command again, with "
                f"fewer --workers; what is finished is kept."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_job: tuple[FormatName, Plan] | None = None


def _start(name: FormatName, plan: Plan) -> None:
    global _job  # noqa: PLW0603 - sent once to each process, not with each part
    _job = (name, plan)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(part: Part) -> None:
    assert _job is not None
    _write_part(*_job, part)


def _write_part(name: FormatName, plan: Plan, part: Part) -> None:
    form = FORMATS[name]
    md5s: list[str] = []
    values = form.write(plan, part, _images(form, plan, part, md5s))
    atomic.write_json(_result(plan, part), {"md5s": md5s, "values": values})


def _images(form: Format, plan: Plan, part: Part, md5s: list[str]) -> Iterator[Image]:
    """Read the images of a part, some at a time; their MD5s are added to `md5s`."""
    data, levels, digits = _data_set(plan.dataset), form.levels(plan), plan.digits
    some = max(1, READ_BYTES // plan.image_bytes)
    for start in range(part.start, part.stop, some):
        items = plan.items[start : min(start + some, part.stop)]
        positions = [item.position for item in items]
        read = {level: data.read(level, positions) for level in levels}
        for offset, item in enumerate(items):
            pixels = {level: images_NCHW[offset] for level, images_NCHW in read.items()}
            md5 = hashlib.md5(pixels[levels[0]].data, usedforsecurity=False).hexdigest()
            if plan.resolution == data.resolution and md5 != item.image_md5:
                raise ShardError(
                    f"{plan.dataset}: image {item.file} at position {item.position} differs from its recorded MD5 "
                    f"{item.image_md5}; {layout.REMEDY}"
                )
            md5s.append(md5)
            yield Image(start + offset, item, item.name(digits), pixels, md5)


@cache
def _data_set(folder: Path) -> DataSet:
    return DataSet(folder)


def _result(plan: Plan, part: Part) -> Path:
    return plan.work / f"part-{part.number:05d}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ExportError(f"{path}: damaged. Remove the export's folder and export again, or restore it.") from error


def _require(package: str, extra: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ExportError(f"this format needs the package {package}: pip install 'celebahq[{extra}]'") from error
