"""Conversion between our parameters and the original's variables (`8x8/Conv0_up/weight`)."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.errors import NetworkError

# Original: dense [in, out], convolution [kh, kw, in, out], Conv0_up [kh, kw, out, in]; a bias has one axis.
# Ours: [out, in], [out, in, kh, kw], [in, out, kh, kw].
_TO_OURS = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_TO_ORIGINAL = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


def original_name(name: str) -> str:
    """The original's name of a parameter."""
    return name.replace(".", "/")


def to_original(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """All parameters of a network in the original's order and layouts."""
    arrays = {name: parameter.detach().cpu().numpy() for name, parameter in network.named_parameters()}
    return {
        original_name(name): np.ascontiguousarray(array.transpose(_TO_ORIGINAL[array.ndim]))
        for name, array in arrays.items()
    }


def tensor_from_original(value: NDArray[np.float32]) -> torch.Tensor:
    """One variable of the original in our layout."""
    return torch.from_numpy(np.ascontiguousarray(value.transpose(_TO_OURS[value.ndim])))


@torch.no_grad()
def load_original(network: nn.Module, variables: Mapping[str, NDArray[np.float32]]) -> None:
    """Copy the original's variables into a network.

    Raises
    ------
    NetworkError
        A variable is missing, unknown, or of another shape: the network has other options.
    """
    parameters = {original_name(name): parameter for name, parameter in network.named_parameters()}
    if parameters.keys() != variables.keys():
        raise NetworkError(
            f"variables do not fit the network: missing {sorted(parameters.keys() - variables.keys())}, unknown "
            f"{sorted(variables.keys() - parameters.keys())}; create it with the options of the weights"
        )
    for name, parameter in parameters.items():
        value = tensor_from_original(variables[name])
        if value.shape != parameter.shape:
            raise NetworkError(
                f"{name}: shape {tuple(value.shape)} does not fit the network's {tuple(parameter.shape)}; create it "
                f"with the options (fmap_base, fmap_max, latent_size, label_size) of the weights"
            )
        parameter.copy_(value)
