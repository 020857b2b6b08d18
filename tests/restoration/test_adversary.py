import torch

from pipeline.restoration.adversary import PatchDiscriminator, discriminator_loss, restorer_loss
from pipeline.restoration.networks import initialise


def _discriminator() -> PatchDiscriminator:
    discriminator = PatchDiscriminator(6)
    initialise(discriminator, torch.Generator().manual_seed(1))
    return discriminator.requires_grad_(False)


def test_a_logit_discriminators_22_pixels() -> None:
    discriminator = _discriminator()
    degraded = torch.zeros(1, 3, 16, 16)
    before = torch.zeros(1, 3, 64, 64)
    after = before.clone()
    after[..., 32, 32] = 1
    changed = (discriminator(degraded, after) != discriminator(degraded, before)).nonzero()[:, 2]
    # patches of 22 pixels, four apart: five or six of them along a side hold one pixel
    assert len(set(changed.tolist())) in (5, 6)


def test_the_discriminator_looks_at_the_degraded_image_too() -> None:
    candidate = torch.rand(1, 3, 32, 32)
    black, white = (_discriminator()(torch.full((1, 3, 32, 32), value), candidate) for value in (0.0, 1.0))
    assert not torch.equal(black, white)


def test_losses_pull_in_opposite_directions() -> None:
    low, high = torch.full((4, 1, 2, 2), -3.0), torch.full((4, 1, 2, 2), 3.0)
    assert discriminator_loss(high, low) < 0.2 < discriminator_loss(low, high)
    assert restorer_loss(high) < 0.1 < restorer_loss(low)
    even = torch.zeros(1)
    assert torch.isclose(discriminator_loss(even, even), 2 * restorer_loss(even))
