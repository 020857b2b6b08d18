"""FID, inception score, KID, precision and recall, by an Inception network that the user provides.

Suffixes: N image, C channel, H height, W width, F feature.
"""

from typing import Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.params import InceptionFile, InceptionOptions
from training.metrics import Images, short_count
from training.metrics.features import (
    Floats,
    frechet_distance,
    inception_score,
    kernel_inception_distance,
    precision_and_recall,
)
from training.metrics.plots import Row

SPLITS = 10
"""Of the inception score."""

Options = TypeVar("Options", bound=InceptionFile)


def check_file(options: InceptionFile, key: str) -> None:
    """Raise `NetworkError` where the file is missing or is another one; `key` of `params.yaml` holds the options."""
    if not options.file.is_file():
        raise NetworkError(
            f"{options.file}: no such file. It is the Inception network of FID, IS, KID, precision and recall "
            f"({key} in params.yaml): put the file there, or set {key} to null."
        )
    found = provenance.digest_of_file(options.file)
    if found != options.sha256:
        raise NetworkError(
            f"{options.file}: its SHA-256 is {found}, params.yaml says {options.sha256} "
            f"({key}.sha256). Download the file again, or correct the value if this is the right file."
        )


class InceptionNetwork(Generic[Options]):
    """The TorchScript network of `options`, which are those of `key` in `params.yaml`.

    Raises
    ------
    NetworkError
        The file is missing, has another SHA-256 than in the params, is no TorchScript, or has another interface.
    """

    def __init__(self, options: Options, device: torch.device, key: str = "evaluate.inception") -> None:
        check_file(options, key)
        self.options = options
        self._device = device
        try:
            self._network = torch.jit.load(options.file, map_location=device).eval()  # pyright: ignore[reportUnknownMemberType]
        except RuntimeError as error:
            raise NetworkError(f"{options.file}: not a TorchScript file: {error}") from error

    def features(self, images_NCHW: Images) -> NDArray[np.float32]:
        """Features (N, F)."""
        return self._call(images_NCHW, "return_features")

    def probabilities(self, images_NCHW: Images) -> NDArray[np.float32]:
        """Class probabilities (N, classes), as in the original without the bias of the last layer."""
        return self._call(images_NCHW, "no_output_bias")

    @torch.no_grad()
    def _call(self, images_NCHW: Images, option: str) -> NDArray[np.float32]:
        images = torch.from_numpy(np.ascontiguousarray(images_NCHW)).to(self._device)
        try:
            result = cast(Tensor, self._network(images, **{option: True}))
        except RuntimeError as error:
            raise NetworkError(
                f"{self.options.file}: cannot be called with uint8 images (N, 3, H, W) and {option}=True, as the "
                f"published inception-2015-12-05.pt can: {error}"
            ) from error
        return result.float().cpu().numpy().reshape(len(images_NCHW), -1)


def metric_names(options: InceptionOptions) -> list[str]:
    """Names of the metrics, with their counts."""
    score, kid, precision = (
        short_count(count) for count in (options.score_images, options.kid_images, options.precision_images)
    )
    return [
        *(f"fid{short_count(count)}" for count in options.fid_images),
        f"is{score}", f"is{score}_std", f"kid{kid}", f"precision{precision}", f"recall{precision}",
    ]  # fmt: skip


def compute(options: InceptionOptions, real_NF: Floats, fake_NF: Floats, fake_probabilities: Floats, seed: int) -> Row:
    """The metrics, by `metric_names`, from features and (for the fakes) class probabilities."""
    kid = kernel_inception_distance(
        real_NF[: options.kid_images],
        fake_NF[: options.kid_images],
        subsets=options.kid_subsets,
        subset_size=options.kid_subset_size,
        rng=np.random.default_rng(seed),
    )
    values = [
        *(frechet_distance(real_NF[:count], fake_NF[:count]) for count in options.fid_images),
        *inception_score(fake_probabilities, SPLITS),
        kid,
        *precision_and_recall(
            real_NF[: options.precision_images], fake_NF[: options.precision_images], options.precision_neighbours
        ),
    ]
    return {name: round(value, 6) for name, value in zip(metric_names(options), values, strict=True)}
