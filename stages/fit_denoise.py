"""Stage fit_denoise: the JPEG artefact network, trained on the extracted photographs, the user's own, or none."""

from pipeline.restoration.load_or_train import load_or_train
from stages import DATA, main, read_params, stage_run, table


def fit_denoise() -> None:
    """Write `data/fit_denoise/`: network.json, and the weights, history and sheet of the network, if any."""
    params = read_params()
    section, how = params.fit_denoise, params.photographs
    keys = {"fit_denoise": section, "photographs": how}
    with stage_run("fit_denoise", params=keys, inputs=[table("extract")]) as run:
        where = {"table": table("extract"), "data": DATA, "work": run.work}
        run.report.update(load_or_train("rednet", section.network, how=how, **where))


if __name__ == "__main__":
    main(fit_denoise)
