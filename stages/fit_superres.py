"""Stage fit_superres: the x4 network, trained here, the user's own, or none."""

from pipeline.params import TrainedNetwork
from pipeline.restoration.apply import Restorer
from pipeline.restoration.weights import DESCRIPTION
from stages import DATA, main, read_params
from stages.fitting import fit_network

DENOISER = DATA / "fit_denoise"


def fit_superres() -> None:
    """Write `data/fit_superres/`: see `fit_network`.

    Where `denoise` applies a network, the x4 network is trained on what that makes of the degraded patches.
    """
    params = read_params()
    method = params.denoise.method
    if method != "network" or not isinstance(params.fit_superres.network, TrainedNetwork):
        fit_network("fit_superres", "srresnet", params={"denoise.method": method})
        return
    before = Restorer.load(DENOISER, tile_pixels=params.denoise.tile_pixels).many
    inputs = [DENOISER / DESCRIPTION]
    fit_network("fit_superres", "srresnet", before=before, params={"denoise.method": method}, inputs=inputs)


if __name__ == "__main__":
    main(fit_superres)
