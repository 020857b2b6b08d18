"""Networks of a GPU, whose large images of few maps are packed and whose RGB layers are sums of products, on a CPU."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.params import LsganLoss, WganLoss
from tests.training.networks.test_networks import SMALL
from training.losses import DiscriminatorBatch, GeneratorBatch, discriminator_loss, generator_loss
from training.networks import Discriminator, Generator
from training.ops import conv2d
from training.ops.packing import Packed, pack, unpack

WGAN = WganLoss(kind="wgan-gp", wgan_lambda=10.0, wgan_target=1.0, wgan_epsilon=0.001, label_weight=1.0)
LSGAN = LsganLoss(kind="lsgan", fake_weight=0.1, noise_gain=0.2, label_weight=0.5)
BASELINE = {"use_pixelnorm": False, "use_batchnorm": True, "use_layernorm": True, "use_leakyrelu": False}


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gradients(lod: float, loss: WganLoss | LsganLoss, options: dict[str, Any]) -> list[Tensor]:
    """Losses and gradients of both networks."""
    sizes = {"resolution": 16, "channels": 3, "label_size": 0}
    values = SMALL.model_copy(update=options)
    networks = Generator(values, **sizes).double(), Discriminator(values, **sizes).double()
    for seed, network in enumerate(networks):
        network.initialise(torch.Generator().manual_seed(seed))
        for parameter in network.parameters():  # biases too
            parameter.data += 0.1 * _normal(*parameter.shape, seed=9)
    side = networks[1].resolution_at(lod)
    reals, latents = _normal(4, 3, side, side, seed=3), _normal(4, 6, seed=4)
    d_batch = DiscriminatorBatch(reals, None, latents, torch.rand(4, dtype=torch.float64, generator=_generator()))
    d_loss, terms = discriminator_loss(loss, *networks, d_batch, lod)
    g_loss, _ = generator_loss(loss, *networks, GeneratorBatch(latents, None), lod)
    d_gradients = torch.autograd.grad(d_loss, list(networks[1].parameters()), allow_unused=True)
    g_gradients = torch.autograd.grad(g_loss, list(networks[0].parameters()), allow_unused=True)
    return [*terms.values(), g_loss, *(torch.zeros(()) if x is None else x for x in (*d_gradients, *g_gradients))]


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize(
    ("side", "lod", "loss", "options"),
    [
        (8, 0.0, WGAN, {}),
        (8, 0.25, WGAN, {}),
        (8, 0.25, WGAN, {"fused_scale": False}),
        (8, 0.25, WGAN, {"use_leakyrelu": False}),
        (8, 0.25, LSGAN, BASELINE),
        (4, 0.25, WGAN, {}),
        (4, 2.0, LSGAN, {}),
    ],
)
def test_packed_networks_compute_the_same(
    side: int, lod: float, loss: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With images of at least `side` pixels packed."""
    expected = _gradients(lod, loss, options)
    seen: list[bool] = []

    def on_gpu(x: Any) -> bool:
        seen.append(isinstance(x, Packed))
        return True

    monkeypatch.setattr(conv2d, "_on_gpu", on_gpu)
    monkeypatch.setattr(conv2d, "PACKED_PIXELS", side**2)
    found = _gradients(lod, loss, options)
    assert any(seen) == (options is not BASELINE), "layers pass packed images to the next, if no norm needs them whole"
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_a_packed_image_has_the_pixels_of_a_block_as_maps() -> None:
    images = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6)
    packed = pack(images)
    for plane, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        assert torch.equal(packed.planes()[:, plane], images[:, :, row::2, column::2])
    assert packed.maps.is_contiguous(memory_format=torch.channels_last)
    assert pack(packed) is packed
    assert torch.equal(unpack(packed), images) and unpack(images) is images
