import torch

from pipeline.restoration.adversary import PatchDiscriminator, discriminator_loss, feature_loss, restorer_loss
from pipeline.restoration.networks import initialise


def _discriminator() -> PatchDiscriminator:
    discriminator = PatchDiscriminator(6)
    initialise(discriminator, torch.Generator().manual_seed(1))
    return discriminator.requires_grad_(False)


def test_a_logit_sees_34_pixels() -> None:
    discriminator = _discriminator()
    degraded = torch.zeros(1, 3, 16, 16)
    before = torch.zeros(1, 3, 64, 64)
    after = before.clone()
    after[..., 32, 32] = 1
    changed = (discriminator(degraded, after)[0] != discriminator(degraded, before)[0]).nonzero()[:, 2]
    # patches of 34 pixels, four apart: eight or nine of them along a side hold one pixel
    assert len(set(changed.tolist())) in (8, 9)


def test_the_discriminator_looks_at_the_degraded_image_too() -> None:
    candidate = torch.rand(1, 3, 32, 32)
    black, white = (_discriminator()(torch.full((1, 3, 32, 32), value), candidate)[0] for value in (0.0, 1.0))
    assert not torch.equal(black, white)


def test_losses_pull_in_opposite_directions() -> None:
    low, high = torch.full((4, 1, 2, 2), -3.0), torch.full((4, 1, 2, 2), 3.0)
    assert discriminator_loss(high, low) < 0.1 < discriminator_loss(low, high)
    assert restorer_loss(low, high) < 0.1 < restorer_loss(high, low)
    assert torch.isclose(discriminator_loss(high, high + 1), discriminator_loss(low, low + 1)), "only differences count"


def test_features_of_equal_images_are_equal() -> None:
    discriminator, degraded = _discriminator(), torch.rand(1, 3, 32, 32)
    _, clean = discriminator(degraded, degraded)
    _, other = discriminator(degraded, degraded * 0.5)
    assert feature_loss(clean, clean) == 0 < feature_loss(clean, other)
