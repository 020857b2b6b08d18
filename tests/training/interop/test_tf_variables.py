import numpy as np
import pytest
import torch

from pipeline.errors import NetworkError
from tests.training.networks.test_networks import SMALL
from training.interop.tf_variables import load_original, to_original
from training.networks import Discriminator, Generator


def _network(kind: type[Generator] | type[Discriminator], *, fused: bool) -> Generator | Discriminator:
    options = SMALL.model_copy(update={"fused_scale": fused})
    network = kind(options, resolution=8, channels=3, label_size=2)
    network.initialise(torch.Generator().manual_seed(5))
    return network


@pytest.mark.parametrize(
    ("kind", "fused", "shapes"),
    [
        (
            Generator,
            True,
            {
                "4x4/Dense/weight": (8, 128), "4x4/Dense/bias": (8,), "4x4/Conv/weight": (3, 3, 8, 8),
                "4x4/Conv/bias": (8,), "ToRGB_lod1/weight": (1, 1, 8, 3), "ToRGB_lod1/bias": (3,),
                "8x8/Conv0_up/weight": (3, 3, 8, 8), "8x8/Conv0_up/bias": (8,), "8x8/Conv1/weight": (3, 3, 8, 8),
                "8x8/Conv1/bias": (8,), "ToRGB_lod0/weight": (1, 1, 8, 3), "ToRGB_lod0/bias": (3,),
            },
        ),
        (
            Discriminator,
            False,
            {
                "FromRGB_lod0/weight": (1, 1, 3, 8), "FromRGB_lod0/bias": (8,), "8x8/Conv0/weight": (3, 3, 8, 8),
                "8x8/Conv0/bias": (8,), "8x8/Conv1/weight": (3, 3, 8, 8), "8x8/Conv1/bias": (8,),
                "FromRGB_lod1/weight": (1, 1, 3, 8), "FromRGB_lod1/bias": (8,), "4x4/Conv/weight": (3, 3, 9, 8),
                "4x4/Conv/bias": (8,), "4x4/Dense0/weight": (128, 8), "4x4/Dense0/bias": (8,),
                "4x4/Dense1/weight": (8, 3), "4x4/Dense1/bias": (3,),
            },
        ),
    ],
)  # fmt: skip
def test_names_order_and_shapes_are_the_originals(
    kind: type[Generator] | type[Discriminator], fused: bool, shapes: dict[str, tuple[int, ...]]
) -> None:
    variables = to_original(_network(kind, fused=fused))
    assert list({name: value.shape for name, value in variables.items()}.items()) == list(shapes.items())


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("fused", [True, False])
def test_round_trip(kind: type[Generator] | type[Discriminator], fused: bool) -> None:
    network, empty = _network(kind, fused=fused), _network(kind, fused=fused)
    with torch.no_grad():
        for parameter in empty.parameters():
            parameter.zero_()
    load_original(empty, to_original(network))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), empty.parameters(), strict=True))


def test_variables_of_other_options_are_refused() -> None:
    network = _network(Generator, fused=True)
    with pytest.raises(NetworkError, match=r"missing \['8x8/Conv0_up/bias', .*unknown \['8x8/Conv0/bias'"):
        load_original(network, to_original(_network(Generator, fused=False)))
    variables = to_original(network)
    variables["4x4/Dense/weight"] = np.zeros((9, 128), np.float32)
    with pytest.raises(NetworkError, match=r"4x4/Dense/weight: shape \(128, 9\).*fmap_base"):
        load_original(network, variables)
