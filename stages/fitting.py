"""What the stages fit_denoise and fit_superres share."""

from typing import Literal

from pipeline.restoration.load_or_train import load_or_train
from pipeline.restoration.networks import Architecture
from stages import DATA, read_params, stage_run, table


def fit_network(name: Literal["fit_denoise", "fit_superres"], architecture: Architecture) -> None:
    """Write `data/<name>/`: network.json, and the weights, history and sheet of the network, if any."""
    params = read_params()
    section, how = getattr(params, name), params.photographs
    with stage_run(name, params={name: section, "photographs": how}, inputs=[table("extract")]) as run:
        run.report.update(
            load_or_train(architecture, section.network, table=table("extract"), data=DATA, how=how, work=run.work)
        )
