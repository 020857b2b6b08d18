"""The keys of a database, in order, cached in a file: walking millions of them is done once, not in every run."""

from itertools import islice
from pathlib import Path

import pyarrow as pa

from pipeline import atomic
from pipeline.sources.lsun.image_folder import ImageFolder
from pipeline.sources.lsun.records import Records

KEYS_AT_ONCE = 100_000


def write_keys(records: Records | ImageFolder, cache: Path) -> None:
    """Write the keys of `records` to the file `cache`, where it is absent, damaged or of another database."""
    atomic.sweep_abandoned(cache.parent)
    schema = pa.schema([("key", pa.binary())], metadata={b"database": records.identity.encode()})
    if _fits(cache, schema, records.count):
        return
    keys = records.keys()
    with (
        atomic.writing(cache) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        while some := list(islice(keys, KEYS_AT_ONCE)):
            writer.write_batch(pa.record_batch([pa.array(some, pa.binary())], schema=schema))


def key_at(cache: Path, place: int) -> bytes:
    """The key at a place, from the file that `write_keys` wrote; a part of it is read."""
    with pa.memory_map(str(cache)) as file:
        keys = pa.ipc.open_file(file)
        at_once = keys.get_batch(0).num_rows
        return keys.get_batch(place // at_once).column(0)[place % at_once].as_py()


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
