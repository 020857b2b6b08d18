"""A data set and a run so small that a test can train on them."""

import copy
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.params import TrainRun
from pipeline.shards.layout import Header
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from stages import read_params
from training import checkpoint
from training.checkpoint import NetworkInfo
from training.networks import Generator

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
    run = copy.deepcopy(_demo_run())
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


@cache
def _demo_run() -> dict[str, Any]:
    return read_params(ROOT / "profiles/demo.yaml").train.runs["demo"].model_dump()


def make_network(folder: Path, *, lod: float, images_shown: int = 480, **changes: Any) -> Path:
    """A network file of up to 32 pixels with random weights, other ones in G than in Gs; labels by `label_size`."""
    label_size = changes.pop("label_size", 0)
    run = make_run(Path("data/shard"), resolution=32, grid_cell_pixels=32, **changes)
    info = NetworkInfo.of_run(run, channels=3, label_size=label_size, images_shown=images_shown, lod=lod)
    networks: dict[str, Any] = {}
    for seed, name in enumerate(("Gs", "G")):
        network = Generator(run.networks, resolution=32, channels=3, label_size=label_size)
        network.initialise(torch.Generator().manual_seed(seed))
        networks[name] = network.state_dict()
    path = checkpoint.network_path(folder, images_shown)
    checkpoint.write_network(path, info, networks)
    return path


def make_published_run(root: Path, lods: dict[int, float], *, best: int, options: Mapping[str, Any]) -> Path:
    """The folder `runs/small` with networks of two labels, by images shown, and the record of a finished run."""
    folder = root / "runs/small"
    for images_shown, lod in lods.items():
        make_network(folder, lod=lod, images_shown=images_shown, label_size=2)
    stated = {"network": f"runs/small/{checkpoint.network_path(folder, best).name}", "swd256": 4.5}
    (folder / "record.json").write_text(json.dumps({"run": options, "report": {"best": stated}}))
    return folder


def run_of_today(options: dict[str, Any]) -> TrainRun:
    """A run by the params of an earlier version, with the values that were added since."""
    added = {"speed": {"float32_penalty": True, "compile": False}, "schedule": {"discriminator_rates": None}}
    added_at_top = {"start": None, "loggers": ["dvclive"], "snapshot_fid": None}
    sections = {key: {**values, **options[key]} for key, values in added.items()}
    return TrainRun.model_validate_json(json.dumps({**added_at_top, **options, **sections}))
