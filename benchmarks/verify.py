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
from pipeline.trust import verify as verification
from pipeline.trust.verify import Result
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


def changed_copy(source: Path, change: tuple[Path, int, int], copy: Path) -> Path:
    """A data set of links to the files of `source`, but one changed copy, which is returned."""
    changed, place, bit = change
    copy.mkdir(parents=True)
    for path in source.iterdir():
        if path != changed:
            (copy / path.name).hardlink_to(path)
    content = bytearray(changed.read_bytes())
    content[place] ^= 1 << bit
    (copy / changed.name).write_bytes(content)
    return copy / changed.name


def found_of(folder: Path, changes: list[tuple[Path, int, int]], scratch: Path) -> dict[str, Any]:
    """How many changes are found, and how many of these with a level or an image, by type of file."""
    copies = [changed_copy(folder, change, scratch / f"{number}") for number, change in enumerate(changes)]
    result = Result(scratch)
    verification.run([task for path in copies for task in trust.tasks_of_file(path, result)], result)
    faulty = {fault.file if fault.file.is_dir() else fault.file.parent for fault in result.faults}
    placed = {fault.file.parent for fault in result.faults if fault.level or fault.image}
    shutil.rmtree(scratch)
    return {
        "found": len(faulty),
        "by_file": dict(Counter(path.name for path in copies if path.parent in faulty)),
        "with_level_or_image": dict(Counter(path.name for path in copies if path.parent in placed)),
        "unseen": [
            f"{path.name} {place}"
            for path, (_, place, _) in zip(copies, changes, strict=True)
            if path.parent not in faulty
        ],
    }


def main(source: Path) -> None:
    """Run and save it."""
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = Path(shutil.copytree(source, scratch / "set"))
        checksums.write(folder)
        trust.verify(folder)  # so the files are in memory
        clean = trust.verify(folder)
        changes = flips(folder, FLIPS)
        figures: dict[str, Any] = {
            "files": clean.files,
            "gigabytes": clean.bytes / 1e9,
            "seconds": round(clean.seconds, 2),
            "gigabytes_per_second": round(clean.bytes / 1e9 / clean.seconds, 4),
            "changes": FLIPS,
            "with_digests": found_of(folder, changes, scratch / "with"),
        }
        (folder / checksums.FILE).unlink()
        figures["without_digests"] = found_of(folder, changes, scratch / "without")
        figures["faults_in_clean_files"] = len(clean.faults) + len(trust.verify(folder).faults)
    for key, value in figures.items():
        print(f"{key}: {value}")
    ratios = {f"{name} found": figures[name]["found"] / FLIPS for name in ("with_digests", "without_digests")}
    save("verify", figures, ratios)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("data/shard"))
