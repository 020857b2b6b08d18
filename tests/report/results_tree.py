"""A small tree of results, as the stages leave it, made without running them."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import manifest, suspicions
from pipeline.container import writing_container
from pipeline.errors import DropReason
from pipeline.manifest import Drop, Photograph, Stored
from pipeline.suspicions import Suspicion

FILES = 12
NOT_IMAGES, TOO_SMALL = (3, 7), (1,)
SHOWN = (800, 1600, 2400, 3200)


def write_faces(root: Path) -> None:
    """Photographs with drops in two stages, a histogram, sheets, suspicions, a data set without its shards."""
    data = root / "data"
    rows: list[Photograph | Drop] = []
    with writing_container(data / "extract/extract-00000.tar", "extract/extract-00000.tar") as container:
        for index in range(FILES):
            name = f"{index + 1:06d}.jpg"
            if index in NOT_IMAGES:
                rows.append(_drop(index, DropReason.NOT_AN_IMAGE, "<script>alert(1)</script> & more"))
            else:
                rows.append(Photograph(index=index, file=name, photograph=container.add(name, jpeg(index))))
    manifest.write_rows(data / "extract/extract.parquet", Photograph, rows)
    kept = [row for row in rows if isinstance(row, Photograph)]
    aligned = [_drop(row.index, DropReason.TOO_SMALL, "16 pixels") if row.index in TOO_SMALL else row for row in kept]
    manifest.write_rows(data / "align/align.parquet", Photograph, aligned)
    suspicions.write(data / "align", [Suspicion("eyes are mirrored", 2, 9, ["000005.jpg", "000006.jpg"])])
    write_json(root / "reports/extract.json", _report(FILES, len(kept), {"not an image": 2}))
    write_json(root / "reports/align.json", _report(len(kept), len(kept) - 1, {"too small": 1}) | {"suspicions": 2})
    agreement = {"listed": 5, "quality": {"auc": 0.875, "overlap": 0.8}, "file_size": {"auc": 0.5, "overlap": 0.6}}
    write_json(root / "reports/select.json", _report(9, 6, {"below the quality cut": 3}) | {"agreement": agreement})
    (data / "select").mkdir()
    (data / "select/quality_histogram.csv").write_text("quality,kept,dropped\n0.31,0,3\n0.33,4,0\n0.35,2,0\n")
    write_json(root / "reports/shard.json", _report(6, 6, {}) | {"images": 6, "bytes": 123456, "shards": 1})
    write_json(data / "shard/record.json", record({"shard": {"codec": "gzip"}, "align.resolution": 64}))
    source = {"kind": "synthetic", "photographs": FILES}
    write_json(data / "download/record.json", record({"download": {"source": source}}))
    write_json(data / ".rates/align.json", {"items": 10, "memory": 3 * 10**8, "workers": 2, "seconds": 4.0})
    picture(data / "shard/samples.png", 64, 64)
    picture(data / "superres/before_after.png", 512, 1024)


def write_run(root: Path, name: str = "demo", dataset: str = "data/shard") -> None:
    """Curves at two resolutions, grids, metrics."""
    run, evaluation = root / "runs" / name, root / "evaluations" / name
    ticks = [
        (images, 4 if images <= 1600 else 8, 1.0 if images <= 1600 else max(0.0, 3 - images / 800)) for images in SHOWN
    ]
    curves = {
        "loss/discriminator": [-float(images) / 1000 for images in SHOWN],
        "loss/generator": [1.5, 2.5, 1.25, 0.5],
        "resolution": [side for _, side, _ in ticks],
        "lod": [lod for _, _, lod in ticks],
        "swd16": [90.0, 70.0, 60.0, 50.5],
    }
    for path, values in curves.items():
        target = run / "live/plots/metrics" / f"{path}.tsv"
        target.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{images}\t{value}" for images, value in zip(SHOWN, values, strict=True)]
        target.write_text("\n".join([f"step\t{Path(path).name}", *lines]) + "\n")
    for images in SHOWN:
        picture(run / f"grids/samples-{images:09d}.png", 64, 32, repeat=4)
    for side in (4, 8):
        picture(run / f"grids/reals-{side:04d}.png", 64, 32, repeat=4)
    options = {"dataset": dataset, "resolution": 8, "networks": {"fmap_base": 64}, "schedule": {"minibatch": 8}}
    write_json(run / "record.json", record({f"train.runs.{name}": {"seed": 1}}) | {"run": options})
    best = {"network": f"runs/{name}/network-000003200.safetensors", "swd16": 50.5}
    write_json(root / f"reports/train/{name}.json", {"images": 3200, "resolution": 8, "seconds": 7300.0, "best": best})
    metrics = {"kimg": 3.2, "resolution": 8, "swd16_8": 50.5, "swd16_mean": 50.5, "msssim8": 0.25}
    reals = {"swd16_8": 15.5, "swd16_mean": 15.5, "msssim8": 0.5, "images": 6, "images_used": 6}
    why = "not computed: evaluate.inception in params.yaml names no network"
    report = metrics | {"reals": reals, "inception": why, "seconds": 2.0}
    write_json(root / f"reports/evaluate/{name}.json", report)
    write_json(evaluation / "record.json", record({"evaluate": {"swd_images": 16, "msssim_pairs": 8}}))
    (evaluation / "swd.csv").write_text("kimg,resolution,swd16_8,swd16_mean\n1.6,4,70,70\n3.2,8,50.5,50.5\n")
    (evaluation / "msssim.csv").write_text("kimg,resolution,msssim8\n1.6,4,0.75\n3.2,8,0.25\n")


def write_category(root: Path, name: str = "bedroom") -> None:
    """A category with a dropped record whose number is that of a photograph."""
    stored = Stored(container="nowhere", offset=0, size=0, md5="")
    rows = [Photograph(index=0, file="a", photograph=stored), _drop(1, DropReason.UNDECODABLE, "no decoder")]
    manifest.write_rows(root / f"data/lsun/{name}/lsun.parquet", Photograph, rows)
    values = _report(2, 1, {"undecodable image": 1}) | {"images": 1, "bytes": 2000, "shards": 1}
    write_json(root / f"reports/lsun/{name}.json", values)
    picture(root / f"data/lsun/{name}/samples.png", 64, 64)


def record(params: dict[str, Any]) -> dict[str, Any]:
    """A record as every published folder has it."""
    libraries = {"numpy": "2.4.6", "python": "3.11.7"}
    return {"params": params, "inputs": {"data/x": "ab" * 32}, "recipe": 2, "code": "c" * 64, "digest": "d" * 64} | {
        "libraries": libraries
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def picture(path: Path, width: int, height: int, repeat: int = 1) -> None:
    """Noise, each pixel of which is repeated."""
    rng = np.random.default_rng(width + height)
    small_HWC = rng.integers(0, 250, (height // repeat, width // repeat, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small_HWC.repeat(repeat, 0).repeat(repeat, 1)).save(path)


def jpeg(seed: int, size: Sequence[int] = (60, 40)) -> bytes:
    """A photograph of a coloured area."""
    stream = io.BytesIO()
    Image.new("RGB", (size[0], size[1]), (20 * seed % 256, 100, 200)).save(stream, "jpeg")
    return stream.getvalue()


def _drop(index: int, reason: DropReason, detail: str) -> Drop:
    return Drop(index=index, file=f"{index + 1:06d}.jpg", reason=reason, detail=detail)


def _report(given: int, kept: int, dropped: dict[str, int]) -> dict[str, Any]:
    return {"given": given, "kept": kept, "dropped": dropped, "seconds": 1.5}
