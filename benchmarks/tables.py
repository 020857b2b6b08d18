"""The stages' own overhead on large tables: `python -m benchmarks.tables [ROWS ...]`; 202,599 and a million by default.

Tables of drawn rows, one stored photograph for all of them, and work on a row that does nothing: what is left are the
tables. Each stage runs in a process of its own, with two workers; seconds, and the peak memory of that process.
`compare` is of two tables, `verify` of the set without its pixels and of the names of its images.
"""

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from benchmarks.result import in_new_process, save
from pipeline import manifest
from pipeline.container import writing_container
from pipeline.faces.landmarks import LANDMARK_COLUMNS
from pipeline.manifest import Aligned, Cropped, Denoised, Drop, Photograph, Scored, Selected, extend
from pipeline.report import sheets
from pipeline.shards import items, verify_set
from pipeline.shards.reader import DataSet
from pipeline.trust import compare
from stages import align, crop, denoise, select, shard, superres, table

ROOT = Path(__file__).resolve().parents[1]
WORKERS, KEPT = 2, 30_000
SIDE = 8
CHUNK = 500
"""Rows of a chunk whose reading is timed: as many as `superres` has at full size."""


def pass_crop(rows: Sequence[Aligned], stem: Path) -> Iterator[Cropped]:
    """Rows of `crop` without a look at any photograph."""
    places = {"left": 0, "upper": 0, "crop_width": SIDE, "crop_height": SIDE, "shrink": 1, "border": 0}
    return (extend(row, Cropped, pixels=None, region_md5="0" * 32, **places) for row in rows)


def pass_superres(rows: Sequence[Denoised], stem: Path, *, overview: Any, shown: Any) -> Iterator[Scored | Drop]:
    """Rows of `superres` with a drawn score, and strips of white faces."""
    white_HWC = np.full((SIDE, SIDE, 3), 255, np.uint8)
    strips = [[white_HWC, white_HWC] for row in rows if row.key in overview]
    sheets.write_strip(stem.with_name(f"{stem.name}.faces.png"), strips)
    return (extend(row, Scored, quality=row.index * 7919 % 100_003 / 100_003, padded=False, enlarge=1) for row in rows)


def white(row: Selected) -> Any:
    """The final image of any row."""
    return np.full((SIDE, SIDE, 3), 255, np.uint8)


def white_renderer() -> Callable[[Selected], Any]:
    """In place of `shard.open_renderer`."""
    return white


def draw(rows: int) -> None:
    """Write `params.yaml` and `data/extract`: `rows` photographs, all of one place, with CelebA's three annotations."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["cluster"]["workers"] = WORKERS
    params["photographs"]["decoder"] = "pillow"
    params["align"] |= {"resolution": SIDE, "min_side_pixels": 1, "photographs_per_chunk": 5000, "max_suspicious": 1.0}
    params["crop"]["faces_per_chunk"] = 1000
    for fit in ("fit_denoise", "fit_superres"):
        params[fit]["network"] = {"kind": "none"}
    params["denoise"] |= {"method": "none", "faces_per_chunk": 1000}
    params["superres"] |= {"method": "lanczos", "faces_per_chunk": CHUNK}
    params["select"]["keep"] = min(KEPT, rows // 2)
    params["shard"] |= {"images_per_shard": 1000, "order": "shuffled"}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    folder = Path("data/extract")
    folder.mkdir(parents=True)
    content = io.BytesIO()
    Image.new("RGB", (100, 100), "white").save(content, "JPEG")
    tar = folder / "extract-00000.tar"
    with writing_container(tar, f"extract/{tar.name}") as container:
        stored = container.add("000001.jpg", content.getvalue())
    names = [f"{number:06d}.jpg" for number in range(1, rows + 1)]
    place = {name: getattr(stored, name) for name in ("container", "offset", "size", "md5")}
    columns: dict[str, Any] = {
        "index": range(rows),
        "file": names,
        "face": pa.array(np.zeros(rows, np.int64)),
        "photograph": pa.array([place], manifest.schema_of(Photograph).field("photograph").type).take(
            pa.array(np.zeros(rows, np.int64))
        ),
        "drop_reason": pa.nulls(rows, pa.string()),
        "drop_detail": pa.nulls(rows, pa.string()),
    }
    schema = manifest.schema_of(Photograph)
    drawn = pa.table([pa.array(columns[name], schema.field(name).type) for name in schema.names], schema=schema)
    part = folder / "part.parquet"
    pq.write_table(drawn, part)
    manifest.join_parts(folder / "extract.parquet", Photograph, [part])
    part.unlink()
    random = np.random.default_rng(1)
    face_10 = np.array([35, 40, 65, 40, 50, 55, 38, 70, 62, 70])
    faces_N10 = face_10 + random.integers(-3, 4, (rows, 10))
    with (folder / "landmarks.txt").open("w") as text:
        text.write(f"{rows}\n{' '.join(LANDMARK_COLUMNS)}\n")
        text.writelines(f"{name} {' '.join(map(str, face))}\n" for name, face in zip(names, faces_N10, strict=True))
    labels_N40 = random.integers(0, 2, (rows, 40)) * 2 - 1
    with (folder / "attributes.txt").open("w") as text:
        text.write(f"{rows}\n{' '.join(f'Label_{place}' for place in range(40))}\n")
        text.writelines(f"{name} {' '.join(map(str, own))}\n" for name, own in zip(names, labels_N40, strict=True))
    with (folder / "partition.txt").open("w") as text:
        text.writelines(f"{name} {number % 3}\n" for number, name in enumerate(names))


def run(stage: str, cwd: str) -> dict[str, float]:
    """Run a stage whose work on a row does nothing; its seconds, and the peak memory of this process in MiB."""
    os.chdir(cwd)
    crop.crop_chunk = lambda **_: None  # pyright: ignore[reportAttributeAccessIssue]
    crop.partial = lambda function, **_: pass_crop  # pyright: ignore[reportAttributeAccessIssue]
    superres.superres_chunk = pass_superres
    superres.partial = _partial_without_params  # pyright: ignore[reportAttributeAccessIssue]
    shard.partial = lambda function, *_, **__: white_renderer  # pyright: ignore[reportAttributeAccessIssue]
    # of this stage alone: what it makes of the networks is not there
    functions: dict[str, Callable[[], None]] = {
        "align": align.align, "crop": crop.crop, "denoise": denoise.denoise, "superres": superres.superres,
        "select": select.select, "shard": shard.shard,
    }  # fmt: skip
    functions["chunk"] = lambda: _read_chunk(table("denoise"))
    functions["compare"] = lambda: _compare(table("denoise"))
    functions["verify"] = lambda: _verify(table("shard").parent)
    before, started = _peak_mib(), time.monotonic()
    cpu = time.process_time()
    functions[stage]()
    seconds, own = time.monotonic() - started, time.process_time() - cpu
    return {
        "seconds": round(seconds, 2),
        "own_cpu_seconds": round(own, 2),
        "peak_mib": round(_peak_mib()),
        "mib_before": round(before),
    }


def _partial_without_params(function: Callable[..., Any], **values: Any) -> Any:
    return partial(function, **{name: value for name, value in values.items() if name not in ("params", "data")})


def _read_chunk(path: Path) -> None:
    start = manifest.account(path).kept // 2
    for _ in range(10):
        assert manifest.read_kept(path, Denoised, start, start + CHUNK)


def _compare(path: Path) -> None:
    assert compare.tables(path, path)["equal"]


def _verify(folder: Path) -> None:
    assert not [*verify_set.faults_of_set(folder)]
    with DataSet(folder) as data:
        assert len(items.read_items(data)) == len(data)


def _peak_mib() -> float:
    """Not that of getrusage, which starts from the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(rows: int, chosen: Sequence[str]) -> dict[str, dict[str, float]]:
    """The chosen stages on `rows` rows."""
    figures: dict[str, dict[str, float]] = {}
    here = Path.cwd()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chdir(name)
        os.environ["CELEBAHQ_QUIET"] = "1"
        shutil.copytree(ROOT / "manifests", "manifests")
        draw(rows)
        for network in ("fit_denoise", "fit_superres"):
            Path("data", network).mkdir()
            Path("data", network, "network.json").write_text("null")
        for stage in chosen:
            figures[stage] = in_new_process(run, stage, name)
            print(f"{rows:>9} rows  {stage:<10}{figures[stage]}", flush=True)
        os.chdir(here)
    return figures


STAGES = ("align", "crop", "denoise", "chunk", "superres", "select", "shard", "compare", "verify")


def main(counts: Sequence[int]) -> None:
    """Measure all stages at each number of rows, print and save."""
    found = {str(rows): measure(rows, STAGES) for rows in counts}
    save("tables", {"rows": found})


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [202_599, 1_000_000])
