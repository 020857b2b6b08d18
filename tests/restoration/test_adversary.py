import torch

from pipeline.restoration.adversary import PatchDiscriminator, discriminator_loss, restorer_loss
from pipeline.restoration.networks import initialise


def _judge() -> PatchDiscriminator:
    judge = PatchDiscriminator(6)
    initialise(judge, torch.Generator().manual_seed(1))
    return judge.requires_grad_(False)


def test_a_logit_judges_22_pixels() -> None:
    judge = _judge()
    degraded = torch.zeros(1, 3, 16, 16)
    before = torch.zeros(1, 3, 64, 64)
    after = before.clone()
    after[..., 32, 32] = 1
    changed = (judge(degraded, after) != judge(degraded, before)).nonzero()[:, 2]
    # patches of 22 pixels, four apart: five or six of them along a side hold one pixel
    assert len(set(changed.tolist())) in (5, 6)


def test_the_judge_looks_at_the_degraded_image_too() -> None:
    candidate = torch.rand(1, 3, 32, 32)
    assert not torch.equal(
        _judge()(torch.zeros(1, 3, 32, 32), candidate), _judge()(torch.ones(1, 3, 32, 32), candidate)
    )


def test_losses_pull_in_opposite_directions() -> None:
    low, high = torch.full((4, 1, 2, 2), -3.0), torch.full((4, 1, 2, 2), 3.0)
    assert discriminator_loss(high, low) < 0.2 < discriminator_loss(low, high)
    assert restorer_loss(high) < 0.1 < restorer_loss(low)
    even = torch.zeros(1)
    assert torch.isclose(discriminator_loss(even, even), 2 * restorer_loss(even))
