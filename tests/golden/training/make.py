"""Writes network files and checkpoints with the code at hand, and what they give, as `README.md` beside it says.

Usage: python -m tests.golden.training.make FOLDER
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import StoppedError
from pipeline.params import TrainRun
from pipeline.shards.layout import Header
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from tests.training.small import make_run
from training import checkpoint, generate
from training.checkpoint import FORMAT, NetworkInfo
from training.data.real_images import Reals
from training.loop import Reporter, train
from training.networks import Discriminator, Generator

CPU = torch.device("cpu")
STOP = 13
"""Steps before the stop: 208 images, in the middle of a tick and of a fade."""
SMALL = {"networks__fmap_base": 32, "networks__fmap_max": 4, "networks__latent_size": 4, "grid_columns": 2}
BASELINE = {
    "use_pixelnorm": False, "use_batchnorm": True, "use_layernorm": True, "use_leakyrelu": False, "use_tanh": True,
    "use_wscale": False, "normalize_latents": False, "mbstd_group_size": 0,
}  # fmt: skip
LSGAN = {"kind": "lsgan", "fake_weight": 3.0, "noise_gain": 0.2, "label_weight": 1.0}
KINDS: dict[str, tuple[int, float, dict[str, Any]]] = {
    "plain": (0, 0.0, {}),
    "fading": (0, 0.5, {}),
    "labels": (3, 0.0, {}),
    "labels_not_normalised": (3, 0.0, {"normalize_labels": False}),
    "mbstd_off": (0, 0.0, {"mbstd_group_size": 0}),
    "mbdisc": (0, 0.0, {"mbstd_group_size": 0, "mbdisc_kernels": 2, "mbdisc_kernel_size": 3}),
    "not_fused": (0, 0.0, {"fused_scale": False}),
    "narrow_discriminator": (0, 0.0, {"discriminator_fmap_scale": 0.5}),
    "baseline": (0, 0.0, BASELINE),
}
"""Label size, level of detail and options of each network file."""
RUNS: dict[str, dict[str, Any]] = {
    "wgan_labels": {"labels": True},
    "lsgan_baseline": {
        "loss": LSGAN, "optimizer__beta1": 0.5, "networks": BASELINE, "schedule__joint_steps": True,
        "schedule__learning_rate": 0.02,
    },
    "float16": {"speed__precision": "float16"},
}  # fmt: skip


def make_dataset(folder: Path) -> Path:
    """The data set of all runs: the images beside this file, with three labels."""
    images_NCHW = np.load(Path(__file__).with_name("images.npy"))
    header = Header(images_NCHW.shape[-1], "none", "0" * 64, "none", "none", "{}")
    with writing_shard(folder / "shard-00000.h5", header, len(images_NCHW)) as shard:
        for index, image_CHW in enumerate(images_NCHW):
            shard.add(image_CHW, index=index, file=f"{index}.png", labels=np.eye(3, dtype=np.float32)[index % 3])
    write_view(folder)
    return folder


def write_network(path: Path, run: TrainRun, label_size: int, lod: float) -> dict[str, Any]:
    """Write one network file; returns its images and scores for the latents of seed 1."""
    sizes = {"resolution": run.resolution, "channels": 3, "label_size": label_size}
    draw = torch.Generator().manual_seed(7)
    networks = {
        "G": Generator(run.networks, **sizes),
        "D": Discriminator(run.networks, **sizes),
        "Gs": Generator(run.networks, **sizes),
    }
    for network in networks.values():
        network.initialise(draw)
        for parameter in network.parameters():  # biases begin at zero
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)
    info = NetworkInfo.of_run(run, channels=3, label_size=label_size, images_shown=1234, lod=lod)
    checkpoint.write_network(path, info, {name: network.state_dict() for name, network in networks.items()})
    return results(path)


def results(path: Path) -> dict[str, Any]:
    """Four images of a network file, and the scores that its discriminator gives them."""
    snapshot = generate.load(path, CPU)
    info, networks = checkpoint.read_network(path, ["D"])
    sizes = {"resolution": info.full_resolution, "channels": info.channels, "label_size": info.label_size}
    discriminator = Discriminator(info.discriminator, **sizes)
    discriminator.load_state_dict(networks["D"])
    labels_NL = np.eye(info.label_size, dtype=np.float32)[[0, 1, 2, 0]] if info.label_size else None
    images_NCHW = snapshot.images(snapshot.latents(1, 4), labels_NL, 4)
    with torch.no_grad():
        scores = discriminator.eval()(torch.from_numpy(images_NCHW).float() / 127.5 - 1, info.lod)[0]
    return {
        "images_shown": info.images_shown,
        "lod": info.lod,
        "resolution": info.resolution,
        "images": images_NCHW.flatten().tolist(),
        "scores": [round(float(score), 6) for score in scores],
    }


def write_checkpoint(folder: Path, dataset: Path, changes: dict[str, Any]) -> list[dict[str, float]]:
    """Stop a run in the middle and keep its checkpoint; returns the figures of the uninterrupted run."""
    run = run_of(dataset, changes)
    with tempfile.TemporaryDirectory() as whole:
        history = train(run, Reals(DataSet(dataset), run), Path(whole), Reporter(), CPU)
    steps = iter(range(1, 1000))
    with tempfile.TemporaryDirectory() as stopped:
        try:
            stop = {"stop_requested": lambda: next(steps) == STOP}
            train(run, Reals(DataSet(dataset), run), Path(stopped), Reporter(), CPU, **stop)
        except StoppedError:
            newest = max(Path(stopped).glob("checkpoint-*.json"))
        for name in (newest.name, *json.loads(newest.read_text())["files"]):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((Path(stopped) / name).read_bytes())
    return history.rows


def run_of(dataset: Path, changes: dict[str, Any]) -> TrainRun:
    """A tiny run; `networks` of `changes` are merged with its own."""
    own = {key: value for key, value in changes.items() if key != "networks"}
    options = {f"networks__{key}": value for key, value in changes.get("networks", {}).items()}
    return make_run(dataset, **{**SMALL, "snapshot_swd": None, "alarms": None, **own, **options})


def main(folder: Path) -> None:
    """Write everything below `folder`."""
    with tempfile.TemporaryDirectory() as place:
        dataset = make_dataset(Path(place) / "data")
        expected: dict[str, Any] = {"networks": {}, "runs": {}, "figures": {}}
        for name, (label_size, lod, options) in KINDS.items():
            run = run_of(Path("data"), {"networks": options, "labels": label_size > 0})
            path = folder / "networks" / f"{name}.safetensors"
            expected["networks"][name] = write_network(path, run, label_size, lod)
        for name, changes in RUNS.items():
            expected["runs"][name] = run_of(Path("data"), changes).model_dump(mode="json")
            expected["figures"][name] = write_checkpoint(folder / name, dataset, changes)
    expected["format"] = FORMAT
    (folder / "expected.json").write_text(json.dumps(expected, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
