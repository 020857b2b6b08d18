"""Every run that a profile offers: its networks can be built at full size, and it trains."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from benchmarks.presets import reduced, tried
from pipeline.params import TrainRun, WganLoss
from stages import profiles
from training import schedule
from training.networks import Discriminator, Generator

CELEBA = "celeba-128-{}"
LADDER = ["a", "b", "c", "d", "e-star", "e", "f", "g", "h"]


def _runs() -> dict[str, TrainRun]:
    read = {name: profiles.read_profile(name).train.runs for name in profiles.names()}
    return {f"{name}/{run}": value for name, runs in read.items() for run, value in runs.items()}


RUNS = _runs()


def _preset(profile: str) -> TrainRun:
    (run,) = profiles.read_profile(profile).train.runs.values()
    return run


@pytest.mark.parametrize("name", RUNS)
def test_its_networks_take_one_minibatch_of_every_resolution(name: str) -> None:
    """On torch's meta device, which knows shapes and keeps no numbers."""
    run = RUNS[name]
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


@pytest.mark.parametrize("name", RUNS)
def test_it_trains_three_steps(name: str, tmp_path: Path) -> None:
    small, _ = reduced(RUNS[name], steps=3, maps=32, minibatch=2)
    row = tried(small, tmp_path)
    assert row["images"] >= 3 * small.schedule.discriminator_repeats * small.schedule.minibatch
    assert row["skipped_updates"] == 0


def test_a_reduced_run_grows_through_three_resolutions() -> None:
    small, factor = reduced(_preset("v2-8gpu"), steps=200, maps=64, minibatch=8)
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
    baseline = runs[0]
    assert (baseline["schedule"]["minibatch"], baseline["schedule"]["discriminator_repeats"]) == (64, 5)
    assert baseline["schedule"]["initial_resolution"] == baseline["resolution"] == 128


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
    assert [rate for _, rate in rows[8]][-4:] == [0.0015, 0.002, 0.003, 0.003]


def test_cifar_is_trained_as_in_the_paper() -> None:
    run = _preset("cifar10")
    assert isinstance(run.loss, WganLoss)
    assert (run.loss.wgan_target, run.schedule.joint_steps) == (750, True)
    assert (run.networks.fmap_base, run.networks.fmap_max, run.networks.latent_size) == (4096, 128, 128)
