"""Verifies that view, labels and table of a data set agree with its shards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.shards import codecs, layout, open_files
from pipeline.shards.view import labels_md5, read_shard
from pipeline.trust.fault import Fault


@dataclass(frozen=True)
class _Expected:
    """What the shards state, all images in order."""

    names: list[str]
    sizes: list[int]
    counts: list[int]
    header: layout.Header
    identity: dict[str, list[Any]]
    labels: NDArray[np.float32] | None

    def __len__(self) -> int:
        return sum(self.counts)


def faults_of_set(folder: Path) -> Iterator[Fault]:
    """Where `dataset.h5`, `dataset-labels.npy` and the table differ from the shards, whose pixels are not read.

    Errors of HDF5 about a shard or the view as a whole are raised.
    """
    shards = [read_shard(path) for path in sorted(folder.glob(layout.SHARDS))]
    if not shards:
        yield Fault(folder, "holds no shard-*.h5")
        return
    first = shards[0]
    yield from (
        Fault(folder / shard.name, f"belongs to another data set than {first.name}: {shard.header}, not {first.header}")
        for shard in shards
        if shard.header != first.header
    )
    labels = [shard.labels for shard in shards if shard.labels is not None]
    expected = _Expected(
        names=[shard.name for shard in shards],
        sizes=[shard.size for shard in shards],
        counts=[len(shard.index) for shard in shards],
        header=first.header,
        identity={
            layout.IDENTITY_INDEX: [number for shard in shards for number in shard.index.tolist()],
            layout.IDENTITY_FILE: [name for shard in shards for name in shard.files],
            layout.IDENTITY_MD5: [md5 for shard in shards for md5 in shard.md5s],
        },
        labels=np.concatenate(labels) if labels else None,
    )
    yield from _faults_of_view(folder / layout.VIEW, expected)
    yield from _faults_of_labels(folder / layout.LABELS, expected.labels)
    for table in sorted(folder.glob("*.parquet")):
        if {"shard", "row", "image_md5"} <= {*pq.read_schema(table).names}:
            yield from _faults_of_table(table, expected)


def _faults_of_view(path: Path, expected: _Expected) -> Iterator[Fault]:
    if not path.is_file():
        yield Fault(path, "is missing")
        return
    with h5py.File(path, "r", locking=False) as view:
        header = layout.read_header(view)
        if header != expected.header:
            yield Fault(path, f"states {header}, but the shards {expected.header}")
            return
        stated = {
            layout.SHARD_FILE: expected.names,
            layout.SHARD_IMAGES: expected.counts,
            layout.SHARD_BYTES: expected.sizes,
            **expected.identity,
        }
        for name, values in stated.items():
            texts = isinstance(values[0], str)
            found: list[Any] = layout.read_texts(view, name) if texts else layout.read_values(view, name).tolist()
            if found != values:
                yield Fault(path, f"{name} {_first_difference(found, values)}")
        md5 = None if expected.labels is None else labels_md5(expected.labels)
        if view.attrs.get(layout.LABELS_MD5) != md5:
            yield Fault(path, f"{layout.LABELS_MD5} is not that of the labels of the shards")
        for resolution in layout.level_resolutions(header.resolution):
            yield from (
                Fault(path, problem, f"{resolution}x{resolution}") for problem in _map(view, resolution, expected)
            )
        yield from _faults_of_pixels(path, view, expected)


def _map(view: h5py.File, resolution: int, expected: _Expected) -> Iterator[str]:
    """Where the view of a level names other places than those of the images."""
    last, total = resolution - 1, sum(expected.counts)
    name = layout.level_name(resolution)
    stops = np.cumsum(expected.counts).tolist()
    channels: list[tuple[Any, ...]] = []
    for channel, fill in enumerate(layout.ABSENT_RGB):
        channel_name = layout.channel_name(resolution, channel)
        plane = layout.dataset(view, channel_name)
        wanted = [
            (shard, name, (stop - count, 0, 0, 0), (stop - 1, 0, last, last), (0, channel, 0, 0),
             (count - 1, channel, last, last))
            for shard, count, stop in zip(expected.names, expected.counts, stops, strict=True)
        ]  # fmt: skip
        if plane.shape != (total, 1, resolution, resolution) or plane.fillvalue != fill or _sources(plane) != wanted:
            yield f"{channel_name} does not show the images of the shards"
        bounds = (0, channel, 0, 0), (total - 1, channel, last, last)
        channels.append((".", channel_name, *bounds, None, None))
    level = layout.dataset(view, name)
    if level.shape != (total, layout.CHANNELS, resolution, resolution) or _sources(level) != channels:
        yield "does not show its three channels"


def _sources(dataset: h5py.Dataset) -> list[tuple[Any, ...]]:
    if not dataset.is_virtual:
        return []
    return [
        (source.file_name, source.dset_name, *_bounds(source.vspace), *_bounds(source.src_space))
        for source in dataset.virtual_sources()
    ]


def _bounds(space: Any) -> tuple[Any, Any]:
    """The first and the last selected index; None twice where all is selected of a source of unstated size."""
    try:
        return space.get_select_bounds()
    except ValueError:
        return None, None


def _faults_of_pixels(path: Path, view: h5py.File, expected: _Expected) -> Iterator[Fault]:
    """Compare one pixel of every image, as HDF5 shows it through the view."""
    open_files.raise_limit(len(expected.names))
    codecs.make_readable(expected.header.codec)
    name = layout.level_name(1)
    shown = layout.read_values(view, name)
    start = 0
    for shard, count in zip(expected.names, expected.counts, strict=True):
        with h5py.File(path.with_name(shard), "r", locking=False) as file:
            if not np.array_equal(shown[start : start + count], layout.read_values(file, name)):
                yield Fault(path, f"does not show the pixels of {shard}", "1x1")
        start += count


def _faults_of_labels(path: Path, expected: NDArray[np.float32] | None) -> Iterator[Fault]:
    if expected is None:
        if path.is_file():
            yield Fault(path, "there are labels, but the shards have none")
        return
    if not path.is_file():
        yield Fault(path, "is missing")
        return
    labels: NDArray[Any] = np.load(path, allow_pickle=False)
    if labels.shape != expected.shape or labels.dtype != expected.dtype:
        yield Fault(path, f"has {labels.dtype} {labels.shape}, but the shards {expected.dtype} {expected.shape}")
        return
    different = np.flatnonzero((labels.view(np.uint32) != expected.view(np.uint32)).any(1)).tolist()
    yield from (Fault(path, "has other labels than the shard", image=f"{place}") for place in different)


def _faults_of_table(path: Path, expected: _Expected) -> Iterator[Fault]:
    columns = ["index", "file", "shard", "row", "image_md5"]
    table = pq.read_table(path)
    columns += ["position"] if "position" in table.column_names else []
    table = table.filter(table["drop_reason"].is_null()).select(columns).combine_chunks()
    counts_S = np.array(expected.counts)
    shard_N = pc.call_function("index_in", [table["shard"]], pc.SetLookupOptions(pa.array(expected.names)))
    known_N = np.array(shard_N.is_valid())
    shard_N, row_N = np.array(shard_N.fill_null(0)), np.array(table["row"].fill_null(-1))
    inside_N = known_N & (row_N >= 0) & (row_N < counts_S[shard_N])
    place_N = np.where(inside_N, (np.cumsum(counts_S) - counts_S)[shard_N] + row_N, -1)
    first_N = np.zeros(len(table), bool)
    first_N[np.unique(place_N, return_index=True)[1]] = True
    for row in np.flatnonzero(~(inside_N & first_N)).tolist():
        what = (
            "another row has this place"
            if inside_N[row]
            else f"there is no such {'image' if known_N[row] else 'shard'}"
        )
        yield Fault(path, f"row {table['row'][row]} of {table['shard'][row]}: {what}", image=table["file"][row].as_py())
    row_I = np.full(len(expected), -1)
    row_I[place_N[inside_N & first_N]] = np.flatnonzero(inside_N & first_N)
    yield from _differences(path, table, row_I, expected)


def _differences(path: Path, table: pa.Table, row_I: NDArray[np.int64], expected: _Expected) -> Iterator[Fault]:
    """The images without a row (-1 in `row_I`), and what the rows of the others state otherwise than the shards."""
    names = {"index": layout.IDENTITY_INDEX, "file": layout.IDENTITY_FILE, "image_md5": layout.IDENTITY_MD5}
    stated: dict[str, pa.Array] = {key: pa.array(expected.identity[name]) for key, name in names.items()}
    stated["position"] = pa.array(np.arange(len(expected)))
    found = table.take(pa.array(row_I, mask=row_I < 0))
    keys = [key for key in stated if key in found.column_names]
    other_KI = [np.array(pc.call_function("not_equal", [found[key], stated[key]]).fill_null(True)) for key in keys]
    for place in np.flatnonzero(np.logical_or.reduce(other_KI)).tolist():
        file = stated["file"][place].as_py()
        if row_I[place] < 0:
            yield Fault(path, f"has no row for image {place} of the data set", image=file)
            continue
        for key, other_I in zip(keys, other_KI, strict=True):
            if other_I[place]:
                yield Fault(
                    path, f"{key} is {found[key][place]}, but the shards state {stated[key][place]}", image=file
                )


def _first_difference(found: list[Any], expected: list[Any]) -> str:
    if len(found) != len(expected):
        return f"has {len(found)} values, but the shards {len(expected)}"
    place = next(place for place, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
    return f"has {found[place]!r} at position {place}, but the shards {expected[place]!r}"
