"""An LSUN database of three million records: `python -m benchmarks.lsun_index [--records N] [--converted M]`.

The database is real, its images are tiny (16 x 16 WebP), so what is left is what grows with the number of records:
the index of keys (walked, then found again after a kill), a key by its place, the walk in the order of keys, the table
of all records joined from those of the shards. `M` records go the whole way to shards of 16 x 16 pixels, once in one
go and once killed half way and resumed: seconds per record, and whether the tables are equal. Each step is a process
of its own; memory is its peak of anonymous pages.
"""

import argparse
import io
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.result import PeakMemory, in_new_process, save
from pipeline import chunks, columns, manifest
from pipeline.params import ClusterParams
from pipeline.shards.layout import Header
from pipeline.sources.lsun.convert import convert
from pipeline.sources.lsun.index import key_at, write_keys
from pipeline.sources.lsun.records import LsunImage, open_records
from pipeline.workers import connect

RECORDS, CONVERTED = 3_000_000, 20_000
SIDE, PER_SHARD = 16, 2_500
AT_ONCE = 100_000
LOOKED_UP = 200
KINDS = 64
"""Distinct images, which the records repeat."""


def make(path: Path, records: int) -> None:
    """Write a database of `records` records under rising keys of 40 hex digits; some cannot be decoded."""
    random = np.random.default_rng(1)
    values = [_encoded(random) for _ in range(KINDS)]
    values[0] = b"<html>404 Not Found</html>"
    with lmdb.open(str(path), subdir=False, map_size=1 << 36, lock=False, sync=False) as environment:
        step = (1 << 160) // (records + 1)
        for start in range(0, records, AT_ONCE):
            with environment.begin(write=True) as transaction:
                for number in range(start, min(start + AT_ONCE, records)):
                    key = b"%040x" % (number * step + number * number % 65_537)
                    transaction.put(key, values[number * 31 % (KINDS * 17) % KINDS], append=True)
        environment.sync(True)


def _encoded(random: np.random.Generator) -> bytes:
    content = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(content, "WEBP", quality=50)
    return content.getvalue()


def index(folder: Path) -> None:
    """Walk the keys, or find the file of them."""
    with open_records(folder / "data.mdb") as records:
        write_keys(records, folder / "keys.arrow")


def look_up(folder: Path) -> None:
    """Keys at places all over the database, as each shard's task does for its first record."""
    with open_records(folder / "data.mdb") as records:
        count = records.count
        for place in np.linspace(0, count - 1, LOOKED_UP).astype(int).tolist():
            key = key_at(folder / "keys.arrow", place)
            ((found, _),) = records.values(key, 1)
            assert found == key


def order(folder: Path) -> None:
    """All records in the order of their keys, each value touched."""
    with open_records(folder / "data.mdb") as records:
        assert sum(1 for _, value in records.values(key_at(folder / "keys.arrow", 0), records.count) if value)


def join(folder: Path) -> None:
    """The table of all records out of those of the shards, without their images."""
    parts = Path(folder, "parts")
    with open_records(folder / "data.mdb") as records:
        count = records.count
    if not parts.exists():
        parts.mkdir()
        schema = manifest.schema_of(LsunImage)
        for start in range(0, count, PER_SHARD):
            numbers = range(start, min(start + PER_SHARD, count))
            rows = {
                "index": numbers,
                "file": [f"{number:040x}" for number in numbers],
                "encoding": ["webp"] * len(numbers),
                "width": [SIDE] * len(numbers),
                "height": [SIDE] * len(numbers),
                "shard": [f"shard-{start // PER_SHARD:05d}.h5"] * len(numbers),
                "row": [number - start for number in numbers],
                "image_md5": [f"{number:032x}" for number in numbers],
            }
            table = manifest.with_columns(pa.table(rows), schema)
            columns.write(parts / f"{start:08d}.parquet", schema, [table])
    started = time.monotonic()
    account = manifest.join_parts(folder / "lsun.parquet", LsunImage, sorted(parts.iterdir()))
    assert account.given == count
    print(f"joined in {time.monotonic() - started:.1f} s", file=sys.stderr)


def shards(folder: Path, work: str, converted: int, stop_at: int | None = None) -> None:
    """`converted` records to shards in the folder `work`; this process is killed after `stop_at` shards."""
    header = Header(
        resolution=SIDE, codec="none", params_digest="", decoder="pillow", renderer="pillow-lanczos", libraries="{}"
    )
    cluster = ClusterParams(scheduler=None, worker_wait_minutes=5.0, workers=2, memory_per_worker_mib=1000)
    out = folder / work
    out.mkdir(exist_ok=True)
    if stop_at is not None:
        threading.Thread(target=_kill, args=(chunks.folder_of(out / "lsun.parquet"), stop_at), daemon=True).start()
    with connect(cluster) as client:
        convert(
            client,
            folder / "data.mdb",
            header,
            max_images=converted,
            images_per_shard=min(PER_SHARD, max(converted // 8, 1)),
            index=folder / "keys.arrow",
            work=out,
            max_dropped=1.0,
        )


def _kill(folder: Path, shards: int) -> None:
    while len(chunks.finished_chunks(folder)) < shards:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


STEPS: dict[str, Callable[..., None]] = {
    "index": index, "index again": index, "key at a place": look_up, "order": order, "join": join, "shards": shards,
}  # fmt: skip


def timed(step: str, folder: str, *arguments: Any) -> dict[str, float]:
    """Run a step in this process."""
    with PeakMemory() as peak:
        started, cpu = time.monotonic(), time.process_time()
        STEPS[step](Path(folder), *arguments)
        seconds, own = time.monotonic() - started, time.process_time() - cpu
    return {"seconds": round(seconds, 2), "cpu_seconds": round(own, 2), "peak_mib": round(peak.mib)}


def main(records: int, converted: int) -> dict[str, Any]:
    """Make the database, measure, print and save."""
    figures: dict[str, Any] = {"records": records, "converted": converted}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        started = time.monotonic()
        make(folder / "data.mdb", records)
        figures["database_bytes"] = (folder / "data.mdb").stat().st_size
        print(f"made {records} records, {figures['database_bytes'] / 1e6:.0f} MB: {time.monotonic() - started:.0f} s")
        for step in ("index", "index again", "key at a place", "order", "join"):
            figures[step] = in_new_process(timed, step, name)
            print(f"{step:<16}{figures[step]}", flush=True)
        shutil.rmtree(folder / "parts")
        figures["shards"] = in_new_process(timed, "shards", name, "whole", converted)
        print(f"{'shards':<16}{figures['shards']}", flush=True)
        with suppress(BrokenProcessPool):
            in_new_process(timed, "shards", name, "resumed", converted, 3)
        figures["resumed"] = in_new_process(timed, "shards", name, "resumed", converted)
        print(f"{'resumed':<16}{figures['resumed']}", flush=True)
        files = [sorted(path.name for path in (folder / work).iterdir()) for work in ("whole", "resumed")]
        figures["equal"] = files[0] == files[1] and all(
            (folder / "whole" / file).read_bytes() == (folder / "resumed" / file).read_bytes() for file in files[0]
        )
        print(f"equal after the kill: {figures['equal']}")
    each = {step: 1e6 * figures[step]["cpu_seconds"] / records for step in ("index", "order", "join")}
    figures["microseconds_per_record"] = {step: round(value, 2) for step, value in each.items()}
    figures["microseconds_per_record"]["shards"] = round(1e6 * figures["shards"]["seconds"] / converted)
    print(f"microseconds a record: {figures['microseconds_per_record']}")
    save("lsun-index", figures)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--converted", type=int, default=CONVERTED)
    chosen = parser.parse_args()
    sys.exit(0 if main(chosen.records, chosen.converted)["equal"] else 1)
