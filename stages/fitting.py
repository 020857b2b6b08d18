"""What the stages fit_denoise and fit_superres share."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import ParamsError, SourceError
from pipeline.params import AnyNetwork, NetworkFile, Params, PublishedNetwork, SpandrelNetwork, TrainedNetwork
from pipeline.restoration.fit import Restore
from pipeline.restoration.load_or_train import load_or_train
from pipeline.restoration.needs import OF_OTHERS, libraries
from pipeline.restoration.networks import Architecture
from pipeline.sources.local import require_watched
from pipeline.sources.published import Published
from stages import CHECKOUT, DATA, MANIFESTS, open_downloads, read_manifest, read_params, stage_run, table

MANIFEST = MANIFESTS / "restoration.yaml"
"""Published networks of others. No stage depends on it, since a name in it stands for one file for ever."""


def fit_network(
    name: Literal["fit_denoise", "fit_superres"],
    architecture: Architecture,
    *,
    before: Restore | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Sequence[Path] = (),
) -> None:
    """Write `data/<name>/`: network.json, and the weights, history and sheet of the network, if any.

    `before` restores the degraded patches first; `params` and `inputs` are what it depends on.
    """
    all_params = read_params()
    section, how = getattr(all_params, name), all_params.photographs
    photographs = section.photographs if section.photographs == table("extract") else CHECKOUT / section.photographs
    trained = isinstance(section.network, TrainedNetwork)
    if trained and not photographs.exists():
        raise SourceError(
            f"{photographs.resolve()}: no such folder of photographs; {name}.photographs in params.yaml names it. "
            f"{table('extract')} stands for the photographs of the source."
        )
    if trained and photographs.is_dir():
        require_watched(photographs, [photographs])
    deciding = {name: section.deciding(), "photographs": how, **(params or {})}
    others = isinstance(section.network, PublishedNetwork | SpandrelNetwork)
    used = OF_OTHERS if others else tuple(name for path in inputs for name in libraries(path.parent))
    read = [*([photographs] if trained else []), *inputs]
    with stage_run(name, params=deciding, inputs=read, libraries=used) as run:
        network, fetched = _at_hand(section.network, all_params)
        run.notes.update(fetched)
        run.report.update(
            load_or_train(
                architecture,
                network,
                photographs=photographs,
                data=DATA,
                how=how,
                work=run.work,
                workers=section.workers,
                before=before,
            )
        )


def _at_hand(network: AnyNetwork, params: Params) -> tuple[AnyNetwork, dict[str, Any]]:
    """The network with the path of its file, and what was fetched for it; its licence is printed and recorded."""
    if isinstance(network, NetworkFile | SpandrelNetwork):
        if isinstance(network, SpandrelNetwork):
            print(f"{network.path}: a network of others: its authors' licence decides what you may do", file=sys.stderr)
        return network.model_copy(update={"path": CHECKOUT / network.path}), {}
    if not isinstance(network, PublishedNetwork):
        return network, {}
    published = read_manifest(MANIFEST, Published)
    known = {file.path.split("/")[0]: file for file in published.files}
    if network.name not in known:
        raise ParamsError(f"{network.name!r} is no network of {MANIFEST}; there are {', '.join(known)}.")
    file = known[network.name]
    downloads = open_downloads(params)
    (path,) = downloads.fetch(published, [file])
    print(f"{network.name}: licence {file.licence}", file=sys.stderr)
    fetched = downloads.record | {"licence": file.licence}
    return SpandrelNetwork(kind="spandrel", path=path, sha256=file.sha256 or ""), fetched
