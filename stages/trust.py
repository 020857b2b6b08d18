"""What `celebahq verify`, `inspect` and `compare` do with a path: they find out what lies there."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline import checksums, disk
from pipeline.errors import ParamsError
from pipeline.provenance import RECORD
from pipeline.shards.layout import LABELS, SHARDS, VIEW
from pipeline.shards.verify import faults_of_shard
from pipeline.shards.verify_set import faults_of_set
from pipeline.trust import compare as comparison
from pipeline.trust import inspection
from pipeline.trust import verify as verification
from pipeline.trust.restoration import faults_of_restoration
from pipeline.trust.table import faults_of_table
from pipeline.trust.verify import Check, Result, Task
from training import comparison as network_comparison
from training import inspection as networks
from training.network_files import CHECKPOINTS, NETWORKS, faults_of_checkpoint, faults_of_network, faults_of_snapshot

SHOWN_VALUES = 24
SMALL_BYTES = 1_000_000


class Kind(StrEnum):
    """What a path is."""

    DATA_SET = "data set"
    SHARD = "shard"
    VIEW = "view of a data set"
    LABELS = "labels of a data set"
    TABLE = "table"
    NETWORK = "network"
    RESTORATION = "restoration network"
    SNAPSHOT = "snapshot of the original"
    CHECKPOINT = "checkpoint"
    RUN = "training run"
    FOLDER = "published folder"
    OTHER = "file"


def kind_of(path: Path) -> Kind:
    """What lies at `path`, by names; `ParamsError` if nothing does, or a folder holds nothing of this project."""
    if not path.exists():
        raise ParamsError(f"{path}: no such file or folder.")
    if path.is_dir():
        if (path / VIEW).is_file() or any(path.glob(SHARDS)):
            return Kind.DATA_SET
        if any(path.glob(NETWORKS)) or any(path.glob(CHECKPOINTS)):
            return Kind.RUN
        if any((path / name).is_file() for name in (RECORD, checksums.FILE)) or any(path.glob("*.parquet")):
            return Kind.FOLDER
        raise ParamsError(f"{path}: holds no data set, table, network or record of this project.")
    return _kind_of_file(path)


_BY_NAME = (
    (VIEW, Kind.VIEW),
    (LABELS, Kind.LABELS),
    ("*.h5", Kind.SHARD),
    ("*.parquet", Kind.TABLE),
    ("network.safetensors", Kind.RESTORATION),
    ("network.json", Kind.RESTORATION),
    ("*.safetensors", Kind.NETWORK),
    ("*.pkl", Kind.SNAPSHOT),
    (CHECKPOINTS, Kind.CHECKPOINT),
)
_CHECKS: dict[Kind, Check] = {
    Kind.SHARD: faults_of_shard,
    Kind.TABLE: faults_of_table,
    Kind.NETWORK: faults_of_network,
    Kind.SNAPSHOT: faults_of_snapshot,
    Kind.CHECKPOINT: faults_of_checkpoint,
    Kind.RESTORATION: faults_of_restoration,
}


def _kind_of_file(path: Path) -> Kind:
    return next((kind for pattern, kind in _BY_NAME if fnmatchcase(path.name, pattern)), Kind.OTHER)


def verify(path: Path, workers: int | None = None) -> Result:
    """Verify a file, a published folder, or all published folders below a folder.

    `ParamsError` if there is nothing that can be verified.
    """
    result = Result(path)
    tasks = [*_tasks(path, result)]
    if not tasks and not result.faults:
        raise ParamsError(f"{path}: no digest or checksum of it is recorded, so it cannot be verified.")
    verification.run(tasks, result, workers)
    return result


def _tasks(path: Path, result: Result) -> Iterator[Task]:
    if not path.is_dir():
        yield from tasks_of_file(path, result)
        return
    folders = [path] if _is_published(path) else _published_below(path)
    if not folders:
        raise ParamsError(f"{path}: holds no data set, table, network or record of this project.")
    for folder in folders:
        if kind_of(folder) is Kind.DATA_SET:
            yield Task(folder, check=faults_of_set)
        yield from verification.tasks_of_folder(folder, _check_of, result)


def tasks_of_file(path: Path, result: Result) -> Iterator[Task]:
    """What verifies a single file; of a view or labels also the data set around it, without its pixels."""
    kind = kind_of(path)
    for folder in path.absolute().parents[:3]:
        digests = checksums.read(folder)
        name = path.absolute().relative_to(folder).as_posix()
        if digests is not None and name in digests:
            yield Task(path, digests[name], _check_of(path))
            break
    else:
        result.without_digests.append(path)
        if (check := _check_of(path)) is not None:
            yield Task(path, check=check)
    if kind in (Kind.VIEW, Kind.LABELS) or (kind is Kind.TABLE and (path.parent / VIEW).is_file()):
        yield Task(path.parent, check=faults_of_set)


def _is_published(folder: Path) -> bool:
    try:
        kind_of(folder)
    except ParamsError:
        return False
    return True


def _published_below(folder: Path) -> list[Path]:
    """The published folders below a folder such as `data`, or a whole checkout; work folders are left out."""
    found: list[Path] = []
    for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        found += [child] if _is_published(child) else _published_below(child)
    return found


def _check_of(path: Path) -> Check | None:
    """What finds the faults of a file; None where its digest is all that there is."""
    return _CHECKS.get(_kind_of_file(path))


def inspect(path: Path) -> dict[str, Any]:
    """What lies at `path`, as a nested dictionary; `PipelineError` if it is nothing of this project, or damaged."""
    kind = kind_of(path)
    readers: dict[Kind, Callable[[Path], dict[str, Any]]] = {
        Kind.DATA_SET: inspection.data_set,
        Kind.SHARD: inspection.shard,
        Kind.VIEW: inspection.shard,
        Kind.LABELS: inspection.labels,
        Kind.TABLE: inspection.table,
        Kind.FOLDER: inspection.folder,
        Kind.RESTORATION: inspection.restoration,
        Kind.NETWORK: networks.network,
        Kind.CHECKPOINT: networks.checkpoint,
        Kind.RUN: networks.run,
        Kind.SNAPSHOT: networks.snapshot,
    }
    if kind not in readers:
        raise ParamsError(f"{path}: no data set, shard, table, network, checkpoint or record of this project.")
    return {"path": str(path), "kind": kind.value, **readers[kind](path)}


def lines(facts: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """Nested facts as indented lines; long lists are shortened."""
    for key, value in facts.items():
        name = str(key)
        head = f"{'  ' * indent}{name if {*'./'} & {*name} else name.replace('_', ' ')}:"
        if isinstance(value, Mapping):
            if value:
                yield head
                yield from lines(value, indent + 1)
            else:
                yield f"{head} none"
        elif isinstance(value, list):
            shown = ", ".join(map(str, value[:SHOWN_VALUES])) or "none"
            yield f"{head} {shown}{f' ... ({len(value)})' if len(value) > SHOWN_VALUES else ''}"
        elif isinstance(value, bool) or value is None:
            yield f"{head} {({True: 'yes', False: 'no', None: 'none'})[value]}"
        else:
            large = name.endswith("bytes") and isinstance(value, int) and value > SMALL_BYTES
            size = f" ({disk.gigabytes(value)})" if large else ""
            yield f"{head} {value:g}{size}" if isinstance(value, float) else f"{head} {value}{size}"


def compare(a: Path, b: Path) -> dict[str, Any]:
    """How two paths of one kind differ, as a nested dictionary with the key `equal`.

    `ParamsError` if they are of different kinds, or of one that cannot be compared.
    """
    kinds = kind_of(a), kind_of(b)
    if kinds[0] is not kinds[1]:
        raise ParamsError(f"{a} is a {kinds[0].value}, {b} a {kinds[1].value}: only two of one kind can be compared.")
    comparisons: dict[Kind, Callable[[Path, Path], dict[str, Any]]] = {
        Kind.DATA_SET: comparison.data_sets,
        Kind.SHARD: comparison.shards,
        Kind.TABLE: comparison.tables,
        Kind.FOLDER: comparison.folders,
        Kind.NETWORK: network_comparison.networks,
        Kind.CHECKPOINT: network_comparison.checkpoints,
        Kind.RUN: network_comparison.runs,
    }
    if kinds[0] not in comparisons:
        raise ParamsError(f"{a}: a {kinds[0].value} cannot be compared; name the folder that holds it.")
    return {"a": str(a), "b": str(b), "kind": kinds[0].value, **comparisons[kinds[0]](a, b)}
