"""Updates as CUDA graphs; tests that need a GPU are skipped without one."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pipeline.shards.reader import DataSet
from tests.training.runtime.test_preflight import Sizes
from tests.training.small import make_dataset, make_run
from training import schedule
from training.data.real_images import Reals
from training.losses import GeneratorBatch
from training.networks.progressive import FadeLod
from training.runtime import preflight
from training.runtime.cuda_graphs import WARM_UP_CALLS, Capture, GraphedUpdate
from training.runtime.device import prepare
from training.trainer import Trainer, make_networks


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Stream", "current_stream", "graph_pool_handle", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: nullcontext())


def test_a_replay_reads_the_tensors_of_its_call_and_other_values_are_captured_anew(
    fake_cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a fake of CUDA graphs that computes again at every replay."""

    def function(batches: tuple[GeneratorBatch, ...], lod: FadeLod | float) -> dict[str, Tensor]:
        assert all(batch.labels_NC is None for batch in batches)
        alpha = lod[1] if isinstance(lod, FadeLod) else lod
        return {"sum": sum((batch.latents_NL.sum() for batch in batches), torch.zeros(())) + alpha}

    class FakeGraph:
        def replay(self) -> None:
            args = pytree.tree_unflatten(update._inputs, update._key[0])
            update._results["sum"].copy_(function(*args)["sum"])

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    update = GraphedUpdate(function, Capture())
    captured = []
    for lod in ("fade", 0.0, 1.0):
        for number in range(WARM_UP_CALLS + 3):
            batch = GeneratorBatch(torch.full((2, 3), float(number)), None)
            value = 0.25 * number if lod == "fade" else lod
            found = update((batch, batch), FadeLod(1, torch.tensor(value)) if lod == "fade" else value)
            assert float(found["sum"]) == 12 * number + value
        captured.append(update._graph)
    assert len(set(captured)) == 3
    assert update._inputs[0].shape == (2, 3)
    update.reset()
    assert update._graph is None


def test_a_function_that_cannot_be_captured_is_called_as_it_is(
    fake_cuda: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    update = GraphedUpdate(lambda x: x + 1, Capture())
    assert [float(update(torch.tensor(float(n)))) for n in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert caplog.messages == ["not captured as a CUDA graph: operation not permitted when stream is capturing"]


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


@pytest.mark.gpu
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


@pytest.mark.gpu
def test_the_memory_of_the_largest_step_is_measured() -> None:
    loads = preflight.check(make_run(Path("unread"), speed__graphs_up_to=8), Sizes(0), torch.device("cuda"))
    assert [load.resolution for load in loads] == [8, 4]
    assert all(load.mib > 0 for load in loads)
