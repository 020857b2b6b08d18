"""What the two processes of `test_process_group` do."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from pipeline.errors import StoppedError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_run
from training import schedule
from training.data.real_images import Reals
from training.distributed.process_group import ProcessGroup, init_process_group
from training.loop import Reporter, train
from training.optim.adam import Adam
from training.trainer import Trainer

CPU = torch.device("cpu")
FADING = 250
"""Images shown in the middle of a fade of `make_run`."""

LSGAN = {"kind": "lsgan", "fake_weight": 0.1, "noise_gain": 50.0, "label_weight": 1.0}
CHOICES: dict[str, dict[str, Any]] = {
    "wgan-gp": {"schedule__minibatch": 16},
    "groups of 2": {"networks__mbstd_group_size": 2, "mirror": True},
    "no groups, joint": {"networks__mbstd_group_size": 0, "schedule__joint_steps": True, "schedule__devices": 2},
    "lsgan": {"loss": LSGAN, "labels": True},
    "repeats": {"schedule__discriminator_repeats": 2, "networks__use_layernorm": True},
}


def runs(dataset: Path) -> dict[str, TrainRun]:
    """Runs whose steps one process and two must compute alike.

    A large epsilon: Adam would otherwise turn the last bit of a gradient near zero into a whole step.
    """
    shared = {"schedule__devices": 2, "optimizer__epsilon": 0.1}
    return {name: make_run(dataset, **{**shared, **choice}) for name, choice in CHOICES.items()}


def steps(run: TrainRun, group: ProcessGroup) -> dict[str, Any]:
    """Two steps in the middle of a fade: every gradient in order, the figures, and the weights of G and D."""
    gradients: list[Tensor] = []
    taken = Adam.step

    def recorded(self: Adam, grads: Any, learning_rate: float) -> bool:
        gradients.extend(gradient.clone() for gradient in grads if gradient is not None)
        return taken(self, grads, learning_rate)

    trainer = Trainer(run, Reals(DataSet(run.dataset), run), CPU, group)
    trainer.initialise()
    state = trainer.state_dict() | {"winning": torch.tensor(0.8)}  # the noise of LSGAN is on
    trainer.restore(FADING, trainer.networks(), state)
    with patch.object(Adam, "step", recorded):
        for _ in range(2):
            trainer.update(schedule.at(run.schedule, run.resolution, trainer.images_shown))
    networks = trainer.networks()
    return {"gradients": gradients, "figures": trainer.take_figures(), "networks": {k: networks[k] for k in ("G", "D")}}


def whole_runs(dataset: Path, folder: Path, group: ProcessGroup) -> None:
    """A run from its start to its end, and the same one stopped by the last rank in mid-fade."""
    run = runs(dataset)["wgan-gp"]
    reals, places = Reals(DataSet(dataset), run), (folder / "whole", folder / "stopped")
    train(run, reals, places[0], Reporter(), CPU, group=group)
    calls = iter(range(100))
    try:
        train(
            run,
            reals,
            places[1],
            Reporter(),
            CPU,
            group=group,
            stop_requested=lambda: next(calls) == 7 and group.rank > 0,
        )
    except StoppedError as stopped:
        (folder / f"stopped-{group.rank}.txt").write_text(str(stopped), encoding="utf-8")
    train(run, reals, places[1], Reporter(), CPU, group=group)


def main(folder: Path) -> None:
    """Write all results to `folder`."""
    torch.set_num_threads(1)
    with init_process_group() as group:
        done = {name: steps(run, group) for name, run in runs(folder / "dataset").items()}
        torch.save(done, folder / f"steps-{group.rank}.pt")
        exchanged = group.broadcast({"rank": group.rank}), group.any(group.rank == 1), group.max(group.rank)
        torch.save(exchanged, folder / f"exchanged-{group.rank}.pt")
        whole_runs(folder / "dataset", folder, group)
