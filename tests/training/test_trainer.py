"""The orders in which the two networks may be updated, and what a run with other losses and layers saves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from tests.training.test_loop import CPU, ListReporter, files, resumed
from training import schedule
from training.data import random_streams
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.loop import train
from training.losses import GeneratorBatch, generator_loss
from training.train_step import OptimizedNetwork
from training.trainer import Trainer

LSGAN = {"kind": "lsgan", "fake_weight": 0.1, "noise_gain": 50.0, "label_weight": 1.0}
BASELINE = {
    "networks__use_batchnorm": True, "networks__use_pixelnorm": False, "networks__use_layernorm": True,
    "networks__use_wscale": False, "networks__mbstd_group_size": 0, "networks__use_tanh": True,
}  # fmt: skip
CHOICES: dict[str, dict[str, Any]] = {
    "lsgan": {"loss": LSGAN, "labels": True},
    "baseline": {**BASELINE, "schedule__discriminator_repeats": 3},
    "joint": {
        "schedule__joint_steps": True,
        "schedule__rampup_kimg": 0.3,
        "ema_decay": {"half_life_kimg": 0.1},
        "schedule__discriminator_rates": {"learning_rate": 0.004, "learning_rate_at": {8: 0.002}},
    },
    "discrimination": {"networks__mbdisc_kernels": 5, "networks__mbstd_group_size": 0},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), label_size=3)


def trainer_of(run: TrainRun) -> Trainer:
    trainer = Trainer(run, Reals(DataSet(run.dataset), run), CPU)
    trainer.initialise()
    return trainer


def weights(trainer: Trainer, network: str) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trainer.networks()[network].values()])


@pytest.mark.parametrize("name", CHOICES)
def test_a_killed_run_ends_as_an_uninterrupted_one(dataset: Path, tmp_path: Path, name: str) -> None:
    run = make_run(dataset, **CHOICES[name], schedule__total_kimg=0.4)
    train(run, Reals(DataSet(dataset), run), tmp_path / "whole", ListReporter(), CPU)
    reporter = resumed(run, tmp_path / "stopped", [3])
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")
    assert reporter.rows[-1]["images"] >= 400


def test_repeated_updates_of_d_show_fresh_reals_and_move_the_average_each_time(dataset: Path) -> None:
    trainers = {n: trainer_of(make_run(dataset, schedule__discriminator_repeats=n)) for n in (1, 3)}
    step = schedule.at(make_run(dataset).schedule, 8, 0)
    for trainer in trainers.values():
        trainer.update(step)
    assert {n: trainer.images_shown for n, trainer in trainers.items()} == {1: 8, 3: 24}
    assert not torch.equal(weights(trainers[1], "D"), weights(trainers[3], "D"))
    for trainer in trainers.values():
        trainer.update(step)
    start = weights(trainer_of(make_run(dataset)), "Gs")
    moved = {n: (weights(trainer, "Gs") - start).norm() for n, trainer in trainers.items()}
    assert moved[3] > 2 * moved[1] > 0


@pytest.mark.parametrize("joint", [False, True])
def test_both_networks_move_by_the_learning_rate_of_the_step(dataset: Path, joint: bool) -> None:
    run = make_run(dataset, schedule__joint_steps=joint)
    trainer = trainer_of(run)
    step = schedule.at(run.schedule, 8, 0)
    before = {name: weights(trainer, name) for name in ("G", "D")}
    trainer.update(step._replace(learning_rate=0.0))
    for name, start in before.items():
        assert torch.equal(weights(trainer, name), start), name
    trainers = [trainer_of(run), trainer_of(run)]
    for factor, each in zip((1, 2), trainers, strict=True):
        each.update(step._replace(learning_rate=factor * step.learning_rate))
    once, twice = (weights(each, "D") - before["D"] for each in trainers)
    torch.testing.assert_close(twice, 2 * once, rtol=0, atol=1e-6)


@pytest.mark.parametrize("joint", [False, True])
def test_d_moves_by_its_own_learning_rate(dataset: Path, joint: bool) -> None:
    def moved(factor: float) -> dict[str, torch.Tensor]:
        rates = {"learning_rate": 0.001 * factor, "learning_rate_at": {}}
        run = make_run(dataset, schedule__joint_steps=joint, schedule__discriminator_rates=rates)
        trainer = trainer_of(run)
        before = {name: weights(trainer, name) for name in ("G", "D")}
        trainer.update(schedule.at(run.schedule, 8, 0))
        return {name: weights(trainer, name) - before[name] for name in before}

    once, twice = moved(1.0), moved(2.0)
    torch.testing.assert_close(twice["D"], 2 * once["D"], rtol=0, atol=1e-6)
    assert once["G"].abs().max() == pytest.approx(0.001, rel=1e-3)
    assert twice["G"].abs().max() == pytest.approx(0.001, rel=1e-3)


def test_the_average_has_a_half_life_in_images(dataset: Path) -> None:
    run = make_run(dataset, ema_decay={"half_life_kimg": 0.008})
    trainer = trainer_of(run)
    drawn = weights(trainer, "G")
    trainer.update(schedule.at(run.schedule, 8, 0))
    updated = weights(trainer, "G")
    assert torch.equal(weights(trainer, "Gs"), drawn)
    trainer.update(schedule.at(run.schedule, 8, 8))
    torch.testing.assert_close(weights(trainer, "Gs"), (drawn + updated) / 2)


def test_reals_are_mirrored_where_the_run_says_so(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_a_step(mirror: bool) -> torch.Tensor:
        run = make_run(dataset, mirror=mirror)
        trainer = trainer_of(run)
        trainer.update(schedule.at(run.schedule, 8, 240))
        return weights(trainer, "D")

    plain = after_a_step(False)
    assert not torch.equal(after_a_step(True), plain)
    monkeypatch.setattr(random_streams, "mirrored", lambda seed, position, count: np.zeros(count, bool))
    assert torch.equal(after_a_step(True), plain)


@pytest.mark.parametrize("loss", [None, LSGAN])
def test_figures_include_the_label_losses(dataset: Path, loss: dict[str, Any] | None) -> None:
    changes = {} if loss is None else {"loss": loss}
    figures = {}
    for labels in (False, True):
        run = make_run(dataset, labels=labels, **changes)
        trainer = trainer_of(run)
        trainer.update(schedule.at(run.schedule, 8, 0))
        figures[labels] = trainer.take_figures()
    assert set(figures[True]) - set(figures[False]) == {"loss/labels_real", "loss/labels_fake"}
    assert 0.5 < figures[True]["loss/labels_real"] < 2, (
        "about log(3): an untrained network recognises none of three labels"
    )
    assert figures[True]["loss/labels_real"] != figures[True]["loss/labels_fake"]


def test_the_generators_labels_are_drawn_independently(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_a_step() -> tuple[torch.Tensor, torch.Tensor]:
        run = make_run(dataset, labels=True)
        trainer = trainer_of(run)
        trainer.update(schedule.at(run.schedule, 8, 0))
        return weights(trainer, "G"), weights(trainer, "D")

    drawn = after_a_step()
    monkeypatch.setattr(Reals, "random_labels", lambda self, position, count: np.eye(3, dtype=np.float32)[[0] * count])
    fixed = after_a_step()
    assert not torch.equal(fixed[0], drawn[0])
    assert torch.equal(fixed[1], drawn[1]), "those of D are the labels of its reals"


def test_a_joint_step_takes_both_updates_from_the_same_weights(dataset: Path) -> None:
    run = make_run(dataset, schedule__joint_steps=True)
    joint, apart = trainer_of(run), trainer_of(make_run(dataset))
    step = schedule.at(run.schedule, 8, 0)
    joint.update(step)
    apart.update(step)
    assert torch.equal(weights(joint, "D"), weights(apart, "D"))
    assert not torch.equal(weights(joint, "G"), weights(apart, "G"))
    first = trainer_of(run)
    latents_NL = torch.from_numpy(random_streams.latents(run.seed, Stream.G_LATENTS, 0, (8, 8)))
    networks = (first.generator, first.discriminator)
    loss, _ = generator_loss(run.loss, *networks, GeneratorBatch(latents_NL, None), step.lod)
    optimized = OptimizedNetwork(first.generator, run, CPU)
    optimized.step(optimized.gradients(loss), step.learning_rate)
    assert torch.equal(weights(joint, "G"), weights(first, "G"))


def test_the_discriminator_of_lsgan_gets_noise_once_it_wins(dataset: Path) -> None:
    run = make_run(dataset, loss=LSGAN)
    step = schedule.at(run.schedule, 8, 0)
    quiet, noisy = trainer_of(run), trainer_of(run)
    state = noisy.state_dict()
    noisy.restore(0, noisy.networks(), {**state, "winning": torch.tensor(0.9)})
    quiet.update(step)
    noisy.update(step)
    figures = quiet.take_figures(), noisy.take_figures()
    assert figures[0]["winning_estimate"] < 0.5 < figures[1]["winning_estimate"]
    assert figures[0]["score/real"] != figures[1]["score/real"]
    assert "gradient_norm" not in figures[0]


def test_running_statistics_are_averaged_with_the_weights(dataset: Path) -> None:
    run = make_run(dataset, **BASELINE)
    trainer = trainer_of(run)
    step = schedule.at(run.schedule, 8, 0)
    for _ in range(3):
        trainer.update(step)
    ours, theirs = (trainer.networks()[name]["4x4.Activation0.Norm.mean"] for name in ("Gs", "G"))
    assert 0 < ours.norm() < theirs.norm()
    assert trainer.generator.training and not trainer.average.training


@pytest.mark.parametrize("reset", [True, False])
def test_moments_are_kept_across_a_fade_only_without_reset(dataset: Path, tmp_path: Path, reset: bool) -> None:
    run = make_run(dataset, schedule__reset_optimizers=reset, schedule__total_kimg=0.2, schedule__minibatch_repeats=1)
    rows = ListReporter()
    train(run, Reals(DataSet(dataset), run), tmp_path, rows, CPU)
    (path,) = tmp_path.glob("state-*.pt")
    state = torch.load(path, weights_only=True)["trainer"]
    assert state["G"]["steps"] == (4 if reset else 25)  # the fade begins after 168 of 200 images
