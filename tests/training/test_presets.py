"""The run that each profile offers: its networks can be built at full size, and it trains.

`CELEBAHQ_PRESET_STEPS=200 pytest tests/training/test_presets.py` trains each run for 200 steps (minutes).
"""

import math
import os
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.drawn_images import DrawnImages
from pipeline.params import Params, TrainRun, WganLoss
from stages import parse_params, profiles
from training import schedule
from training.data.real_images import Reals
from training.loop import Reporter, train
from training.networks import Discriminator, Generator

STEPS = int(os.environ.get("CELEBAHQ_PRESET_STEPS", "3"))
CELEBA = "celeba-128-{}"
PUBLISHED: list[tuple[str, str, dict[str, Any]]] = [
    (
        "a", "networks",
        {
            "use_batchnorm": True, "use_layernorm": True, "use_leakyrelu": False, "use_tanh": True, "latent_size": 128,
            "normalize_latents": False, "use_wscale": False, "use_pixelnorm": False, "mbstd_group_size": 0,
            "mbdisc_kernels": 0, "fmap_base": 2048, "fmap_max": 512,
        },
    ),
    (
        "a", "schedule",
        {
            "initial_resolution": 128, "minibatch": 64, "discriminator_repeats": 5, "learning_rate": 1e-4,
            "train_kimg": 800, "fade_kimg": 800, "total_kimg": 10000,
        },
    ),
    ("a", "optimizer", {"beta1": 0.0, "beta2": 0.9}),
    ("a", "loss", {"kind": "wgan-gp", "wgan_lambda": 10.0, "wgan_target": 1.0, "wgan_epsilon": 0.0}),
    ("b", "schedule", {"initial_resolution": 4}),
    ("c", "schedule", {"minibatch": 16}),
    (
        "d", "networks",
        {
            "use_batchnorm": False, "use_layernorm": False, "use_leakyrelu": True, "use_tanh": False,
            "latent_size": 512, "normalize_latents": True,
        },
    ),
    ("d", "schedule", {"discriminator_repeats": 1}),
    ("d", "optimizer", {"beta2": 0.99}),
    ("d", "loss", {"wgan_epsilon": 0.001}),
    ("e-star", "networks", {"mbdisc_kernels": 100, "mbdisc_kernel_size": 5}),
    ("e", "networks", {"mbdisc_kernels": 0, "mbstd_group_size": 16}),
    ("f", "networks", {"use_wscale": True}),
    ("f", "schedule", {"learning_rate": 1e-3}),
    ("g", "networks", {"use_pixelnorm": True}),
    ("h", "networks", {"fmap_base": 8192}),
]  # fmt: skip
"""Table 1 of Karras et al. 2018: what each step has, and all that follow until one says otherwise."""
LADDER = ["a", "b", "c", "d", "e-star", "e", "f", "g", "h"]


MERGED: dict[str, str] = {}


@cache
def _read(profile: str) -> Params:
    """The profile; each base of several profiles is merged once."""
    return parse_params(profiles.content_of(profile, known=MERGED), Path(profile))


def _preset(profile: str) -> TrainRun:
    (run,) = _read(profile).train.runs.values()
    return run


def _reduced(run: TrainRun, *, steps: int, maps: int, minibatch: int, highest: int = 1024) -> tuple[TrainRun, int]:
    """A run of `steps` updates of G through three resolutions, and the factor by which its feature maps are divided.

    Networks that grow have at most the resolution `highest`.
    """
    factor = max(1, run.networks.fmap_max // maps)
    values: dict[str, Any] = run.model_dump()
    values["networks"] |= {
        "fmap_base": max(1, run.networks.fmap_base // factor),
        "fmap_max": max(1, run.networks.fmap_max // factor),
        "latent_size": max(1, run.networks.latent_size // factor),
    }
    schedule = values["schedule"]
    at = {side: min(minibatch, count) for side, count in run.schedule.minibatch_at.items()}
    per_step = min(minibatch, max(at.get(run.schedule.initial_resolution, run.schedule.minibatch), 1))
    total_kimg = steps * run.schedule.discriminator_repeats * per_step / 1000
    schedule |= {
        "devices": 1,
        "minibatch": min(minibatch, run.schedule.minibatch),
        "minibatch_at": at,
        "train_kimg": total_kimg / 5,
        "fade_kimg": total_kimg / 5,
        "total_kimg": total_kimg,
        "tick_kimg": total_kimg / 5,
        "tick_kimg_at": {},
        "minibatch_repeats": math.gcd(steps, run.schedule.minibatch_repeats),
    }
    values |= {"threads": 1, "snapshot_ticks": 1000, "grid_columns": 2, "grid_rows": 1}
    if run.schedule.initial_resolution < highest:
        values["resolution"] = min(run.resolution, highest)
    values["grid_cell_pixels"] = values["resolution"]
    if values["snapshot_swd"]:
        values["snapshot_swd"] = {"images": 2 * minibatch, "patches_per_image": 8, "directions": 8}
    return TrainRun.model_validate(values), factor


@pytest.mark.parametrize("profile", profiles.names())
def test_its_networks_take_one_minibatch_of_every_resolution(profile: str) -> None:
    """On torch's meta device, which knows shapes and keeps no numbers."""
    run = _preset(profile)
    sizes = {"resolution": run.resolution, "channels": 3, "label_size": 0}
    with torch.device("meta"):
        generator, discriminator = Generator(run.networks, **sizes), Discriminator(run.networks, **sizes)
        resolution = run.schedule.initial_resolution
        while resolution <= run.resolution:
            lod = float((run.resolution // resolution).bit_length() - 1)
            count = run.schedule.minibatch_at.get(resolution, run.schedule.minibatch) // run.schedule.devices
            images = generator(torch.empty(count, run.networks.latent_size), None, lod)
            assert images.shape == (count, 3, resolution, resolution)
            assert discriminator(images, lod)[0].shape == (count,)
            resolution *= 2


@pytest.mark.parametrize("profile", profiles.names())
def test_it_trains_with_finite_losses(profile: str, tmp_path: Path) -> None:
    size = {"maps": 32, "minibatch": 2, "highest": 32} if STEPS < 10 else {"maps": 64, "minibatch": 8}
    small, _ = _reduced(_preset(profile), steps=STEPS, **size)
    drawn: Any = DrawnImages(small.resolution, 1000)
    row = train(small, Reals(drawn, small), tmp_path, Reporter(), torch.device("cpu")).rows[-1]
    assert row["images"] >= STEPS * small.schedule.discriminator_repeats * small.schedule.minibatch
    assert row["skipped_updates"] == 0


def test_a_reduced_run_grows_through_three_resolutions() -> None:
    small, factor = _reduced(_preset("v2-8gpu"), steps=200, maps=64, minibatch=8)
    assert factor == 8
    assert (small.networks.fmap_base, small.networks.fmap_max, small.networks.latent_size) == (1024, 64, 64)
    shown = [int(part * small.schedule.total_kimg * 1000 / 10) for part in range(10)]
    found = [schedule.at(small.schedule, small.resolution, images).resolution for images in shown]
    assert sorted(set(found)) == [4, 8, 16]


def test_each_step_of_the_ladder_changes_what_it_says() -> None:
    runs = [_preset(CELEBA.format(step)).model_dump(exclude={"dataset"}) for step in LADDER]
    changed = [
        {
            f"{section}.{key}"
            for section in ("networks", "loss", "schedule", "optimizer")
            for key in before[section]
            if before[section][key] != after[section][key]
        }
        for before, after in pairwise(runs)
    ]
    assert changed == [
        {"schedule.initial_resolution"},
        {"schedule.minibatch"},
        {
            "networks.latent_size", "networks.normalize_latents", "networks.use_batchnorm", "networks.use_layernorm",
            "networks.use_leakyrelu", "networks.use_tanh", "loss.wgan_epsilon", "schedule.discriminator_repeats",
            "optimizer.beta2",
        },
        {"networks.mbdisc_kernels"},
        {"networks.mbdisc_kernels", "networks.mbstd_group_size"},
        {"networks.use_wscale", "schedule.learning_rate"},
        {"networks.use_pixelnorm"},
        {"networks.fmap_base", "schedule.total_kimg"},
    ]  # fmt: skip
    steps = dict(zip(LADDER, runs, strict=True))
    for step, section, values in PUBLISHED:
        assert {key: steps[step][section][key] for key in values} == values, f"{step}: {section}"
    assert {run["resolution"] for run in runs} == {128}


def test_the_schedules_for_more_devices_are_the_published_ones() -> None:
    rows: dict[int, list[tuple[int, float]]] = {}
    for devices in (1, 2, 4, 8):
        run = _preset(f"v2-{devices}gpu")
        assert run.schedule.devices == devices
        assert (run.schedule.train_kimg, run.schedule.fade_kimg, run.schedule.total_kimg) == (600, 600, 12000)
        starts = [1000 * 1200 * phase for phase in range(9)]
        steps = [schedule.at(run.schedule, 1024, images) for images in starts]
        rows[devices] = [(step.minibatch, step.learning_rate) for step in steps]
    assert [count for count, _ in rows[1]] == [128, 128, 128, 64, 32, 16, 8, 4, 4]
    assert [count for count, _ in rows[2]] == [256, 256, 128, 64, 32, 16, 8, 8, 8]
    assert [count for count, _ in rows[4]] == [512, 256, 128, 64, 32, 16, 16, 16, 16]
    assert [count for count, _ in rows[8]] == [512, 256, 128, 64, 32, 32, 32, 32, 32]
    assert [rate for _, rate in rows[1]][-2:] == [0.001, 0.0015]
    assert [rate for _, rate in rows[2]][-3:] == [0.001, 0.0015, 0.002]
    assert [rate for _, rate in rows[4]][-4:] == [0.001, 0.0015, 0.002, 0.003]
    assert [rate for _, rate in rows[8]][-5:] == [0.001, 0.0015, 0.002, 0.003, 0.003]


@pytest.mark.parametrize(("profile", "phase", "total"), [("v1-1gpu", 800, 19000), ("lsun-256", 800, 20000)])
def test_the_papers_schedules_have_few_images_at_once(profile: str, phase: int, total: int) -> None:
    run = _preset(profile)
    assert (run.schedule.train_kimg, run.schedule.fade_kimg, run.schedule.total_kimg) == (phase, phase, total)
    phases = run.resolution.bit_length() - 2
    steps = [schedule.at(run.schedule, run.resolution, 1000 * 2 * phase * number) for number in range(phases)]
    assert [step.minibatch for step in steps] == [16, 16, 16, 16, 16, 16, 14, 6, 3][:phases]
    assert {step.learning_rate for step in steps} == {0.001}
    assert run.networks.mbstd_group_size == 16


@pytest.mark.parametrize(("profile", "scale"), [("mnist-1k-k2", 0.5), ("mnist-1k-k4", 0.25)])
def test_discrete_modes_are_counted_with_small_discriminators(profile: str, scale: float) -> None:
    run, modes = _preset(profile), _read(profile).evaluate.modes
    assert (run.resolution, run.networks.discriminator_fmap_scale) == (32, scale)
    assert modes is not None
    assert modes.samples == 25600


def test_cifar_is_trained_as_in_the_paper() -> None:
    run = _preset("cifar10")
    assert isinstance(run.loss, WganLoss)
    assert (run.loss.wgan_target, run.schedule.joint_steps) == (750, True)
    assert (run.schedule.train_kimg, run.schedule.fade_kimg, run.schedule.total_kimg) == (400, 400, 20000)
    assert (run.networks.fmap_base, run.networks.fmap_max, run.networks.latent_size) == (4096, 128, 128)
