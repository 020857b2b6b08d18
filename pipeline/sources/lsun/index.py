"""The keys of a database, in order, cached in a file: walking millions of them is done once, not in every run."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from pipeline import atomic
from pipeline.sources.lsun.image_folder import ImageFolder
from pipeline.sources.lsun.records import Records

KEYS_AT_ONCE = 100_000


@contextmanager
def open_keys(records: Records | ImageFolder, cache: Path) -> Generator[Sequence[Any]]:
    """The keys of `records` by their place, as pyarrow scalars, from the file `cache`.

    It is written first where it is absent, damaged or of another database.
    """
    schema = pa.schema([("key", pa.binary())], metadata={b"database": records.identity.encode()})
    if not _fits(cache, schema, records.count):
        keys = records.keys()
        with (
            atomic.writing(cache) as partial,
            pa.OSFile(str(partial), "wb") as file,
            pa.ipc.new_file(file, schema) as writer,
        ):
            while some := list(islice(keys, KEYS_AT_ONCE)):
                writer.write_batch(pa.record_batch([pa.array(some, pa.binary())], schema=schema))
    with pa.memory_map(str(cache)) as file:
        yield cast(Sequence[Any], pa.ipc.open_file(file).read_all()["key"])


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
