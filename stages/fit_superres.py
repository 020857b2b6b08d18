"""Stage fit_superres: the x4 network, trained on the extracted photographs, the user's own, or none."""

from stages import main
from stages.fitting import fit_network


def fit_superres() -> None:
    """Write `data/fit_superres/`: see `fit_network`."""
    fit_network("fit_superres", "srresnet")


if __name__ == "__main__":
    main(fit_superres)
