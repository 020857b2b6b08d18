"""Number of 1,000 discrete modes that a generator reaches: one digit per channel (Karras et al. 2018, app. E).

A small classifier, trained on a data set of digits, reads each channel. An image's mode is the number of its digits.

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
from training.metrics import Images, short_count
from training.metrics.plots import Row

SIDE = 32
DIGITS = 10
MODES = DIGITS**3
_MINIBATCH = 1000
_SHIFT = 2
"""Pixels by which minibatches are shifted, at most: as many as the black border of MNIST's digits of 32x32."""


class DigitClassifier(nn.Module):
    """Logits of ten digits for one channel of 32x32, 0…255."""

    def __init__(self) -> None:
        super().__init__()
        maps = (1, 32, 64, 128)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(maps))
        self.scores = nn.Linear(maps[-1] * 16, DIGITS)

    def forward(self, pixels_NHW: Tensor) -> Tensor:
        """(N, 32, 32) → (N, 10)."""
        x = pixels_NHW.unsqueeze(1).float() / 127.5 - 1
        for convolution in self.convolutions:
            x = functional.relu(convolution(x))
        return self.scores(x.flatten(1))


def train_classifier(options: ModesOptions, seed: int, device: torch.device) -> tuple[DigitClassifier, float]:
    """Train a classifier on `options.digits`; returns it with its accuracy on the held-out digits.

    The learning rate falls to 0 along a cosine, and minibatches are shifted by up to 2 pixels. On MNIST's 60,000
    digits, 4,000 steps of 128 reach 99.2 % of its 10,000 test digits.

    Raises
    ------
    TrainingError
        The data set lacks labels of ten classes or a level of 32x32, or has not more images than are held out.
    """
    pixels_NHW, classes_N = (torch.from_numpy(values).to(device) for values in _read(options))
    order = random_streams.permutation(seed, 0, len(classes_N))
    test_rows, train_rows = order[: options.held_out], order[options.held_out :]
    classifier = _initialised(seed).to(device)
    optimizer = torch.optim.Adam(classifier.parameters(), options.learning_rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    for step in range(options.steps):
        rng = random_streams.generator(seed, random_streams.Stream.DIGITS, step)
        rows = train_rows[rng.integers(len(train_rows), size=options.minibatch)]
        shifted_NHW = torch.roll(pixels_NHW[rows], rng.integers(-_SHIFT, _SHIFT + 1, 2).tolist(), (1, 2))
        loss = functional.cross_entropy(classifier(shifted_NHW), classes_N[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        falling.step()
    batches = [test_rows[start : start + _MINIBATCH] for start in range(0, len(test_rows), _MINIBATCH)]
    correct = sum(int((_predict(classifier, pixels_NHW[rows]) == classes_N[rows]).sum()) for rows in batches)
    return classifier, correct / len(test_rows)


def compute(options: ModesOptions, modes_N: NDArray[np.int64]) -> Row:
    """The number of modes, and the divergence of their frequencies from uniform; by `metric_names`."""
    counts_M = np.bincount(modes_N, minlength=MODES)
    values = (int((counts_M > 0).sum()), round(divergence_from_uniform(counts_M), 6))
    return dict(zip(metric_names(options), values, strict=True))


def metric_names(options: ModesOptions) -> list[str]:
    """Names of the metrics, with their counts."""
    return [f"modes{short_count(options.samples)}", f"modes{short_count(options.samples)}_kl"]


def modes_of(classifier: DigitClassifier, images_NCHW: Images) -> NDArray[np.int64]:
    """The mode of each image, 0…999: its red, green and blue digit."""
    device = next(classifier.parameters()).device
    channels_NHW = torch.from_numpy(np.ascontiguousarray(images_NCHW)).to(device).flatten(0, 1)
    digits_N3 = _predict(classifier, channels_NHW).view(-1, 3).cpu().numpy()
    return digits_N3 @ np.array([100, 10, 1])


def divergence_from_uniform(counts_M: NDArray[np.int64]) -> float:
    """KL divergence of the frequencies from the uniform distribution, in nats."""
    frequencies = counts_M[counts_M > 0] / counts_M.sum()
    return float((frequencies * np.log(frequencies * len(counts_M))).sum())


@torch.no_grad()
def _predict(classifier: DigitClassifier, pixels_NHW: Tensor) -> Tensor:
    return classifier(pixels_NHW).argmax(dim=1)


def _read(options: ModesOptions) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All digits, (N, 32, 32), and their classes; they are grey, so one channel is enough."""
    with DataSet(options.digits) as digits:
        labels_NC = digits.labels
        if labels_NC is None or labels_NC.shape[1] != DIGITS or digits.resolution < SIDE:
            shape = "none" if labels_NC is None else f"of shape {labels_NC.shape}"
            raise TrainingError(
                f"{options.digits}: images of {digits.resolution}x{digits.resolution}, labels {shape}; the classifier "
                f"of evaluate.modes needs digits of 32x32 with labels (N, 10)"
            )
        if len(digits) <= options.held_out:
            raise TrainingError(
                f"{options.digits}: {len(digits)} digits, of which evaluate.modes.held_out {options.held_out} leaves "
                f"none for training; lower it"
            )
        batches = np.split(np.arange(len(digits)), range(_MINIBATCH, len(digits), _MINIBATCH))
        return np.concatenate([digits.read(SIDE, rows)[:, 0] for rows in batches]), labels_NC.argmax(axis=1)


def _initialised(seed: int) -> DigitClassifier:
    classifier, rng = DigitClassifier(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.parameters():
            fan_in = parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * (2 / fan_in) ** 0.5 * (parameter.ndim > 1))
    return classifier
