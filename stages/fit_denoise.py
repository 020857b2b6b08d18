"""Stage fit_denoise: the JPEG artefact network, trained here, the user's own, or none."""

from stages import main
from stages.fitting import fit_network


def fit_denoise() -> None:
    """Write `data/fit_denoise/`: see `fit_network`."""
    fit_network("fit_denoise", "arresnet")


if __name__ == "__main__":
    main(fit_denoise)
