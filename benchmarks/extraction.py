"""Unpacking against the raw programs: `python -m benchmarks.extraction [MEGABYTES]`; 1000 if none is given.

Members are JPEGs of noise, so that packing gains next to nothing, as with photographs: large ones for MEGABYTES and
for a tenth of that, and a hundred small ones for each megabyte. Each archive is unpacked by the raw program (7-Zip's
own, unzip) to loose files and by us to containers with table and checksums, in turn, twice; the better time counts.
Ours flushes what it writes to disk, the raw programs do not. The memory of a run is the peak of the anonymous pages of
its process and its children. Needs unzip.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import result
from pipeline.sources import extraction, sevenzip
from pipeline.sources.source import Contents

PART_BYTES = 200_000_000
QUALITY = 95
SIDE, PER_MEGABYTE = 203, 20
SMALL_SIDE, SMALL_PER_MEGABYTE = 40, 100
REPEATS = 2
FORMS = ("7z", "zip")


def make(folder: Path, count: int, side: int) -> int:
    """Fill `folder` with `count` distinct JPEGs; return their bytes."""
    folder.mkdir()
    random = np.random.default_rng(side)
    written = 0
    for number in range(1, count + 1):
        image_HWC = random.integers(0, 256, (side, side, 3), np.uint8)
        _, content = cv2.imencode(".jpg", image_HWC, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        written += (folder / f"{number:06d}.jpg").write_bytes(content.tobytes())
    return written


def pack(folder: Path) -> dict[str, Path]:
    """A 7z in parts (LZMA2) and a zip (deflate) of `folder`, each packed fast; the folder goes away."""
    paths = {"7z": folder.with_suffix(".7z"), "zip": folder.with_suffix(".zip")}
    for form, path in paths.items():
        words = ["-t7z", "-m0=lzma2", f"-v{PART_BYTES}b"] if form == "7z" else ["-tzip", "-mm=deflate"]
        subprocess.run([sevenzip.program(), "a", "-bso0", "-bsp0", "-mx=1", *words, path, folder], check=True)
    shutil.rmtree(folder)
    return {"7z": paths["7z"].with_name(f"{paths['7z'].name}.001"), "zip": paths["zip"]}


def timed(command: list[str | Path], out: Path) -> dict[str, float]:
    """Run a command that fills `out`: its seconds (printed or measured), those of the flush after it, peak memory."""
    os.sync()
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, result.PeakMemory(process.pid) as peak:
        printed, _ = process.communicate()
    ended = time.monotonic()
    assert process.returncode == 0, command
    os.sync()
    flushed = time.monotonic() - ended
    shutil.rmtree(out)
    seconds = json.loads(printed) if printed else ended - started
    return {"seconds": round(seconds, 2), "flush_seconds": round(flushed, 2), "peak_mib": round(peak.mib)}


def compare(form: str, archive: Path, out: Path) -> dict[str, Any]:
    """Raw program and ours in turn on one archive."""
    raw: list[str | Path] = [sevenzip.program(), "x", "-bso0", "-bsp0", f"-o{out}", archive]
    commands = {
        "raw": raw if form == "7z" else ["unzip", "-q", archive, "-d", out],
        "ours": [sys.executable, "-m", "benchmarks.extraction", archive, out],
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, command in commands.items():
            runs[name].append(timed(command, out))
            print(f"{archive.name:<16}{name:<8}{runs[name][-1]}", flush=True)
    best: dict[str, Any] = {name: min(found, key=lambda run: run["seconds"]) for name, found in runs.items()}
    best["ours"]["speed_by_raw"] = round(best["raw"]["seconds"] / best["ours"]["seconds"], 2)
    return best


def extract_ours(archive: Path, out: Path) -> None:
    """Extract as the stage does, and print the seconds of it."""
    out.mkdir()
    contents = Contents(images=archive.name, numbering="celeba", landmarks=None, partition=None, attributes=None)
    started = time.monotonic()
    extraction.extract(archive.parent, contents, 5000, out, max_dropped=1.0)
    print(time.monotonic() - started)


def main(megabytes: float) -> None:
    """Make the archives, compare, print and keep."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        scratch = Path(name)
        for title, count, side in (
            ("a tenth", round(megabytes * PER_MEGABYTE / 10), SIDE),
            ("the whole", round(megabytes * PER_MEGABYTE), SIDE),
            ("many small", round(megabytes * SMALL_PER_MEGABYTE), SMALL_SIDE),
        ):
            figures[title] = {"members": count, "megabytes": round(make(scratch / "img", count, side) / 1e6)}
            for form, archive in pack(scratch / "img").items():
                figures[title][form] = compare(form, archive, scratch / "out")
                for path in scratch.glob(f"img.{form}*"):
                    path.unlink()
    ratios = {f"{title} {form}": row[form]["ours"]["speed_by_raw"] for title, row in figures.items() for form in FORMS}
    result.save("extraction", figures, ratios)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        extract_ours(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 1000.0)
