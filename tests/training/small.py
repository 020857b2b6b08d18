"""A data set and a run so small that a test can train on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.params import TrainRun
from pipeline.shards.layout import Header
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from stages import read_params

ROOT = Path(__file__).parents[2]


def make_dataset(folder: Path, *, images: int = 24, resolution: int = 16, label_size: int = 0) -> Path:
    """Smooth coloured discs on a plain ground, in shards of 8; label = which third of the colours."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:resolution, :resolution] / resolution
    header = Header(resolution, "none", "0" * 64, "none", "none", "{}")
    for first in range(0, images, 8):
        count = min(8, images - first)
        with writing_shard(folder / f"shard-{first // 8:05d}.h5", header, count) as shard:
            for index in range(first, first + count):
                ground, disc, (cx, cy) = rng.random(3), rng.random(3), rng.uniform(0.4, 0.6, 2)
                inside = 1 / (1 + np.exp(40 * (np.hypot(x - cx, y - cy) - 0.3)))
                image = ground[:, None, None] + (disc - ground)[:, None, None] * inside
                label = np.eye(label_size, dtype=np.float32)[index % label_size] if label_size else None
                shard.add((image * 255).astype(np.uint8), index=index, file=f"{index}.png", labels=label)
    write_view(folder)
    return folder


def make_run(dataset: Path, **changes: Any) -> TrainRun:
    """The demo's run, smaller: 4 to 8 pixels in 480 images; `schedule__x` changes a value of a section."""
    run = read_params(ROOT / "profiles/demo.yaml").train.runs["demo"].model_dump()
    run |= {"dataset": dataset, "resolution": 8, "threads": 1, "snapshot_ticks": 2, "keep_snapshots": 4}
    run |= {"grid_columns": 4, "grid_rows": 2, "grid_cell_pixels": 16}
    run["snapshot_swd"] = {"images": 16, "patches_per_image": 8, "directions": 8}
    run["networks"] |= {"fmap_base": 64, "fmap_max": 8, "latent_size": 8}
    run["schedule"] |= {
        "train_kimg": 0.16,
        "fade_kimg": 0.16,
        "tick_kimg": 0.04,
        "tick_kimg_at": {},
        "total_kimg": 0.48,
    }
    run["schedule"] |= {"minibatch": 8, "minibatch_at": {}, "minibatch_repeats": 2, "devices": 1}
    run["schedule"] |= {"learning_rate": 0.001, "learning_rate_at": {}}
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        (run[section] if section else run)[key] = value
    return TrainRun.model_validate(run)


def run_of_today(options: dict[str, Any]) -> TrainRun:
    """A run by the params of an earlier version, with the values that were added since."""
    added = {"speed": {"float32_penalty": True, "compile": False}}
    options = {"loggers": ["dvclive"], "snapshot_fid": None, **options}
    return TrainRun.model_validate_json(
        json.dumps({key: {**added.get(key, {}), **value} if key in added else value for key, value in options.items()})
    )
