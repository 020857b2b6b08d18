"""The network of a fitting stage: trained here, the user's own, one of others, or none."""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.params import AnyNetwork, NetworkFile, SpandrelNetwork, TrainedNetwork
from pipeline.restoration.fit import Fitting, fit
from pipeline.restoration.memory import measure
from pipeline.restoration.networks import Architecture
from pipeline.restoration.networks_of_others import LARGEST_HALO, import_network
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, describe, load_network, read_spec


def load_or_train(
    architecture: Architecture, source: AnyNetwork, *, work: Path, **fitting: Unpack[Fitting]
) -> dict[str, Any]:
    """Write `network.json`, and unless `source` is none `network.safetensors`, to `work`; return the stage's report.

    `architecture` is what the restoration stage needs; the rest as in `fit`, also for its errors. A published
    network is fetched before, and given as a file (`SpandrelNetwork`).

    `NetworkError`: the file is absent or altered, or holds another network.
    """
    report = {"kind": source.kind}
    if isinstance(source, TrainedNetwork):
        report |= fit(architecture, source, work=work, **fitting)
    elif isinstance(source, NetworkFile):
        report |= _copy(architecture, source, work)
    elif isinstance(source, SpandrelNetwork):
        report |= _import(architecture, source, work)
    else:
        atomic.write_json(work / DESCRIPTION, report)
        return report
    # what the stages that apply it, which do not load torch, must know
    atomic.write_json(work / DESCRIPTION, describe(work) | measure(work / WEIGHTS))
    return report


def _copy(architecture: Architecture, source: NetworkFile, work: Path) -> dict[str, Any]:
    digest = hashlib.sha256(_verified(source)).hexdigest()
    spec = read_spec(source.path)
    if spec.architecture != architecture:
        raise NetworkError(f"{source.path}: holds a {spec.architecture}, but this step needs a {architecture}.")
    scale = load_network(source.path).scale
    with atomic.writing(work / WEIGHTS) as partial:
        shutil.copyfile(source.path, partial)
    report = {"kind": source.kind, "sha256": digest}
    atomic.write_json(work / DESCRIPTION, {**report, **asdict(spec), "scale": scale, "path": str(source.path)})
    return report


def _import(architecture: Architecture, source: SpandrelNetwork, work: Path) -> dict[str, Any]:
    network = import_network(source.path, _verified(source), work / WEIGHTS)
    enlarges = architecture == "srresnet"
    if enlarges != (network.scale > 1):
        raise NetworkError(
            f"{source.path}: this {network.architecture} network enlarges {network.scale} times, but this step needs "
            f"one that {'enlarges' if enlarges else 'keeps the size'}."
        )
    report = {
        "kind": source.kind,
        "architecture": network.architecture,
        "scale": network.scale,
        "from_sha256": source.sha256,
    }
    facts = {
        "sha256": provenance.digest_of_file(work / WEIGHTS),
        "path": str(source.path),
        "sees_pixels": network.receptive_radius if network.receptive_radius < LARGEST_HALO else None,  # null: more
        "tiles_begin_at_multiples_of": network.multiple,
        "tiles_discouraged": network.whole,
    }
    atomic.write_json(work / DESCRIPTION, {**report, **facts})
    return report


def _verified(source: NetworkFile | SpandrelNetwork) -> bytes:
    if not source.path.is_file():
        raise NetworkError(f"{source.path.resolve()}: no such network file; network.path in params.yaml names it.")
    content = source.path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise NetworkError(
            f"{source.path}: its SHA-256 is {digest}, but params.yaml says {source.sha256}. If it is the right file, "
            f"set network.sha256 to its digest."
        )
    return content
