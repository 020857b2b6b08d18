"""Network files: safetensors weights that carry what is needed to lay the network out again.

Beside each lies `network.json`, which says what the network is and where it comes from; the
restoration step of a run without a network has that file alone.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from pipeline import atomic
from pipeline.errors import NetworkError
from pipeline.restoration.networks import Architecture, NetworkSpec, RestorationNetwork

WEIGHTS = "network.safetensors"
DESCRIPTION = "network.json"
FORMAT = "celebahq restoration network 1"

# one key that holds everything: safetensors keeps several metadata keys in no fixed order, so equal networks would
# differ in bytes
_METADATA_KEY = "network"


def save_network(path: Path, network: RestorationNetwork, spec: NetworkSpec) -> None:
    """Write the weights with their `spec`, whole or not at all; equal weights give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {_METADATA_KEY: json.dumps({"format": FORMAT, **asdict(spec)}, sort_keys=True)}
    # save_file would make a file that nobody but its owner can read
    atomic.write_bytes(path, save(tensors, metadata=metadata))


def read_spec(path: Path) -> NetworkSpec:
    """What network a file holds.

    Raises
    ------
    NetworkError
        The file is absent, is no safetensors file, or was not written by `save_network`.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such network file.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise NetworkError(f"{path}: not a safetensors file ({error}).") from error
    try:
        facts: dict[str, Any] = json.loads(metadata[_METADATA_KEY])
        found = facts["format"]
        spec = NetworkSpec(**{key: facts[key] for key in ("architecture", "channels", "blocks")})
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise NetworkError(
            f"{path}: its metadata do not say which network it holds (found {metadata}). Only files that fit_denoise "
            f"and fit_superres of this project wrote can be used."
        ) from error
    if found != FORMAT or spec.architecture not in get_args(Architecture):
        raise NetworkError(f"{path}: holds a {spec.architecture!r} of format {found!r}; this version reads {FORMAT!r}.")
    return spec


def load_network(path: Path) -> RestorationNetwork:
    """Read a network back, in evaluation mode, on the CPU.

    Raises
    ------
    NetworkError
        As `read_spec`, or the weights do not fit the network that the metadata describe.
    """
    spec = read_spec(path)
    network = spec.build()
    _check_fit(path, network, load_file(path))
    network.load_state_dict(load_file(path))
    return network.eval().requires_grad_(False)


def describe(folder: Path) -> dict[str, Any]:
    """The `network.json` of a folder that a fitting stage published.

    Raises
    ------
    NetworkError
        There is none.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise NetworkError(f"{path}: no such file; run dvc repro {folder.name} to make it.")
    return json.loads(path.read_text(encoding="utf-8"))


def _check_fit(path: Path, network: RestorationNetwork, tensors: dict[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = [
        f"{name} is {found.get(name, 'absent')}, wanted {wanted.get(name, 'none')}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    faults += [f"{name} is not finite" for name in sorted(found) if not bool(torch.isfinite(tensors[name]).all())]
    if faults:
        raise NetworkError(f"{path}: the weights do not fit the network that the file describes: {'; '.join(faults)}.")
