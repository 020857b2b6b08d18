"""Compiled gradients against eager ones: the traced graph on a CPU, Inductor's kernels on a GPU."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import schedule, trainer
from training.data.real_images import Reals
from training.runtime.compiled import OPTIONS, CompiledFunction, compiles
from training.runtime.device import prepare
from training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """Runs traced graphs as they are, without Inductor; returns them."""
    graphs: list[torch.fx.GraphModule] = []
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graphs.append(graph) or graph)
    return graphs


def trained(dataset: Path, device: torch.device, **changes: Any) -> tuple[Trainer, dict[str, float]]:
    """A trainer after the steps of two resolutions and the fade between them, and its figures."""
    run = make_run(dataset, **changes)
    prepare(run, device)
    found = Trainer(run, Reals(DataSet(dataset), run), device)
    found.initialise()
    for images_shown in (0, 8, 200, 208, 400):
        found.images_shown = images_shown
        found.update(schedule.at(run.schedule, run.resolution, images_shown))
    return found, found.take_figures()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("changes", [{}, {"schedule__joint_steps": True, "labels": True}])
def test_traced_gradients_are_the_eager_ones(
    tmp_path: Path, changes: dict[str, Any], uncompiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(tmp_path, label_size=3)
    eager, expected = trained(dataset, CPU, **changes)
    monkeypatch.setattr(trainer, "compiles", lambda *_: True)
    traced, found = trained(dataset, CPU, **changes)
    assert len(uncompiled) == 6, "D and G at 4x4, in the fade, and at 8x8"
    assert found == pytest.approx(expected, rel=1e-5)
    for name, network in eager.networks().items():
        for key, value in network.items():
            torch.testing.assert_close(traced.networks()[name][key], value, msg=f"{name} {key}")


def test_wrong_or_failing_code_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    layer, x = nn.Linear(3, 1), torch.ones(2, 3)

    def gradients(x: torch.Tensor) -> Any:
        return torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))

    def wrong(graph: torch.fx.GraphModule, **_: Any) -> Any:
        return lambda *args: [2 * result for result in graph(*args)]

    def fails(_: torch.fx.GraphModule, **__: Any) -> Any:
        raise RuntimeError("no C++ compiler\nand much more")

    expected = gradients(x)
    for compiler, message in ((wrong, "differ from the eager ones by 1 of their norm"), (fails, "no C++ compiler")):
        monkeypatch.setattr(torch, "compile", compiler)
        function = CompiledFunction(gradients, [layer], layer, tolerance=0.1)
        caplog.clear()
        for _ in range(3):
            assert all(torch.equal(a, b) for a, b in zip(function(x), expected, strict=True))
        (found,) = warnings(caplog)
        assert message in found and "more" not in found


def test_what_compiles() -> None:
    cuda, fast = torch.device("cuda"), {"speed__compile": True, "deterministic": False}
    assert compiles(make_run(Path("x"), **fast), cuda)
    assert not compiles(make_run(Path("x"), **fast), CPU)
    for slower in ({"speed__compile": False}, {"deterministic": True}, {"speed__precision": "float16"}):
        assert not compiles(make_run(Path("x"), **(fast | slower)), cuda)


@pytest.mark.gpu
def test_compiled_steps_on_a_gpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset, cuda, found = make_dataset(tmp_path), torch.device("cuda"), list[dict[str, float]]()
    for fast in (False, True):
        run = make_run(
            dataset, deterministic=False, speed__compile=fast, speed__graphs_up_to=8 * fast, speed__precision="bfloat16"
        )
        prepare(run, cuda)
        trainer = Trainer(run, Reals(DataSet(dataset), run), cuda)
        trainer.initialise()
        trainer.images_shown = 400
        for _ in range(6):  # the fourth is captured
            trainer.update(schedule.at(run.schedule, run.resolution, 400))
        found.append(trainer.take_figures())
    assert found[1] == pytest.approx(found[0], rel=0.03)
    assert not warnings(caplog)


def test_inductor_knows_the_options() -> None:
    assert set(OPTIONS) <= set(torch._inductor.list_options())
