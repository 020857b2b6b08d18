"""Facts and faults of network files, checkpoints and snapshots of the original; torch is loaded for none but the last.

The formats are those of `training.checkpoint`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pipeline.errors import NetworkError
from pipeline.provenance import digest_of_file
from pipeline.trust.fault import Fault

METADATA = "celebahq"
"""The key of safetensors' metadata that holds the `NetworkInfo` as JSON."""
NETWORKS = "network-*.safetensors"
CHECKPOINTS = "checkpoint-*.json"


def network_info(path: Path) -> dict[str, Any]:
    """What a network file states, as JSON, with the number of parameters of each network.

    `NetworkError` if it is no network file of this project.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such network file.")
    try:
        with safe_open(path, framework="np") as file:
            stated: dict[str, Any] = json.loads((file.metadata() or {})[METADATA])
            counts: dict[str, int] = {}
            for key in file.keys():  # noqa: SIM118 - no dict
                name = key.partition(".")[0]
                counts[name] = counts.get(name, 0) + int(np.prod(file.get_slice(key).get_shape()))
    except (SafetensorError, KeyError, ValueError) as error:
        raise NetworkError(f"{path}: not a network file of this project, or damaged ({error!s}).") from error
    return stated | {"parameters": counts}


def faults_of_network(path: Path) -> Iterator[Fault]:
    """Weights that are not finite, and absent networks. `NetworkError` if it cannot be read at all."""
    networks = network_info(path)["parameters"]
    absent = [name for name in ("G", "D", "Gs") if name not in networks]
    if absent:
        yield Fault(path, f"holds no network {', '.join(absent)}")
    with safe_open(path, framework="np") as file:
        for key in file.keys():  # noqa: SIM118 - no dict
            if not np.isfinite(file.get_tensor(key)).all():
                yield Fault(path, f"{key} has values that are not finite")


def faults_of_checkpoint(path: Path) -> Iterator[Fault]:
    """Files that a checkpoint (`checkpoint-*.json`) names and that are missing, or have another SHA-256."""
    for name, sha256 in read_checkpoint(path)["files"].items():
        file = path.with_name(name)
        if not file.is_file():
            yield Fault(file, f"is missing, but {path.name} needs it")
        elif digest_of_file(file) != sha256:
            yield Fault(file, f"its SHA-256 is not the one in {path.name}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint's record; `NetworkError` if it is another file."""
    try:
        stated: Any = json.loads(path.read_text(encoding="utf-8"))
        if not {"format", "files"} <= {*stated}:
            raise ValueError("it has no format and files")
    except (ValueError, TypeError) as error:
        raise NetworkError(f"{path}: not the record of a checkpoint ({error!s}).") from error
    return stated


def faults_of_snapshot(path: Path) -> Iterator[Fault]:
    """None: `NetworkError` where a snapshot (.pkl) of the original cannot be read."""
    from training import interop  # noqa: PLC0415 - loads torch

    interop.read(path)
    yield from ()
