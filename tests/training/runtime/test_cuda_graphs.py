"""Updates as CUDA graphs; tests that need a GPU are skipped without one."""

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
from training.runtime.cuda_graphs import WARM_UP_CALLS, GraphedUpdate
from training.runtime.device import prepare
from training.trainer import Trainer, make_networks

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_without_capture_every_call_is_eager() -> None:
    calls: list[tuple[str, float]] = []

    def function(key: str, x: Tensor) -> list[Tensor]:
        calls.append((key, float(x)))
        return [x * 2]

    update = GraphedUpdate(function)
    for number in range(2 * WARM_UP_CALLS):
        assert update(False, "a", torch.tensor(float(number)))[0] == 2 * number
    assert calls == [("a", float(number)) for number in range(2 * WARM_UP_CALLS)]


@pytest.mark.parametrize("lod", [0.25, 0.75])
def test_a_fade_with_alpha_on_the_device_equals_that_of_a_number(lod: float) -> None:
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
def test_a_run_with_cuda_graphs_is_the_eager_one(tmp_path: Path, joint: bool, precision: str) -> None:
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
    eager, graphed = found
    for name, network in eager.networks().items():
        for key, value in network.items():
            assert torch.equal(graphed.networks()[name][key], value), f"{name} {key}"
    assert graphed.take_figures() == eager.take_figures()


@gpu
def test_the_memory_of_the_largest_step_is_measured() -> None:
    loads = preflight.check(make_run(Path("unread"), speed__graphs_up_to=8), Sizes(0), torch.device("cuda"))
    assert [load.resolution for load in loads] == [8, 4]
    assert all(load.mib > 0 for load in loads)
