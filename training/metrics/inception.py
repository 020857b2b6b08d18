"""FID, inception score, KID, precision and recall: what an Inception network sees in two image sets.

The network is the user's file; without one these figures do not exist, and nothing takes its place.

Suffixes: N image, C channel, H height, W width, F feature.
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.params import InceptionOptions
from training.metrics import short_count
from training.metrics.features import frechet_distance, inception_score, kernel_distance, precision_and_recall
from training.metrics.plots import Row

SPLITS = 10
"""Parts of the inception score's images: 10 of 5,000."""


class InceptionNetwork:
    """A TorchScript network as `InceptionOptions` describes it.

    Raises
    ------
    NetworkError
        No such file, one with another SHA-256 than the params say, no TorchScript, or called otherwise.
    """

    def __init__(self, options: InceptionOptions, device: torch.device) -> None:
        if not options.file.is_file():
            raise NetworkError(
                f"{options.file}: no such file. It is the network of FID and its kin, named in params.yaml under "
                f"evaluate.inception: put the file there, or set evaluate.inception to null to leave them out."
            )
        found = provenance.digest_of_file(options.file)
        if found != options.sha256:
            raise NetworkError(
                f"{options.file}: its SHA-256 is {found}, params.yaml says {options.sha256} "
                f"(evaluate.inception.sha256). Obtain the file again, or correct the value if this is the right file."
            )
        self._options = options
        self._device = device
        try:
            self._network = torch.jit.load(options.file, map_location=device).eval()  # pyright: ignore[reportUnknownMemberType]
        except RuntimeError as error:
            raise NetworkError(f"{options.file}: not a TorchScript file: {error}") from error

    def features(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, F)."""
        return self._called(images_NCHW, "return_features")

    def probabilities(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities (N, classes); like the original's, without the bias of the last layer."""
        return self._called(images_NCHW, "no_output_bias")

    @torch.no_grad()
    def _called(self, images_NCHW: NDArray[np.uint8], option: str) -> NDArray[np.float32]:
        images = torch.from_numpy(np.ascontiguousarray(images_NCHW)).to(self._device)
        try:
            result = cast(Tensor, self._network(images, **{option: True}))
        except RuntimeError as error:
            raise NetworkError(
                f"{self._options.file}: cannot be called with uint8 images (N, 3, H, W) and {option}=True, as the "
                f"published inception-2015-12-05.pt can: {error}"
            ) from error
        return result.float().cpu().numpy().reshape(len(images_NCHW), -1)


class Collected:
    """The features of one image set, in order; kept in memory, 8 KB per image.

    Feeding stops to count at `options.images`, and at `options.score_images` for the inception score.
    """

    def __init__(self, options: InceptionOptions, network: InceptionNetwork) -> None:
        self._options = options
        self._network = network
        self._features: list[NDArray[np.float32]] = []
        self._probabilities: list[NDArray[np.float32]] = []
        self._seen = 0

    def feed(self, images_NCHW: NDArray[np.uint8]) -> None:
        """Add a minibatch of images, 0…255."""
        wanted = images_NCHW[: max(self._options.images - self._seen, 0)]
        scored = images_NCHW[: max(self._options.score_images - self._seen, 0)]
        if len(wanted):
            self._features.append(self._network.features(wanted))
        if len(scored):
            self._probabilities.append(self._network.probabilities(scored))
        self._seen += len(images_NCHW)

    def features(self) -> NDArray[np.float32]:
        """All features, (N, F)."""
        return np.concatenate(self._features)

    def probabilities(self) -> NDArray[np.float32]:
        """All class probabilities, (N, classes)."""
        return np.concatenate(self._probabilities)


def names(options: InceptionOptions) -> list[str]:
    """The figures' names, which carry their counts."""
    score, kid, precision = (
        short_count(count) for count in (options.score_images, options.kid_images, options.precision_images)
    )
    return [
        *(f"fid{short_count(count)}" for count in options.fid_images),
        f"is{score}", f"is{score}_std", f"kid{kid}", f"precision{precision}", f"recall{precision}",
    ]  # fmt: skip


def figures(options: InceptionOptions, reals: Collected, others: Collected, seed: int) -> Row:
    """The figures of a set against the reals, by `names`."""
    real_NF, other_NF = reals.features(), others.features()
    score, deviation = inception_score(others.probabilities(), SPLITS)
    kid = kernel_distance(
        real_NF[: options.kid_images],
        other_NF[: options.kid_images],
        subsets=options.kid_subsets,
        subset_size=options.kid_subset_size,
        rng=np.random.default_rng(seed),
    )
    precision, recall = precision_and_recall(
        real_NF[: options.precision_images], other_NF[: options.precision_images], options.precision_neighbours
    )
    values = [
        *(frechet_distance(real_NF[:count], other_NF[:count]) for count in options.fid_images),
        score, deviation, kid, precision, recall,
    ]  # fmt: skip
    return {name: round(value, 6) for name, value in zip(names(options), values, strict=True)}
