"""Health checks that end a run that has gone wrong, by the figures of a tick or the samples of a snapshot."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.params import AlarmOptions
from training.history import Row

SCORES = ("score/real", "score/fake")
SAMPLE_STD = "sample_std"
SKIPPED = "skipped_share"

_REMEDY = "Train anew with a lower schedule.learning_rate, a higher loss.wgan_lambda (WGAN-GP) or a larger minibatch"
_OR_CONTINUE = "; or, to continue all the same, raise the limits of the run's alarms or set alarms to null"


def check_figures(options: AlarmOptions | None, row: Row) -> str | None:
    """What is wrong with the figures of a tick, and the remedy; None for nothing."""
    not_finite = [f"{name} {value}" for name, value in row.items() if not math.isfinite(value)]
    if not_finite:
        return f"the losses are no longer finite ({', '.join(not_finite)}). {_REMEDY}"
    if options is None:
        return None
    if row[SKIPPED] > options.max_skipped_share:
        return (
            f"{row[SKIPPED]:.0%} of the tick's updates had gradients that are not finite and were skipped; "
            f"alarms.max_skipped_share is {options.max_skipped_share:.0%}. {_REMEDY}{_OR_CONTINUE}"
        )
    largest = max(SCORES, key=lambda name: abs(row[name]))
    if abs(row[largest]) > options.max_score:
        return (
            f"the discriminator's {largest} is {row[largest]:.4g}; alarms.max_score is {options.max_score:g}. "
            f"{_REMEDY}{_OR_CONTINUE}"
        )
    return None


def check_samples(options: AlarmOptions | None, row: Row) -> str | None:
    """What is wrong with the samples of a snapshot, and the remedy; None for nothing."""
    if options is None or SAMPLE_STD not in row or row[SAMPLE_STD] >= options.min_sample_std:
        return None
    return (
        f"the samples are all alike: the deviation between them is {row[SAMPLE_STD]:.4g}; alarms.min_sample_std is "
        f"{options.min_sample_std:g}. {_REMEDY}{_OR_CONTINUE}"
    )


def sample_std(samples_NCHW: NDArray[np.uint8]) -> float | None:
    """The standard deviation between samples, mean over pixels, of a range -1...1; None for a single sample."""
    if len(samples_NCHW) < 2:
        return None
    return round(float((samples_NCHW / 127.5).std(axis=0).mean()), 5)
