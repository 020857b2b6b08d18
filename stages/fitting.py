"""What the stages fit_denoise and fit_superres share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import SourceError
from pipeline.params import TrainedNetwork
from pipeline.restoration.fit import Restore
from pipeline.restoration.load_or_train import load_or_train
from pipeline.restoration.networks import Architecture
from stages import CHECKOUT, DATA, read_params, stage_run, table


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
    deciding = {name: section.deciding(), "photographs": how, **(params or {})}
    with stage_run(name, params=deciding, inputs=[*([photographs] if trained else []), *inputs]) as run:
        run.report.update(
            load_or_train(
                architecture,
                section.network,
                photographs=photographs,
                data=DATA,
                how=how,
                work=run.work,
                workers=section.workers,
                before=before,
            )
        )
