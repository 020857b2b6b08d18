import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.restoration.networks import Architecture, LanczosEnlargement, NetworkSpec, RestorationNetwork, initialise
from tests.restoration.photographs import randomize, scene

SPECS: list[tuple[Architecture, int]] = [("rednet", 1), ("rednet", 2), ("rednet", 5), ("srresnet", 1), ("srresnet", 3)]


def _network(architecture: Architecture, blocks: int, *, channels: int = 6, seed: int = 1) -> RestorationNetwork:
    network = NetworkSpec(architecture=architecture, channels=channels, blocks=blocks).build()
    initialise(network, torch.Generator().manual_seed(seed))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("architecture", "blocks"), SPECS)
def test_an_initial_network_gives_its_input_or_the_enlargement(architecture: Architecture, blocks: int) -> None:
    network = _network(architecture, blocks)
    x = torch.rand(2, 3, 11, 17, generator=torch.Generator().manual_seed(2)) * 2 - 1
    plain = x if architecture == "rednet" else LanczosEnlargement(4)(x)
    assert torch.equal(network(x), plain)
    assert network(x).shape == (2, 3, 11 * network.scale, 17 * network.scale)


def test_the_fixed_enlargement_is_pillows_lanczos() -> None:
    small_HWC = np.asarray(Image.fromarray(scene(1)).resize((40, 40), Image.Resampling.BOX))
    expected_HWC = np.asarray(Image.fromarray(small_HWC).resize((160, 160), Image.Resampling.LANCZOS)).astype(float)
    x = torch.from_numpy(small_HWC.copy()).permute(2, 0, 1)[None].float()
    ours_HWC = LanczosEnlargement(4)(x)[0].permute(1, 2, 0).clamp(0, 255).numpy()
    inner = slice(12, -12)  # at the border Pillow leaves weights out where ours repeats pixels
    assert np.abs(ours_HWC - expected_HWC)[inner, inner].max() <= 1.25  # Pillow rounds to uint8 between its two passes


@pytest.mark.parametrize(("architecture", "blocks"), SPECS)
def test_the_receptive_radius_is_right(architecture: Architecture, blocks: int) -> None:
    network = randomize(_network(architecture, blocks, channels=24))
    side, place, scale = 61, 30, network.scale
    before = torch.zeros(1, 3, side, side, dtype=torch.float64)
    network.double()
    after = before.clone()
    after[..., place, place] = 1.0
    rows = (network(after) - network(before)).abs().amax(dim=(0, 1, 3)).nonzero().flatten() // scale
    seen = int((rows - place).abs().max())
    # the sub-pixel layers reach fractions of a pixel, which `receptive_radius` rounds up
    assert seen <= network.receptive_radius <= seen + (architecture == "srresnet")


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    one = _network("srresnet", 2).state_dict()
    torch.manual_seed(2)
    two = _network("srresnet", 2).state_dict()
    other = _network("srresnet", 2, seed=9).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.0.weight"], other["head.0.weight"])


def test_a_doubling_starts_without_checkerboard() -> None:
    network = _network("srresnet", 1)
    features = torch.randn(1, 6, 5, 5, generator=torch.Generator().manual_seed(3))
    doubled = network.get_submodule("enlarge.0")(features)
    assert doubled.shape == (1, 6, 10, 10)
    assert torch.allclose(doubled[..., ::2, ::2], doubled[..., 1::2, 1::2], atol=1e-6)
    assert doubled.std() > 0.1
