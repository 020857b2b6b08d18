"""What the params at hand need: items, time, memory and disk of each stage (`celebahq plan`).

Disk follows from counts, published sizes and `pipeline.sizes`. Time and memory follow from the last whole run of a
stage with equal params on this machine (`stages.RATES`), else from the probe (`stages.probe`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import disk, manifest, sizes
from pipeline.params import (
    PUBLISHED,
    Cifar10Source,
    MnistRgbSource,
    MnistSource,
    Params,
    SyntheticSource,
    TrainedNetwork,
)
from pipeline.progress import duration
from pipeline.published.image_list import read_list
from pipeline.shards import open_files, parts
from pipeline.sources.listing import find_images, list_images
from pipeline.sources.local import require_images
from pipeline.sources.lsun.published import PublishedLsun
from pipeline.sources.published import Published, PublishedFile
from pipeline.sources.registry import SOURCES
from pipeline.sources.sevenzip import files_of
from stages import DATA, MANIFESTS, probe, read_manifest, remaining, table
from stages.superres import EXTREMES, FACES
from training.sizes import run_bytes

ROW_BYTES = {"extract": 30, "detect": 130, "align": 90, "crop": 107, "denoise": 107, "superres": 125}
"""Of an image in a table, compressed in groups (`benchmarks.rehearsal`; those of photographs repeat less)."""
SELECTED_BYTES, DROPPED_BYTES = 130, 25
"""Of a kept and of a dropped row of select; the first also of a row of shard."""
DRAWN_BYTES, DRAWN_BYTES_PER_PIXEL, DRAWN_REGION = 3000, 0.65, 4.6
"""Of a drawn photograph, and in addition for each pixel of a square as wide as its face; of its region as PNG."""
REGION_BYTES, PUBLISHED_REGION_BYTES = 420_000, 1_000_000
"""Of a CelebA region as PNG, of all and of the published list; also of other photographs, until align has run."""
MEMBER_BYTES = 1024
"""Of a small image's header and padding in a tar."""
DIGITS_SHARE = 0.4
"""Of the shards of photographs: MNIST's digits are black for the most part, and published at 0.21 of their bytes."""
SHEETS_BYTES, PREVIEW_BYTES = 1_500_000, 160_000
"""Of the sheets of faces, and of each face that is shown before and after."""
DELTA_SECONDS = 0.15
"""To decrypt and add a delta (`benchmarks.render`)."""
DETECT_SECONDS, DETECT_MEMORY = 0.2, 700_000_000
"""To decode a photograph and find its faces, and what a worker needs for it (`benchmarks.detection`)."""
CIFAR10, MNIST, CELEBA_ATTRIBUTES = 50_000, 60_000, 40


@dataclass(frozen=True, slots=True)
class Need:
    """What one stage needs; None where it is not known. `peak` is above `result` while the stage runs.

    `seconds` is wall-clock time without Python's start, `memory` the bytes of the largest process, `source` where both
    come from.
    """

    stage: str
    items: int
    now: int
    result: int
    peak: int
    seconds: float | None = None
    memory: int | None = None
    source: str = ""


def disk_needs(params: Params) -> list[Need]:
    """The needs of all stages without time and memory; `SourceError` where the source's own files are missing."""
    photographs, download = _source(params)
    faces = len(read_list(params.exact.image_list)) if params.align.photographs == "published" else photographs
    faces = min(faces, photographs)
    kept = min(faces, params.select.keep)
    regions = _regions(params, faces)
    restored = int(regions * sizes.RESTORED_GROWTH) if params.denoise.method == "network" else 0
    extract = (
        regions if params.download.source.kind in ("cifar10", "mnist", "mnist-rgb") else download + _packed(params)
    )
    size = {stage: faces * each for stage, each in ROW_BYTES.items()}
    sheets = SHEETS_BYTES + min(faces, params.superres.previews) * PREVIEW_BYTES
    shards = sizes.shards(kept, params.align.resolution, params.shard.codec)
    in_parts = parts.extra_bytes(kept, params)
    if params.download.source.kind in ("mnist", "mnist-rgb") and params.shard.codec != "none":
        shards, in_parts = int(shards * DIGITS_SHARE), int(in_parts * DIGITS_SHARE)
    rows = {
        "download": (photographs, download, 0),
        "extract": (photographs, extract + photographs * ROW_BYTES["extract"], 0),
        "detect": (photographs if params.detects else 0, size["detect"] if params.detects else 0, 0),
        "align": (photographs, size["align"], 0),
        "crop": (faces, size["crop"], 0),
        "fit_denoise": (_steps(params.fit_denoise.network), 0, 0),
        "denoise": (faces, restored + size["denoise"], 0),
        "fit_superres": (_steps(params.fit_superres.network), 0, 0),
        "superres": (faces, size["superres"] + sheets, 100_000_000 if faces > 1000 else 0),
        "select": (faces, kept * SELECTED_BYTES + (faces - kept) * DROPPED_BYTES, 0),
        "shard": (kept, shards + kept * SELECTED_BYTES, in_parts),
    }
    needs = [Need(stage, items, _now(stage), all_, all_ + more) for stage, (items, all_, more) in rows.items()]
    return [*needs, *(_lsun(params, spelling) for spelling in params.lsun.categories), *_training(params)]


def with_rates(params: Params, needs: Sequence[Need], rates: Mapping[str, probe.Rate]) -> list[Need]:
    """The needs with time and memory, from records of equal params, else from the `rates` of the probe."""
    return [_timed(params, need, rates) for need in needs]


def keep(params: Params, needs: Sequence[Need]) -> None:
    """Keep the times for `celebahq progress`."""
    known = (need for need in needs if need.seconds is not None or not need.items)
    remaining.keep_plan(params, {need.stage: (need.items, need.seconds or 0.0) for need in known})


def lines(params: Params, needs: Sequence[Need]) -> list[str]:
    """The table, and what does not fit."""
    text = [f"{'stage':<22}{'items':>10}{'time':>10}{'memory':>10}{'disk now':>10}{'result':>10}{'peak':>10}  from"]
    total = 0
    for need in needs:
        figures = (
            "-" if need.seconds is None else duration(need.seconds),
            "-" if need.memory is None else disk.gigabytes(need.memory),
            *map(disk.gigabytes, (need.now, need.result, total + need.peak)),
        )
        total += need.result
        text.append(f"{need.stage:<22}{need.items:>10}{''.join(f'{figure:>10}' for figure in figures)}  {need.source}")
    known = [need for need in needs if need.seconds is not None]
    seconds, memory = sum(need.seconds or 0 for need in known), max((need.memory or 0 for need in known), default=0)
    sums = (memory, sum(need.now for need in needs), total, peak(needs))
    summed = (duration(seconds), *map(disk.gigabytes, sums))
    text.append(f"{'all':<22}{'':>10}{''.join(f'{figure:>10}' for figure in summed)}")
    free = disk.free_bytes(DATA)
    missing = peak(needs) - sum(min(need.now, need.result) for need in needs) - free
    room = f"{disk.gigabytes(missing)} are missing" if missing > 0 else "enough"
    text += [
        "",
        f"{disk.gigabytes(free)} are free below {DATA.absolute()}: {room}. Memory is that of each of the "
        f"{params.cluster.workers} worker(s), where a stage has workers.",
    ]
    if unsized := sum(file.bytes is None for file in _published_files(params)):
        text.append(f"The sizes of {unsized} files to download are not published and not counted.")
    unknown = [need.stage for need in needs if need.seconds is None and need.items]
    if unknown:
        text.append(
            f"Not measured here: {', '.join(unknown)}. Downloads depend on the network; for training: make gpu."
        )
    shards = -(-next(need.items for need in needs if need.stage == "shard") // params.shard.images_per_shard)
    soft, _ = open_files.limits()
    if soft is not None and shards + open_files.OTHERS > soft:
        text.append(
            f"{shards} shards are more than programs may open at once (ulimit -n: {soft}): raise images_per_shard."
        )
    return text


def peak(needs: Sequence[Need]) -> int:
    """The most bytes on disk at any time."""
    totals = [sum(need.result for need in needs[:place]) + need.peak for place, need in enumerate(needs)]
    return max(totals, default=0)


def _source(params: Params) -> tuple[int, int]:
    """The number of photographs, and the bytes that `download` takes; what the user has takes none."""
    source, published = params.download.source, _published_bytes(params)
    if isinstance(source, SyntheticSource):
        count = source.photographs + source.bad_photographs
        return count, int(count * (DRAWN_BYTES + DRAWN_BYTES_PER_PIXEL * _face_square(source)))
    if isinstance(source, Cifar10Source | MnistSource):
        return CIFAR10 if isinstance(source, Cifar10Source) else MNIST, published
    if isinstance(source, MnistRgbSource):
        return source.count, published
    if source.images == PUBLISHED:
        return read_manifest(MANIFESTS / "celeba.yaml", Published).photographs or 0, published
    require_images(source.images)
    images = find_images(source.images)
    return len(list_images(images, None).members), published


def _packed(params: Params) -> int:
    """Bytes of what `extract` copies to containers: the user's own archive, as a folder is read where it is.

    Of small photographs, which are drawn, their headers in the containers count too.
    """
    if isinstance(source := params.download.source, SyntheticSource):
        return (source.photographs + source.bad_photographs) * MEMBER_BYTES
    images = getattr(params.download.source, "images", PUBLISHED)
    if images == PUBLISHED:
        return 0
    images = find_images(images)
    return 0 if images.is_dir() else sum(part.stat().st_size for part in files_of(images))


def _published_bytes(params: Params) -> int:
    """Bytes of the files to download, as far as their sizes are published."""
    return sum(file.bytes or 0 for file in _published_files(params))


def _published_files(params: Params) -> list[PublishedFile]:
    source, found = params.download.source, list[PublishedFile]()
    for field, (name, path) in SOURCES[source.kind].published.items():
        if getattr(source, field) == PUBLISHED:
            listed = read_manifest(MANIFESTS / f"{name}.yaml", Published)
            found += listed.files if path is None else listed.parts_of(listed.at(path))
    return found


def _regions(params: Params, faces: int) -> int:
    if params.align.rectangle != "landmarks":
        side = max(params.align.resolution, 128 if params.align.rectangle == "celeba-128" else 0)
        return int(faces * (side**2 * sizes.PNG_BYTES_PER_PIXEL + MEMBER_BYTES))
    if table("align").is_file() and manifest.account(table("align")).given == faces:  # not of other data
        return sizes.regions(table("align"), params.align.resolution)
    if isinstance(source := params.download.source, SyntheticSource):
        return int(faces * DRAWN_REGION * _face_square(source))
    return faces * (PUBLISHED_REGION_BYTES if params.align.photographs == "published" else REGION_BYTES)


def _face_square(source: SyntheticSource) -> float:
    """The mean of the squared widths of drawn faces, in pixels."""
    smallest, largest = source.face_pixels_min, source.face_pixels_max
    return (smallest**2 + smallest * largest + largest**2) / 3


def _steps(network: Any) -> int:
    return network.steps if isinstance(network, TrainedNetwork) else 0


def _lsun(params: Params, spelling: str) -> Need:
    section, category = params.lsun, params.lsun.named(spelling)
    known = read_manifest(MANIFESTS / "lsun.yaml", PublishedLsun).categories[category]
    records = section.source.records if section.source.kind == "synthetic" else known.images
    images = records if category in section.whole else min(records, section.max_images)
    packed = known.bytes if section.source.kind == "network" else 0
    unpacked = int(known.bytes * 1.2) if section.source.kind != "synthetic" else 0
    size = packed + sizes.shards(images, section.resolution, section.codec)
    return Need(f"lsun@{spelling}", images, disk.size_of(DATA / "lsun" / spelling), size, size + unpacked)


def _training(params: Params) -> list[Need]:
    needs: list[Need] = []
    for name, run in params.train.runs.items():
        size = run_bytes(run, CELEBA_ATTRIBUTES if run.labels else 0)
        images = math.ceil(run.schedule.total_kimg * 1000)
        needs.append(Need(f"train@{name}", images, disk.size_of(Path("runs", name)), size, size))
    return needs


def _now(stage: str) -> int:
    return disk.size_of(DATA / stage)


def _timed(params: Params, need: Need, rates: Mapping[str, probe.Rate]) -> Need:
    stage = need.stage.partition("@")[0]
    split = remaining.workers_of(params, stage)
    record = remaining.recorded(need.stage, params.model_dump(mode="json"))
    if record:
        return _filled(need, remaining.seconds_of(record, need.items, split), record["memory"], "record")
    if stage == "detect" and need.items:
        return _filled(need, need.items * DETECT_SECONDS / (split or 1), DETECT_MEMORY, "a constant")
    rate = rates.get(stage)
    if rate is None or not need.items or (stage == "download" and params.download.source.kind != "synthetic"):
        return need
    return _filled(need, _seconds(params, need, rate), rate.memory, "probe")


def _seconds(params: Params, need: Need, rate: probe.Rate) -> float:
    """What the probe's rate makes of a stage."""
    items = need.items
    chunks = probe.chunks_of(params, need.stage, items)
    if need.stage == "extract":
        items = need.result
    elif need.stage == "shard" and params.superres.method == "delta":
        rate = replace(rate, worker=rate.worker + DELTA_SECONDS)
    elif need.stage == "superres" and params.superres.method == "delta":
        rate = replace(rate, worker=rate.worker * params.superres.previews / items)
    elif need.stage == "superres" and items > FACES:  # the best and the worst face are rendered again, by new workers
        items, rate = items + 2 * EXTREMES, replace(rate, start=2 * rate.start)
    return rate.seconds(items, chunks, remaining.workers_of(params, need.stage) or 1)


def _filled(need: Need, seconds: float, memory: int, source: str) -> Need:
    return replace(need, seconds=seconds, memory=memory, source=source)
