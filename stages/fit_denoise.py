"""Stage fit_denoise: the JPEG artefact network, trained on the extracted photographs, the user's own, or none."""

from pipeline.restoration.load_or_train import load_or_train
from stages import DATA, main, read_params, stage_run, table


def fit_denoise() -> None:
    """Write `data/fit_denoise/`: network.json, and the weights, history and sheet of the network, if any."""
    section = read_params().fit_denoise
    with stage_run("fit_denoise", params={"fit_denoise": section}, inputs=[table("extract")]) as run:
        run.report.update(load_or_train("rednet", section.network, table=table("extract"), data=DATA, work=run.work))


if __name__ == "__main__":
    main(fit_denoise)
