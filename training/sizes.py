"""The bytes of what a training run keeps, before it is made."""

import torch

from pipeline.params import TrainRun
from training.checkpoint import RESUMABLE
from training.networks.discriminator import Discriminator
from training.networks.generator import Generator

WEIGHT_BYTES = 4
MOMENTS = 2
"""Of the optimiser, per weight."""


def run_bytes(run: TrainRun, label_size: int) -> int:
    """The network files of `run`, each of G, D and the average G, and the states to resume from."""
    with torch.device("meta"):
        generator, discriminator = (
            WEIGHT_BYTES * sum(weight.numel() for weight in network.parameters())
            for network in (
                kind(run.networks, resolution=run.resolution, channels=3, label_size=label_size)
                for kind in (Generator, Discriminator)
            )
        )
    networks = (run.keep_snapshots + 1) * (2 * generator + discriminator)
    return networks + RESUMABLE * MOMENTS * (generator + discriminator)
