"""Network files: safetensors weights whose metadata hold the network's architecture and size.

The `network.json` in the same folder describes the network and its origin; without a network it is the only file.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from pipeline import atomic
from pipeline.errors import NetworkError
from pipeline.restoration import networks_of_others
from pipeline.restoration.networks import Architecture, NetworkSpec, RestorationNetwork

WEIGHTS = "network.safetensors"
DESCRIPTION = "network.json"
FORMAT = "celebahq restoration network 2"

# a single key, since safetensors writes several metadata keys in no fixed order
_METADATA_KEY = "network"


def save_network(path: Path, network: RestorationNetwork, spec: NetworkSpec) -> None:
    """Write the weights and their `spec` atomically; equal weights give equal bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {_METADATA_KEY: json.dumps({"format": FORMAT, **asdict(spec)}, sort_keys=True)}
    # save_file would write a file that only its owner may read
    atomic.write_bytes(path, save(tensors, metadata=metadata))


def read_spec(path: Path) -> NetworkSpec:
    """The architecture and size of the network in a file; `NetworkError` if `save_network` did not write it."""
    metadata = _metadata(path)
    if networks_of_others.facts_of(metadata) is not None:
        raise NetworkError(f"{path}: holds a network of others. In params.yaml set network.kind to spandrel.")
    try:
        content: dict[str, Any] = json.loads(metadata[_METADATA_KEY])
        found = content["format"]
        spec = NetworkSpec(**{key: content[key] for key in ("architecture", "channels", "blocks")})
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise NetworkError(
            f"{path}: its metadata do not describe a network (found {metadata}). Only files that fit_denoise "
            f"and fit_superres of this project wrote can be used."
        ) from error
    if found != FORMAT or spec.architecture not in get_args(Architecture):
        raise NetworkError(
            f"{path}: holds a {spec.architecture!r} of format {found!r}; this version reads {FORMAT!r}. "
            f"Train it again, or use the version of this project that wrote it."
        )
    return spec


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise NetworkError(f"{path}: no such network file.")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise NetworkError(f"{path}: not a safetensors file ({error}).") from error


def load_network(path: Path) -> RestorationNetwork:
    """Load a network in evaluation mode, on the CPU; `NetworkError` as in `read_spec`, or if the weights do not fit."""
    facts = networks_of_others.facts_of(_metadata(path))
    if facts is not None:
        return networks_of_others.load_imported(path, facts)
    network = read_spec(path).build()
    weights = load_file(path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise NetworkError(f"{path}: its weights do not fit the network that its metadata describe: {error}") from error
    broken = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise NetworkError(f"{path}: values that are not finite in {', '.join(broken)}.")
    return network.eval().requires_grad_(False)


def describe(folder: Path) -> dict[str, Any]:
    """The `network.json` of a folder that a fitting stage published; `NetworkError` if it is absent."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise NetworkError(f"{path}: no such file; make it: dvc repro {folder.name}.")
    return json.loads(path.read_text(encoding="utf-8"))
