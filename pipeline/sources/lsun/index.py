"""The keys of a database, in order, kept in a file: walking millions of them is done once, not in every run."""

from collections.abc import Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import atomic
from pipeline.sources.lsun.records import Records

KEYS_AT_ONCE = 100_000
IDENTITY = b"database"
SCHEMA = pa.schema([("key", pa.binary())])


class Keys:
    """The keys of a database by their place in its order; see `open_keys`."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: int) -> bytes:
        return self._column[place].as_py()


@contextmanager
def open_keys(records: Records, cache: Path) -> Generator[Keys]:
    """The keys of `records` from the file `cache`, which is written first where it is absent, damaged or of another."""
    schema = SCHEMA.with_metadata({IDENTITY: records.identity.encode()})
    if not _fits(cache, schema, records.count):
        _write(records, cache, schema)
    with pa.memory_map(str(cache)) as file:
        yield Keys(pa.ipc.open_file(file).read_all()["key"])


def _fits(cache: Path, schema: pa.Schema, count: int) -> bool:
    if not cache.is_file():
        return False
    try:
        with pa.memory_map(str(cache)) as file:
            found = pa.ipc.open_file(file).read_all()
            found.validate(full=True)
    except (pa.ArrowException, OSError):
        return False
    return found.schema.equals(schema, check_metadata=True) and len(found) == count


def _write(records: Records, cache: Path, schema: pa.Schema) -> None:
    keys = records.keys()
    with (
        atomic.writing(cache) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        while some := list(islice(keys, KEYS_AT_ONCE)):
            writer.write_batch(pa.record_batch([pa.array(some, pa.binary())], schema=schema))
