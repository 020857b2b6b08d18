"""What `celebahq verify`, `inspect` and `compare` do with a path: they find out what lies there."""

from collections.abc import Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline import checksums
from pipeline.errors import ParamsError
from pipeline.shards.verify import faults_of_shard
from pipeline.shards.verify_set import faults_of_set
from pipeline.trust import verify as verification
from pipeline.trust.restoration import faults_of_restoration
from pipeline.trust.table import faults_of_table
from pipeline.trust.verify import Check, Result, Task
from training.network_files import faults_of_checkpoint, faults_of_network, faults_of_snapshot

RECORD = "record.json"
VIEW = "dataset.h5"
LABELS = "dataset-labels.npy"


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
        if (path / VIEW).is_file() or any(path.glob("shard-*.h5")):
            return Kind.DATA_SET
        if any(path.glob("network-*.safetensors")) or any(path.glob("checkpoint-*.json")):
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
    ("checkpoint-*.json", Kind.CHECKPOINT),
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
