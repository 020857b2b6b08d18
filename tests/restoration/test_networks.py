import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from pipeline.restoration.networks import Architecture, LanczosEnlargement, NetworkSpec, RestorationNetwork, initialise
from tests.restoration.photographs import randomize, scene

SPECS: list[tuple[Architecture, int]] = [("arresnet", 1), ("arresnet", 5), ("srresnet", 1), ("srresnet", 3)]


def _network(architecture: Architecture, blocks: int, *, channels: int = 6, seed: int = 1) -> RestorationNetwork:
    network = NetworkSpec(architecture=architecture, channels=channels, blocks=blocks).build()
    initialise(network, torch.Generator().manual_seed(seed))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("architecture", "blocks"), SPECS)
def test_an_initial_network_gives_its_input_or_the_enlargement(architecture: Architecture, blocks: int) -> None:
    network = _network(architecture, blocks)
    x = torch.rand(2, 3, 11, 17, generator=torch.Generator().manual_seed(2)) * 2 - 1
    plain = x if architecture == "arresnet" else LanczosEnlargement(4)(x)
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
    # of a cell of pixels one lies nearer to the end of the field than the others
    assert seen <= network.receptive_radius <= seen + network.multiple - 1


def test_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    one = _network("srresnet", 2).state_dict()
    torch.manual_seed(2)
    two = _network("srresnet", 2).state_dict()
    other = _network("srresnet", 2, seed=9).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["body.head.weight"], other["body.head.weight"])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (7, 4), (9, 9)])
def test_any_size_is_restored_as_if_its_border_were_repeated(height: int, width: int) -> None:
    network = randomize(_network("arresnet", 2))
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))
    even = functional.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    assert torch.equal(network(image), network(even)[..., :height, :width])


def test_a_shift_by_the_multiple_shifts_the_result() -> None:
    network = randomize(_network("arresnet", 1))
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(3))
    whole, radius = network(image), network.receptive_radius
    for shift, equal in ((network.multiple, True), (1, False)):
        part = network(image[..., shift:, :])
        inside = slice(radius, 40 - radius - shift)
        assert torch.allclose(part[..., inside, :], whole[..., shift:, :][..., inside, :], atol=1e-5) == equal
