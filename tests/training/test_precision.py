"""Shorter types in the convolutions: what stays float32, how far the losses move, and the scale of float16."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import schedule, trainer
from training.data.real_images import Reals
from training.losses import DiscriminatorBatch, discriminator_loss
from training.networks import layers
from training.ops import activations, conv2d
from training.optim.loss_scale import BACKOFF, GROWTH, INITIAL_LOG2, LossScale
from training.runtime import device
from training.train_step import OptimizedNetwork
from training.trainer import Trainer, make_networks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(autouse=True)
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every processor computes in bfloat16, if slowly."""
    monkeypatch.setattr(trainer, "has_bfloat16", lambda _: True)


def run_at(dataset: Path, precision: str, **changes: Any) -> TrainRun:
    return make_run(dataset, speed__precision=precision, **changes)


def trained(run: TrainRun, steps: int, images_shown: int = 0) -> tuple[Trainer, dict[str, float]]:
    trainer = Trainer(run, Reals(DataSet(run.dataset), run), CPU)
    trainer.initialise()
    trainer.images_shown = images_shown
    for _ in range(steps):
        trainer.update(schedule.at(run.schedule, run.resolution, trainer.images_shown))
    return trainer, trainer.take_figures()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("images_shown", [0, 240])
def test_losses_are_close_to_those_of_float32(dataset: Path, precision: str, images_shown: int) -> None:
    _, expected = trained(run_at(dataset, "float32"), 2, images_shown)
    trainer, found = trained(run_at(dataset, precision), 2, images_shown)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.03, abs=0.03), name
    assert found != expected
    assert found["skipped_updates"] == 0
    assert all(value.dtype == torch.float32 for of in trainer.networks().values() for value in of.values())


def test_a_processor_without_bfloat16_computes_in_float32(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (trainer, device):
        monkeypatch.setattr(module, "has_bfloat16", lambda where: where.type == "cuda")
    run = run_at(dataset, "bfloat16")
    assert [network.compute_dtype for network in make_networks(run, 0, CPU)] == [None] * 3
    device.prepare(run, CPU)
    device.prepare(run_at(dataset, "float32"), CPU)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["precision bfloat16"]


@pytest.mark.parametrize(("machine", "supported", "expected"), [("x86_64", 0, 0), ("x86_64", 1, 1), ("aarch64", 0, 1)])
def test_an_x86_processor_is_asked_for_instructions(
    machine: str, supported: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(supported))
    assert device.has_bfloat16(CPU) == bool(expected)
    assert device.has_bfloat16(torch.device("meta"))


def test_3x3_convolutions_outside_the_penalty_are_computed_in_the_short_type(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_at(dataset, "bfloat16")
    generator, discriminator, average = make_networks(run, 0, CPU)
    for network in (generator, discriminator, average):
        network.initialise(torch.Generator().manual_seed(1))
    seen: list[tuple[str, torch.dtype]] = []

    def spy(name: str, how: Any) -> Any:
        def spied(x: Tensor, weight: Tensor, *more: Any, **named: Any) -> Tensor:
            seen.append((f"{name} {weight.shape[-1]}", x.dtype))
            assert x.dtype == weight.dtype
            return how(x, weight, *more, **named)

        return spied

    monkeypatch.setattr(layers, "conv2d", spy("convolve", conv2d.conv2d))
    monkeypatch.setattr(layers, "conv_transpose2d", spy("up", conv2d.conv_transpose2d))
    norms: list[torch.dtype] = []
    std = torch.Tensor.var
    monkeypatch.setattr(
        torch.Tensor, "var", lambda x, *more, **named: (norms.append(x.dtype), std(x, *more, **named))[1]
    )
    _, terms = discriminator_loss(
        run.loss,
        generator,
        discriminator,
        DiscriminatorBatch(
            reals_NCHW=torch.zeros(8, 3, 8, 8),
            labels_NC=None,
            latents_NL=torch.randn(8, 8, generator=torch.Generator().manual_seed(2)),
            interpolation_weights_N=torch.full((8,), 0.5),
        ),
        0.0,
    )
    scored, penalised = seen[:-4], seen[-4:]
    assert [name for name, _ in penalised] == ["convolve 1", "convolve 3", "convolve 4", "convolve 3"]
    assert {dtype for _, dtype in penalised} == {torch.float32}
    assert {name for name, dtype in scored if dtype == torch.bfloat16} == {"convolve 3", "convolve 4", "up 4"}
    assert {name for name, dtype in scored if dtype == torch.float32} == {"convolve 1"}
    assert norms and set(norms) == {torch.float32}  # of the minibatch statistic
    assert terms["gradient_norm"].dtype == terms["loss/discriminator"].dtype == torch.float32
    seen.clear()
    average(torch.zeros(1, 8), None, 0.0)
    assert {dtype for _, dtype in seen} == {torch.float32}


def test_the_pixel_norm_of_short_numbers_is_taken_in_float32() -> None:
    x_NCHW = torch.full((1, 512, 2, 2), 3.0, dtype=torch.float16)  # 512 squares overflow nothing, but round
    x_NCHW[0, 0] = 300.0  # whose square does
    joined = activations.leaky_relu_and_pixel_norm(x_NCHW, 1e-8)
    expected = layers.pixel_norm(x_NCHW.double(), 1e-8)
    assert joined.dtype == torch.float16
    assert layers.pixel_norm(x_NCHW, 1e-8).dtype == torch.float32
    torch.testing.assert_close(joined.double(), expected, rtol=2e-3, atol=0)


def test_the_scale_falls_after_a_skipped_step_and_grows_slowly_otherwise() -> None:
    scale = LossScale(CPU)
    yes, no = torch.tensor(True), torch.tensor(False)
    assert float(scale.factor()) == 2**INITIAL_LOG2
    scale.update(no)
    assert float(scale.factor()) == pytest.approx(2 ** (INITIAL_LOG2 - BACKOFF))
    for _ in range(round(1 / GROWTH) - 10):
        scale.update(yes)
    assert float(scale.factor()) == 2 ** (INITIAL_LOG2 - BACKOFF)
    for _ in range(20):
        scale.update(yes)
    assert float(scale.factor()) == 2 ** (INITIAL_LOG2 - BACKOFF + 1)
    other = LossScale(CPU)
    other.load_state_dict(scale.state_dict())
    assert torch.equal(other.factor(), scale.factor())
    for _ in range(100):
        scale.update(no)
    assert float(scale.factor()) == 1.0


def test_infinite_gradients_of_float16_change_nothing_but_the_scale(dataset: Path) -> None:
    run = run_at(dataset, "float16")
    weight = torch.nn.Linear(2, 1, bias=False)
    optimized = OptimizedNetwork(weight, run, CPU)
    before = weight.weight.detach().clone()
    x = torch.tensor([[1.0, 2.0]])
    optimized.step(optimized.gradients(weight(x).sum() * math.inf), 0.1)
    assert torch.equal(weight.weight, before)
    assert optimized.optimizer.skipped == 1
    assert optimized.state_dict()["scale"]["log2"] == INITIAL_LOG2 - BACKOFF
    (gradient,) = optimized.gradients(weight(x).sum())
    assert gradient is not None
    torch.testing.assert_close(gradient, x)
    optimized.step([gradient], 0.1)
    assert not torch.equal(weight.weight, before)


def test_the_scale_is_part_of_the_state(dataset: Path) -> None:
    trainer, _ = trained(run_at(dataset, "float16"), 2)
    state = trainer.state_dict()
    assert state["D"]["scale"]["log2"] == pytest.approx(INITIAL_LOG2 + 2 * GROWTH, abs=1e-4)
    assert "scale" not in trained(run_at(dataset, "bfloat16"), 1)[0].state_dict()["D"]
