"""Updates as CUDA graphs; tests that need a GPU are skipped without one."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils import _pytree as pytree

from benchmarks.drawn_images import DrawnImages
from pipeline.shards.reader import DataSet
from tests.training.runtime.test_preflight import Sizes
from tests.training.small import make_dataset, make_run
from training import schedule
from training.data.real_images import Reals
from training.distributed.process_group import ProcessGroup
from training.losses import GeneratorBatch
from training.networks.progressive import FadeLod
from training.runtime import preflight
from training.runtime.cuda_graphs import WARM_UP_CALLS, Capture, GraphedUpdate, graphs_up_to
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


@pytest.fixture
def fake_exchange() -> Iterator[None]:
    """This process is the second of two; the other does not exist, and gradients stay as they are."""
    torch.distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("changes", [{}, {"schedule__joint_steps": True, "speed__precision": "float16"}])
def test_an_update_of_one_of_several_processes_waits_for_nothing(
    changes: dict[str, Any], fake_exchange: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be captured: tensors on "meta" have no values, and whatever waits for one raises an error."""
    run, meta = make_run(Path("unread"), speed__samples_at_once={8: 4}, **changes), torch.device("meta")
    exchanged: list[torch.device] = []
    reduce = torch.distributed.all_reduce
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda x, op: (exchanged.append(x.device), reduce(x, op)))
    images: Any = DrawnImages(8, 8)
    trainer = Trainer(run, Reals(images, run), meta, ProcessGroup(1, 2))
    for step in preflight.steps(run):
        trainer.update(step)
    assert exchanged == [meta] * 4, "the gradients of D and of G, in two steps"
    with pytest.raises(RuntimeError, match="meta"):
        trainer.take_figures()


def test_several_gpus_capture_too_and_may_be_watched(monkeypatch: pytest.MonkeyPatch, fake_cuda: None) -> None:
    run = make_run(Path("unread"), speed__graphs_up_to=8)
    assert graphs_up_to(run, torch.device("cuda")) == 8
    assert graphs_up_to(run, torch.device("cpu")) == 0
    modes: list[str] = []
    monkeypatch.setattr(
        torch.cuda, "graph", lambda *_, capture_error_mode, **__: modes.append(capture_error_mode) or nullcontext()
    )
    for group in (ProcessGroup(0, 1), ProcessGroup(0, 2)):
        update = GraphedUpdate(lambda x: x + 1, Capture(group))
        for number in range(WARM_UP_CALLS + 1):
            update(torch.tensor(float(number)))
    assert modes == ["global", "thread_local"]


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
def test_the_exchange_of_several_processes_is_replayed(tmp_path: Path) -> None:
    """By NCCL, of a group of this process alone: the mean over two is half of its own values."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("nccl", rank=0, world_size=1, store=store)
    try:
        group = ProcessGroup(0, 2)
        update = GraphedUpdate(lambda x: group.mean([x + 1, None]), Capture(group))
        for number in range(WARM_UP_CALLS + 3):
            found, nothing = update(torch.full((4,), float(number), device="cuda"))
            assert found.tolist() == [(number + 1) / 2] * 4
            assert nothing is None
        assert update._graph is not None
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.gpu
def test_the_memory_of_the_largest_step_is_measured() -> None:
    loads = preflight.check(make_run(Path("unread"), speed__graphs_up_to=8), Sizes(0), torch.device("cuda"))
    assert [load.resolution for load in loads] == [8, 4]
    assert all(load.mib > 0 for load in loads)
