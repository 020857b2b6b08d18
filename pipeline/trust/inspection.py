"""What lies in a data set, shard, table or published folder: facts for people and programs, read without the pixels.

Every function gives a nested dictionary of plain values, ready for JSON.
"""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq

from pipeline import checksums, manifest
from pipeline.errors import ShardError, TableError
from pipeline.provenance import RECORD, read_json
from pipeline.shards import layout
from pipeline.shards.reader import DataSet

Facts = dict[str, Any]


def data_set(folder: Path) -> Facts:
    """A folder that the stage `shard` or `lsun`, or `celebahq build`, published; `ShardError` if it is incomplete."""
    with DataSet(folder) as data:
        shards = sorted(folder.glob(layout.SHARDS))
        facts: Facts = {
            "images": len(data),
            "resolutions": list(layout.level_resolutions(data.resolution)),
            "codec": data.header.codec,
            "shards": len(shards),
            "bytes": sum(shard.stat().st_size for shard in shards),
            "labels": None if data.labels is None else _labels(data),
        }
        header = data.header
    for path in sorted(folder.glob("*.parquet")):
        facts[path.stem] = table(path)
    facts["dropped_before"] = _dropped_before(folder)
    return facts | {"definition": _definition(header), **_published(folder)}


def _dropped_before(folder: Path) -> Facts:
    """The drops by reason of the stages whose folders lie next to this one (data/), or of a build (`dropped.csv`)."""
    dropped = folder / "dropped.csv"
    if dropped.is_file():
        with dropped.open(newline="", encoding="utf-8") as file:
            return dict(Counter(row.get("reason", "") for row in csv.DictReader(file)).most_common())
    tables = ((path.stem, path) for path in sorted(folder.parent.glob("*/*.parquet")) if path.parent != folder)
    accounts = {stage: manifest.account(path).dropped for stage, path in tables if stage == path.parent.name}
    return {stage: found for stage, found in accounts.items() if found}


def _labels(data: DataSet) -> Facts:
    labels = data.labels
    assert labels is not None
    return {"columns": labels.shape[1], "values": sorted({*labels.ravel().tolist()})[:10]}


def shard(path: Path) -> Facts:
    """A shard or a view; `ShardError` if it is none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            header = layout.read_header(file)
            identity = layout.dataset(file, layout.IDENTITY_INDEX)
            labels = file.get(layout.IDENTITY_LABELS)
            levels: Facts = {}
            for resolution in layout.level_resolutions(header.resolution):
                level = layout.dataset(file, layout.level_name(resolution))
                stored = level.id.get_storage_size()
                levels[f"{resolution}x{resolution}"] = {
                    "pixel_bytes": level.size, "stored_bytes": stored, "images_per_chunk": (level.chunks or [0])[0]
                } if not level.is_virtual else {"pixel_bytes": level.size}  # fmt: skip
            return {
                "images": len(identity),
                "codec": header.codec,
                "bytes": path.stat().st_size,
                "labels": labels.shape[1] if isinstance(labels, h5py.Dataset) else None,
                "levels": levels,
                "definition": _definition(header),
            }
    except OSError as error:
        raise ShardError(f"{path}: HDF5 cannot open it ({error}).") from error


def table(path: Path) -> Facts:
    """A table: rows, kept, dropped by reason, splits and classes; `TableError` if it is no parquet file."""
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        facts: Facts = {"rows": file.metadata.num_rows, "row_groups": file.metadata.num_row_groups}
        if "drop_reason" in names:
            account = manifest.account(path)
            facts |= {"kept": account.kept, "dropped": account.dropped}
        if "split" in names:
            splits = pq.read_table(path, columns=["split", "drop_reason"] if "drop_reason" in names else ["split"])
            if "drop_reason" in names:
                splits = splits.filter(splits["drop_reason"].is_null())
            facts["splits"] = dict(Counter(split or "none" for split in splits["split"].to_pylist()).most_common())
        return facts | {"columns": names, "written_by": file.metadata.created_by}
    except (OSError, ValueError) as error:  # errors of Arrow are of these types
        raise TableError(f"{path}: not a parquet table, or damaged ({error}).") from error


def labels(path: Path) -> Facts:
    """A labels file."""
    import numpy as np  # noqa: PLC0415

    values = np.load(path, mmap_mode="r", allow_pickle=False)
    return {"images": values.shape[0], "columns": values.shape[1], "type": str(values.dtype)}


def folder(path: Path) -> Facts:
    """A folder that another stage published."""
    files = [file for file in path.rglob("*") if file.is_file()]
    facts: Facts = {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
    for file in sorted(path.glob("*.parquet")):
        facts[file.stem] = table(file)
    return facts | _published(path)


def restoration(path: Path) -> Facts:
    """A network of `fit_denoise` or `fit_superres`: its description."""
    return read_json(path.with_name("network.json"))


def _definition(header: layout.Header) -> Facts:
    """What decides the pixels, as the shards state it."""
    return {
        "decoder": header.decoder,
        "renderer": header.renderer,
        "params_digest": header.params_digest,
        "libraries": json.loads(header.libraries),
    }


def _published(path: Path) -> Facts:
    """What the record and the digests of a published folder state."""
    return {"digests": (path / checksums.FILE).is_file(), **provenance(path)}


def provenance(path: Path) -> Facts:
    """The record of a published folder: report, params, recipe, inputs, code and libraries."""
    record = read_json(path / RECORD)
    names = ("report", "params", "recipe", "inputs", "code", "libraries")
    found = {name: record[name] for name in names if name in record}
    return {"provenance": found} if found else {}
