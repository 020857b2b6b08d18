"""How many of 1,000 discrete modes a generator reaches: three digits, one in each channel (Karras et al. 2018, app. E).

A small classifier, fitted on a data set of digits, reads each channel; an image's mode is the number that its three
digits form.

Suffixes: N image, C channel, H height, W width, M mode.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import TrainingError
from pipeline.params import ModesOptions
from pipeline.shards.reader import DataSet
from training.data import random_streams
from training.metrics import short_count
from training.metrics.plots import Row

SIDE = 32
DIGITS = 10
MODES = DIGITS**3
_AT_ONCE = 1000


class DigitClassifier(nn.Module):
    """One channel of 32x32, 0…255, to scores of the ten digits."""

    def __init__(self) -> None:
        super().__init__()
        maps = (1, 16, 32, 64)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(maps))
        self.scores = nn.Linear(maps[-1] * 16, DIGITS)

    def forward(self, pixels_NHW: Tensor) -> Tensor:
        """(N, 32, 32) → (N, 10)."""
        x = pixels_NHW.unsqueeze(1).float() / 127.5 - 1
        for convolution in self.convolutions:
            x = functional.relu(convolution(x))
        return self.scores(x.flatten(1))


def fit(digits: DataSet, options: ModesOptions, seed: int, device: torch.device) -> tuple[DigitClassifier, float]:
    """Train a classifier on the data set's digits; returns it with its accuracy on those held out.

    Raises
    ------
    TrainingError
        The data set has no labels of ten classes, no level of 32x32, or no more images than are held out.
    """
    labels_NC = digits.labels
    if labels_NC is None or labels_NC.shape[1] != DIGITS or digits.resolution < SIDE:
        shape = "none" if labels_NC is None else f"of shape {labels_NC.shape}"
        raise TrainingError(
            f"{options.digits}: images of {digits.resolution}x{digits.resolution}, labels {shape}; the classifier of "
            f"evaluate.modes wants digits of 32x32 with labels (N, 10)"
        )
    if len(digits) <= options.held_out:
        raise TrainingError(
            f"{options.digits}: {len(digits)} digits, of which evaluate.modes.held_out {options.held_out} leaves none "
            f"to learn from; lower it"
        )
    order = random_streams.permutation(seed, 0, len(digits))
    tested, learnt = order[: options.held_out], order[options.held_out :]
    pixels_NHW = torch.from_numpy(_pixels(digits)).to(device)
    classes_N = torch.from_numpy(labels_NC.argmax(axis=1)).to(device)
    classifier = _initial(seed).to(device)
    optimizer = torch.optim.Adam(classifier.parameters(), options.learning_rate)
    for step in range(options.steps):
        rows = learnt[random_streams.rows(seed, random_streams.Stream.DIGITS, step, options.minibatch, len(learnt))]
        loss = functional.cross_entropy(classifier(pixels_NHW[rows]), classes_N[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    parts = [tested[start : start + _AT_ONCE] for start in range(0, len(tested), _AT_ONCE)]
    right = sum(int((_read(classifier, pixels_NHW[rows]) == classes_N[rows]).sum()) for rows in parts)
    return classifier, right / len(tested)


class ModeCount:
    """Counts the modes of one image set; what is fed after `samples` images does not count."""

    def __init__(self, options: ModesOptions, classifier: DigitClassifier) -> None:
        self._samples = options.samples
        self._names = names(options)
        self._classifier = classifier
        self._seen = 0
        self.counts_M = np.zeros(MODES, np.int64)

    def feed(self, images_NCHW: NDArray[np.uint8]) -> None:
        """Add a minibatch of images of 32x32, 0…255."""
        for_count = images_NCHW[: max(self._samples - self._seen, 0)]
        if len(for_count):
            self.counts_M += np.bincount(modes_of(self._classifier, for_count), minlength=MODES)
        self._seen += len(images_NCHW)

    def figures(self) -> Row:
        """Modes found, and how far their frequencies are from equal, in nats; by `names`."""
        found = int((self.counts_M > 0).sum())
        return dict(zip(self._names, (found, round(divergence_from_uniform(self.counts_M), 6)), strict=True))


def names(options: ModesOptions) -> list[str]:
    """The figures' names, which carry the count of samples."""
    return [f"modes{short_count(options.samples)}", f"modes{short_count(options.samples)}_kl"]


def modes_of(classifier: DigitClassifier, images_NCHW: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The mode of each image, 0…999: its red, green and blue digit in this order."""
    device = next(classifier.parameters()).device
    channels_NHW = torch.from_numpy(np.ascontiguousarray(images_NCHW)).to(device).flatten(0, 1)
    digits_N3 = _read(classifier, channels_NHW).view(-1, 3).cpu().numpy()
    return digits_N3 @ np.array([100, 10, 1])


def divergence_from_uniform(counts_M: NDArray[np.int64]) -> float:
    """KL divergence of the frequencies from equal ones, in nats: 0 if all are equal, log of their number for one."""
    frequencies = counts_M[counts_M > 0] / counts_M.sum()
    return float((frequencies * np.log(frequencies * len(counts_M))).sum())


@torch.no_grad()
def _read(classifier: DigitClassifier, pixels_NHW: Tensor) -> Tensor:
    return classifier(pixels_NHW).argmax(dim=1)


def _pixels(digits: DataSet) -> NDArray[np.uint8]:
    """All digits, (N, 32, 32); they are grey, each channel holds the same."""
    parts = [
        digits.read(SIDE, np.arange(start, min(start + _AT_ONCE, len(digits))))[:, 0]
        for start in range(0, len(digits), _AT_ONCE)
    ]
    return np.concatenate(parts)


def _initial(seed: int) -> DigitClassifier:
    classifier, rng = DigitClassifier(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.parameters():
            fan_in = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * (2 / fan_in) ** 0.5 * (parameter.ndim > 1))
    return classifier
