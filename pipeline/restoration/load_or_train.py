"""Where a restoration network comes from: fitted here, brought by the user, or none."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.params import AnyNetwork, NetworkFile, TrainedNetwork
from pipeline.restoration.fit import fit
from pipeline.restoration.networks import Architecture
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, load_network, read_spec


def load_or_train(
    architecture: Architecture, source: AnyNetwork, *, table: Path, data: Path, work: Path
) -> dict[str, Any]:
    """Fill `work` with `network.json` and, unless `source` is none, with `network.safetensors`.

    Parameters
    ----------
    architecture
        What network the step that will use it needs.
    source
        The `network` section of a fitting stage.
    table, data
        Photographs to fit on, and the folder that their containers are named from.
    work
        Where to write.

    Returns
    -------
    dict
        What the stage reports.

    Raises
    ------
    NetworkError
        The user's file is absent, altered, or holds another network.
    SourceError
        Too few photographs to fit on.
    """
    if isinstance(source, TrainedNetwork):
        return {"kind": source.kind, **fit(architecture, source, table=table, data=data, work=work)}
    if isinstance(source, NetworkFile):
        return _adopt(architecture, source, work)
    atomic.write_json(work / DESCRIPTION, {"kind": source.kind})
    return {"kind": source.kind}


def _adopt(architecture: Architecture, source: NetworkFile, work: Path) -> dict[str, Any]:
    if not source.path.is_file():
        raise NetworkError(f"{source.path.resolve()}: no such network file; network.path in params.yaml names it.")
    digest = provenance.digest_of_file(source.path)
    if digest != source.sha256:
        raise NetworkError(
            f"{source.path}: its SHA-256 is {digest}, but params.yaml says {source.sha256}. If the file is the one you "
            f"mean, put its digest in network.sha256."
        )
    spec = read_spec(source.path)
    if spec.architecture != architecture:
        raise NetworkError(f"{source.path}: holds a {spec.architecture}, but this step needs a {architecture}.")
    network = load_network(source.path)
    with atomic.writing(work / WEIGHTS) as partial:
        shutil.copyfile(source.path, partial)
    made = {"kind": source.kind, **asdict(spec), "scale": network.scale, "path": str(source.path), "sha256": digest}
    atomic.write_json(work / DESCRIPTION, made)
    return {"kind": source.kind, "sha256": digest}
