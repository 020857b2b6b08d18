"""How two data sets, shards, tables or folders differ.

Every function gives a nested dictionary, ready for JSON. `equal` is about the content: images, their order, labels,
rows, files. Params and provenance that differ are listed, and may have had no effect.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import checksums
from pipeline.errors import ShardError, TableError
from pipeline.progress import progress
from pipeline.provenance import RECORD, digest_of_file, flat, read_json
from pipeline.shards import codecs, layout
from pipeline.shards.reader import DataSet
from pipeline.trust.inspection import Facts

SHOWN = 50
"""Examples that are listed of each kind; all are counted."""
FIRST = 5
"""Values that are listed of each column of a table."""
ROWS_AT_ONCE = 1 << 16
"""Of a column, which are compared at a time."""
Key = tuple[int, str, int]


class Images(Protocol):
    """A data set, or a shard alone."""

    header: layout.Header
    index: NDArray[np.int64]
    files: list[str]
    md5s: list[str]
    labels: NDArray[np.float32] | None

    def read(self, resolution: int, indices: list[int], /) -> NDArray[np.uint8]:
        """The images at some positions: uint8 (n, 3, r, r)."""
        ...


class ShardImages:
    """The images of one shard."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = h5py.File(path, "r", rdcc_nbytes=0, locking=False)
        except OSError as error:
            raise ShardError(f"{path}: HDF5 cannot open it ({error}).") from error
        self.header = layout.read_header(self._file)
        codecs.make_readable(self.header.codec)
        self.index: NDArray[np.int64] = layout.read_values(self._file, layout.IDENTITY_INDEX)
        self.files = layout.read_texts(self._file, layout.IDENTITY_FILE)
        self.md5s = layout.read_texts(self._file, layout.IDENTITY_MD5)
        self.labels: NDArray[np.float32] | None = None
        if layout.IDENTITY_LABELS in self._file:
            self.labels = layout.read_values(self._file, layout.IDENTITY_LABELS)

    def read(self, resolution: int, indices: list[int], /) -> NDArray[np.uint8]:
        """As `DataSet.read`."""
        level = layout.dataset(self._file, layout.level_name(resolution))
        return np.stack([level[place] for place in indices])


def data_sets(a: Path, b: Path) -> Facts:
    """Two data sets. Of images in both, those that differ have PSNR in dB and the largest difference (0...255)."""
    with DataSet(a) as first, DataSet(b) as second:
        return _images(first, second) | records(a, b)


def shards(a: Path, b: Path) -> Facts:
    """Two shards."""
    return _images(ShardImages(a), ShardImages(b))


def _images(a: Images, b: Images) -> Facts:
    first, second = _places(a), _places(b)
    common = [key for key in first if key in second]
    side = min(a.header.resolution, b.header.resolution)
    same_side = a.header.resolution == b.header.resolution
    unequal = [key for key in common if not same_side or a.md5s[first[key]] != b.md5s[second[key]]]
    worst: list[Facts] = []
    different = 0
    for key in progress(unequal, unit="image", desc="compare"):
        (image_a,), (image_b,) = a.read(side, [first[key]]), b.read(side, [second[key]])
        change = np.abs(image_a.astype(np.int16) - image_b)
        if not change.any():
            continue
        different += 1
        error = float(np.mean(np.square(change, dtype=np.float64)))
        worst.append(
            {"file": _label(key), "psnr": 10 * math.log10(255**2 / error), "max_difference": int(change.max())}
        )
        worst = sorted(worst, key=lambda entry: entry["psnr"])[:SHOWN]
    missing = {
        name: [_label(key) for key in keys if key not in others]
        for name, keys, others in (("only_in_a", first, second), ("only_in_b", second, first))
    }
    labels = _labels(a, b, [(first[key], second[key]) for key in common])
    order = [key for key in second if key in first] != common
    equal = same_side and not different and not any(missing.values()) and not labels and not order
    return {
        "equal": equal,
        "images": {"a": len(first), "b": len(second), "in_both": len(common)},
        "missing": {name: _shortened(keys) for name, keys in missing.items() if keys},
        "other_order": order,
        "compared_at": f"{side}x{side}",
        "different_images": different,
        "worst_first": {entry.pop("file"): entry for entry in worst},
        "labels": labels,
        "definition": differences(vars_of(a.header), vars_of(b.header)),
    }


def _places(images: Images) -> dict[Key, int]:
    """The position of each image by its number, its name, and how many faces of the same picture come before it."""
    seen: Counter[tuple[int, str]] = Counter()
    found: dict[Key, int] = {}
    for place, name in enumerate(zip(images.index.tolist(), images.files, strict=True)):
        found[(*name, seen[name])] = place
        seen[name] += 1
    return found


def _label(key: Key) -> str:
    return f"{key[1]} (face {key[2]})" if key[2] else key[1]


def _labels(a: Images, b: Images, pairs: list[tuple[int, int]]) -> Facts:
    columns = [None if images.labels is None else images.labels.shape[1] for images in (a, b)]
    if columns[0] != columns[1]:
        return {"columns": {"a": columns[0], "b": columns[1]}}
    if a.labels is None or b.labels is None or not pairs:
        return {}
    rows_a, rows_b = (np.array(rows) for rows in zip(*pairs, strict=True))
    different = np.flatnonzero((a.labels[rows_a] != b.labels[rows_b]).any(1)).tolist()
    names = [a.files[rows_a[row]] for row in different[:SHOWN]]
    return {"different": len(different), "images": names} if different else {}


def tables(a: Path, b: Path) -> Facts:
    """Two tables, by the keys of their rows: columns, rows and values that differ.

    Of rows with equal keys the first counts. `TableError`: one is no parquet table, or has no integers `index`.
    """
    try:
        first, second = pq.read_schema(a), pq.read_schema(b)
        common = [name for name in first.names if name in second.names]
        keys = [name for name in ("index", "face") if name in common]
        if "index" not in keys or not all(
            pa.types.is_integer(schema.field("index").type) for schema in (first, second)
        ):
            raise TableError(f"{a}, {b}: have no column index in common, so their rows cannot be compared.")
        names_N, names_M = _keys(a, keys), _keys(b, keys)
        both, rows_a, rows_b = np.intersect1d(names_N, names_M, return_indices=True)
        values = {name: found for name in common if (found := _changed(name, both, ((a, rows_a), (b, rows_b))))}
    except (OSError, ValueError) as error:
        raise TableError(f"{a} or {b}: not a parquet table, or damaged ({error}).") from error
    columns = {
        name: names
        for name, names in (
            ("only_in_a", [name for name in first.names if name not in common]),
            ("only_in_b", [name for name in second.names if name not in common]),
        )
        if names
    }
    missing = {
        name: {"count": len(alone), "first": [_text(key) for key in alone[:SHOWN].tolist()]}
        for name, alone in (
            ("only_in_a", np.setdiff1d(names_N, names_M)),
            ("only_in_b", np.setdiff1d(names_M, names_N)),
        )
        if len(alone)
    }
    return {
        "equal": not (values or columns or missing) and len(names_N) == len(names_M),
        "rows": {"a": len(names_N), "b": len(names_M), "in_both": len(both)},
        "missing": missing,
        "columns": columns,
        "values": values,
    }


def _keys(path: Path, keys: list[str]) -> NDArray[Any]:
    """The keys of all rows, each a record of integers."""
    table = pq.read_table(path, columns=keys)
    keys_NK = np.stack([np.array(table[name].fill_null(0), np.int64) for name in keys], axis=1)
    return np.ascontiguousarray(keys_NK).view([(name, np.int64) for name in keys])[:, 0]


def _changed(name: str, both: NDArray[Any], rows: Sequence[tuple[Path, NDArray[np.int64]]]) -> Facts:
    """How many values of a column differ between rows with the keys `both`, and the first; only it is in memory."""
    columns = [(pq.read_table(path, columns=[name])[name], places_N) for path, places_N in rows]
    shown: dict[str, str] = {}
    count = 0
    for start in range(0, len(both), ROWS_AT_ONCE):
        left, right = (_taken(column, places_N[start : start + ROWS_AT_ONCE]) for column, places_N in columns)
        changed = np.flatnonzero(_differ(left, right)).tolist()
        count += len(changed)
        for row in changed[: FIRST - len(shown)]:
            shown[_text(both[start + row].item())] = pair_of(left[row].as_py(), right[row].as_py())
    return {"rows": count, "first": shown} if count else {}


def _taken(column: pa.ChunkedArray, places_N: NDArray[np.int64]) -> pa.Array:
    """The values at some places; of a table in the order of its keys they lie close together."""
    first, last = int(places_N.min()), int(places_N.max())
    near = column.slice(first, last - first + 1).combine_chunks()
    return near if np.array_equal(places_N, np.arange(first, last + 1)) else near.take(pa.array(places_N - first))


def _has_equality(of: pa.DataType) -> bool:
    """Whether Arrow compares values of a type, or parts of them."""
    known = pa.types.is_struct(of) or pa.types.is_list(of) or pa.types.is_fixed_size_list(of)
    return known or not (pa.types.is_nested(of) or pa.types.is_null(of))


def _differ(left: pa.Array, right: pa.Array) -> NDArray[np.bool_]:
    """Which values of two arrays of one length differ; nulls are equal, and NaNs."""
    if not left.type.equals(right.type) or not _has_equality(left.type):
        return np.array([a != b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)], bool)
    valid_N = np.array(left.is_valid()) & np.array(right.is_valid())
    different_N = np.array(left.is_valid()) ^ np.array(right.is_valid())
    if pa.types.is_struct(left.type):
        for place in range(left.type.num_fields):
            different_N |= valid_N & _differ(left.field(place), right.field(place))
    elif pa.types.is_list(left.type) or pa.types.is_fixed_size_list(left.type):
        lengths = [np.array(pc.call_function("list_value_length", [values]).fill_null(0)) for values in (left, right)]
        different_N |= valid_N & (lengths[0] != lengths[1])
        alike = np.flatnonzero(valid_N & ~different_N)
        left, right = left.take(pa.array(alike)), right.take(pa.array(alike))
        unequal = _differ(left.flatten(), right.flatten())
        different_N[alike[np.array(pc.call_function("list_parent_indices", [left]))[unequal]]] = True
    else:
        different_N |= valid_N & np.array(pc.call_function("not_equal", [left, right]).fill_null(False))
        if pa.types.is_floating(left.type):
            numbers = [pc.call_function("is_nan", [values]).fill_null(False) for values in (left, right)]
            different_N &= ~(np.array(numbers[0]) & np.array(numbers[1]))
    return different_N


def folders(a: Path, b: Path) -> Facts:
    """Two published folders of any stage, file by file; records and digests are compared as provenance."""
    own = {RECORD, checksums.FILE}
    first, second = ({name for name in checksums.files_of(folder) if name not in own} for folder in (a, b))
    different = [name for name in sorted(first & second) if digest_of_file(a / name) != digest_of_file(b / name)]
    missing = {"only_in_a": sorted(first - second), "only_in_b": sorted(second - first)}
    return {
        "equal": not different and first == second,
        "files": {"a": len(first), "b": len(second)},
        "missing": {name: _shortened(names) for name, names in missing.items() if names},
        "different_files": _shortened(different),
    } | records(a, b)


def records(a: Path, b: Path) -> Facts:
    """How the records of two published folders differ, key by key."""
    first, second = read_json(a / RECORD), read_json(b / RECORD)
    facts: Facts = {"params": differences(first.get("params", {}), second.get("params", {}))}
    rest = ("recipe", "code", "libraries", "inputs", "report")
    facts["provenance"] = differences(*({key: record.get(key) for key in rest} for record in (first, second)))
    return facts


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Facts:
    """The values by dotted name that differ: `old -> new`; `absent` where there is none."""
    first, second = flat(a), flat(b)
    names = sorted(first.keys() | second.keys())
    return {
        name: pair_of(first.get(name, "absent"), second.get(name, "absent"))
        for name in names
        if first.get(name, "absent") != second.get(name, "absent")
    }


def pair_of(a: Any, b: Any) -> str:
    """Two values as one text."""
    return f"{a} -> {b}"


def vars_of(header: layout.Header) -> Facts:
    """The values of a header."""
    return {name: getattr(header, name) for name in ("resolution", "codec", "decoder", "renderer", "params_digest")}


def _shortened(names: list[str]) -> Facts:
    return {"count": len(names), "first": names[:SHOWN]} if names else {}


def _text(key: tuple[Any, ...]) -> str:
    return "-".join(map(str, key))
