"""Stage fit_superres: the x4 network, trained on the extracted photographs, the user's own, or none."""

from pipeline.restoration.load_or_train import load_or_train
from stages import DATA, main, read_params, stage_run, table


def fit_superres() -> None:
    """Write `data/fit_superres/`: network.json, and the weights, history and sheet of the network, if any."""
    section = read_params().fit_superres
    with stage_run("fit_superres", params={"fit_superres": section}, inputs=[table("extract")]) as run:
        run.report.update(load_or_train("srresnet", section.network, table=table("extract"), data=DATA, work=run.work))


if __name__ == "__main__":
    main(fit_superres)
