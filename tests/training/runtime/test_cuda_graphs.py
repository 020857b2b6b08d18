"""Recorded steps; what needs a GPU skips without one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.shards.reader import DataSet
from tests.training.runtime.test_preflight import Sizes
from tests.training.small import make_dataset, make_run
from training import schedule
from training.data.real_images import Reals
from training.networks.progressive import FadeLod
from training.runtime import preflight
from training.runtime.cuda_graphs import FIRST_CALLS, Recorder
from training.runtime.device import prepare
from training.trainer import Trainer, make_networks

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_without_recording_every_call_is_the_functions() -> None:
    calls: list[tuple[str, float]] = []

    def function(key: str, x: Tensor) -> list[Tensor]:
        calls.append((key, float(x)))
        return [x * 2]

    recorder = Recorder(function, records=False)
    for number in range(2 * FIRST_CALLS):
        assert recorder("a", torch.tensor(float(number)))[0] == 2 * number
    assert calls == [("a", float(number)) for number in range(2 * FIRST_CALLS)]


@pytest.mark.parametrize("lod", [0.25, 0.75])
def test_a_fade_on_the_device_is_that_of_a_number(lod: float) -> None:
    generator, discriminator, _ = make_networks(make_run(Path("unread")), 0, torch.device("cpu"))
    for network in (generator, discriminator):
        network.initialise(torch.Generator().manual_seed(1))
    latents_NL = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    fade = FadeLod(0, torch.tensor(lod))
    images_NCHW = generator(latents_NL, None, lod)
    assert torch.equal(generator(latents_NL, None, fade), images_NCHW)
    assert torch.equal(discriminator(images_NCHW, fade)[0], discriminator(images_NCHW, lod)[0])
    assert torch.equal(generator(latents_NL, None, FadeLod(0, torch.tensor(0.0))), generator(latents_NL, None, 0.0))


@gpu
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_recorded_run_is_the_plain_one(tmp_path: Path, joint: bool, precision: str) -> None:
    dataset, found = make_dataset(tmp_path), list[Trainer]()
    for limit in (0, 8):
        run = make_run(dataset, schedule__joint_steps=joint, speed__graphs_up_to=limit, speed__precision=precision)
        run = run.model_copy(update={"deterministic": True})
        prepare(run, torch.device("cuda"))
        trainer = Trainer(run, Reals(DataSet(dataset), run), torch.device("cuda"))
        trainer.initialise()
        previous = None
        for _ in range(60):
            step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
            if schedule.resets(previous, step.lod):
                trainer.reset_optimizers()
            previous = step.lod
            trainer.update(step)
        found.append(trainer)
    plain, recorded = found
    for name, network in plain.networks().items():
        for key, value in network.items():
            assert torch.equal(recorded.networks()[name][key], value), f"{name} {key}"
    assert recorded.take_figures() == plain.take_figures()


@gpu
def test_the_memory_of_the_largest_step_is_measured() -> None:
    loads = preflight.check(make_run(Path("unread"), speed__graphs_up_to=8), Sizes(0), torch.device("cuda"))
    assert [load.resolution for load in loads] == [8, 4]
    assert all(load.mib > 0 for load in loads)
