"""Whether `celebahq verify` finds each of 200 changed bits, and how fast it reads: `python -m benchmarks.verify [SET]`.

SET is the folder of a data set (default: data/shard); it is copied. One bit is changed in one file at a time, in turn
in shards, table, labels and view. Twice: with `SHA256SUMS`, which covers every byte, and without, as in data sets of
earlier versions, where only pixels, labels and identities have checksums; `unseen` lists bytes that those do not cover.
"""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import save
from pipeline import checksums
from stages import trust

FLIPS = 200
SEED = 1


def flips(folder: Path, count: int) -> list[tuple[Path, int, int]]:
    """File, offset and bit of each change: as many in the shards, the table, the labels and the view."""
    random = np.random.default_rng(SEED)
    shards = sorted(folder.glob("shard-*.h5"))
    groups = [shards, *([path] for path in (*folder.glob("*.parquet"), *folder.glob("dataset*")) if path.is_file())]
    found: list[tuple[Path, int, int]] = []
    for number in range(count):
        group = groups[number % len(groups)]
        path = group[number // len(groups) % len(group)]
        found.append((path, int(random.integers(path.stat().st_size)), int(random.integers(8))))
    return found


def flip(path: Path, place: int, bit: int) -> None:
    """Change a bit of a file, or change it back."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def found_of(folder: Path, changes: list[tuple[Path, int, int]]) -> dict[str, Any]:
    """How many changes are found, with the file's name, and how many with a level or an image."""
    seen: Counter[str] = Counter()
    named: Counter[str] = Counter()
    unseen: list[str] = []
    for path, place, bit in changes:
        flip(path, place, bit)
        faults = trust.verify(path).faults
        flip(path, place, bit)
        if any(fault.file in (path, folder) for fault in faults):
            seen[path.suffix] += 1
        else:
            unseen.append(f"{path.name} {place}")
        named[path.suffix] += any(fault.level or fault.image for fault in faults)
    return {"found": seen.total(), "by_file": dict(seen), "with_level_or_image": dict(named), "unseen": unseen}


def main(source: Path) -> None:
    """Run and save it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(source, Path(scratch) / "set"))
        checksums.write(folder)
        trust.verify(folder)  # so the files are in memory, and the processes are known to start
        clean = trust.verify(folder)
        changes = flips(folder, FLIPS)
        figures: dict[str, Any] = {
            "files": clean.files,
            "gigabytes": clean.bytes / 1e9,
            "seconds": round(clean.seconds, 2),
            "gigabytes_per_second": round(clean.bytes / 1e9 / clean.seconds, 4),
            "faults_in_clean_files": len(clean.faults),
            "changes": FLIPS,
            "with_digests": found_of(folder, changes),
        }
        (folder / checksums.FILE).unlink()
        figures["without_digests"] = found_of(folder, changes)
        left = trust.verify(folder)
        figures["faults_in_clean_files"] += len(left.faults)
    for key, value in figures.items():
        print(f"{key}: {value}")
    ratios = {f"{name} changes found": figures[name]["found"] / FLIPS for name in ("with_digests", "without_digests")}
    save("verify", figures, ratios)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data/shard"))
