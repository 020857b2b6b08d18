"""The table of the files of a user's folder, which is read in place: nothing of it is copied or linked."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.errors import DropReason
from pipeline.sources.archive_safety import Limits
from pipeline.sources.listing import Listing, list_images, readable
from pipeline.sources.local import reference

FILE = "files.parquet"
JUNK = "junk"
EXAMPLES = 5
ROWS_AT_ONCE = 4096

_SCHEMA = pa.schema(
    [("path", pa.binary()), ("left_out", pa.string()), ("detail", pa.string()), ("same_as", pa.binary())]
)
"""`path`: bytes below the folder. `left_out`: a `DropReason`, or `junk`. `same_as`: the first name of that file."""


def describe(images: Path, limits: Limits, folder: Path) -> dict[str, Any]:
    """The fields of `Contents` about the user's own images, which stay where they are.

    Of a folder, the table of its files is written to `folder`. Errors as `list_images`.
    """
    listing = list_images(images, limits)
    table = FILE if images.is_dir() else None
    if table is not None:
        write(folder / table, listing)
    examples = tuple(map(readable, listing.junk[:EXAMPLES]))
    return {"images": reference(images), "listing": table, "junk": len(listing.junk), "junk_examples": examples}


def write(path: Path, listing: Listing) -> None:
    """Write the listing of a folder."""
    twice = listing.twice
    rows = [
        *((name, None, None, os.fsencode(twice[name]) if name in twice else None) for name in listing.members),
        *((name, reason.value, detail, None) for name, (reason, detail) in listing.lost.items()),
        *((name, JUNK, None, None) for name in listing.junk),
    ]
    columns = [[os.fsencode(row[0]) for row in rows], *([row[place] for row in rows] for place in (1, 2, 3))]
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
    with atomic.writing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read(path: Path) -> Listing:
    """The listing that `write` wrote."""
    found = Listing()
    batches = pq.read_table(path, schema=_SCHEMA).to_batches(max_chunksize=ROWS_AT_ONCE)
    for row in (row for batch in batches for row in batch.to_pylist()):
        name = os.fsdecode(row["path"])
        if row["left_out"] is None:
            found.members.append(name)
            if row["same_as"] is not None:
                found.twice[name] = os.fsdecode(row["same_as"])
        elif row["left_out"] == JUNK:
            found.junk.append(name)
        else:
            found.lost[name] = (DropReason(row["left_out"]), row["detail"])
    return found
