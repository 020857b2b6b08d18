"""What the two processes of `test_ranks` do: `python -m tests.training.two_ranks FOLDER`, as `torchrun` starts it."""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_run
from training import schedule
from training.adam import Adam
from training.data import Reals
from training.ranks import Ranks, joined
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


def steps(run: TrainRun, ranks: Ranks) -> dict[str, Any]:
    """Two steps in the middle of a fade: every gradient in order, the figures, and the weights of G and D."""
    gradients: list[Tensor] = []
    taken = Adam.step

    def recorded(self: Adam, slopes: Any, learning_rate: float) -> bool:
        gradients.extend(slope.clone() for slope in slopes if slope is not None)
        return taken(self, slopes, learning_rate)

    trainer = Trainer(run, Reals(DataSet(run.dataset), run), CPU, ranks)
    trainer.initialise()
    state = trainer.state() | {"winning": torch.tensor(0.8)}  # the noise of LSGAN is on
    trainer.restore(FADING, trainer.networks(), state)
    with patch.object(Adam, "step", recorded):
        for _ in range(2):
            trainer.update(schedule.at(run.schedule, run.resolution, trainer.images_shown))
    networks = trainer.networks()
    return {"gradients": gradients, "figures": trainer.take_figures(), "networks": {k: networks[k] for k in ("G", "D")}}


def main(folder: Path) -> None:
    """Do everything, and leave it in `folder`."""
    torch.set_num_threads(1)
    with joined() as ranks:
        done = {name: steps(run, ranks) for name, run in runs(folder / "dataset").items()}
        torch.save(done, folder / f"steps-{ranks.index}.pt")
        said = ranks.of_first({"seen by": ranks.index}), ranks.any(ranks.index == 1), ranks.largest(ranks.index)
        torch.save(said, folder / f"said-{ranks.index}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
