"""The reference step that ours is timed against computes the same step."""

from pathlib import Path

import pytest
import torch

from benchmarks.reference import Draws, PlainTrainer, plain_weights
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import schedule
from training.data import random_streams
from training.data.device_loader import process_reals
from training.data.random_streams import Stream
from training.data.real_images import Reals
from training.trainer import Trainer

STEPS = 2


@pytest.mark.parametrize("images_shown", [0, 240])
def test_steps_lead_to_the_same_weights(tmp_path: Path, images_shown: int) -> None:
    run = make_run(make_dataset(tmp_path), mirror=False, networks__mbstd_group_size=4, ema_decay=0.9)
    reals = Reals(DataSet(run.dataset), run)
    ours, plain = Trainer(run, reals, torch.device("cpu")), PlainTrainer(run)
    ours.initialise()
    start = {name: {key: value.clone() for key, value in of.items()} for name, of in ours.networks().items()}
    plain.load(start)
    ours.images_shown = images_shown
    step = schedule.at(run.schedule, run.resolution, images_shown)
    assert (step.lod % 1 > 0) == (images_shown > 0)
    shape = (step.minibatch, run.networks.latent_size)
    for _ in range(STEPS):
        position = ours.images_shown
        images = torch.from_numpy(reals.minibatch(step.resolution, position, step.minibatch).images_NCHW)
        latents = [
            random_streams.latents(run.seed, stream, position, shape) for stream in (Stream.D_LATENTS, Stream.G_LATENTS)
        ]
        drawn = Draws(
            process_reals(images, None, step.lod),
            torch.from_numpy(latents[0]),
            torch.from_numpy(random_streams.interpolation_weights(run.seed, position, step.minibatch)),
            torch.from_numpy(latents[1]),
        )
        plain.step(drawn, step.lod, step.learning_rate)
        ours.update(step)
    for name, network in (("G", plain.generator), ("D", plain.discriminator), ("Gs", plain.average)):
        found, begun = plain_weights(ours.networks()[name]), plain_weights(start[name])
        moved = 0.0
        for key, value in network.state_dict().items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=f"{name} {key}": n + m)
            moved += (found[key] - begun[key]).abs().sum().item()
        assert moved > 0
