"""When a run is no longer worth its electricity: figures of a tick, or samples of a snapshot, that tell so."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.params import AlarmOptions
from training.history import Row

SCORES = ("score/real", "score/fake")
SAMPLE_STD = "sample_std"
SKIPPED = "skipped_share"


def in_figures(options: AlarmOptions | None, row: Row) -> str | None:
    """What is wrong with the figures of a tick, and the remedy; None where nothing is."""
    wrong = {name: value for name, value in row.items() if not math.isfinite(value)}
    if wrong:
        return (
            f"the losses are no longer finite ({', '.join(f'{name} {value}' for name, value in wrong.items())}). "
            f"{_GENTLER}."
        )
    if options is None:
        return None
    if row[SKIPPED] > options.max_skipped_share:
        return (
            f"{row[SKIPPED]:.0%} of the tick's updates had gradients that are not finite and were skipped; "
            f"alarms.max_skipped_share is {options.max_skipped_share:.0%}. {_GENTLER}{_OR_ON}"
        )
    loudest = max(SCORES, key=lambda name: abs(row[name]))
    if abs(row[loudest]) > options.max_score:
        return (
            f"the discriminator's {loudest} is {row[loudest]:.4g}; alarms.max_score is {options.max_score:g}. "
            f"{_GENTLER}{_OR_ON}"
        )
    return None


def in_samples(options: AlarmOptions | None, row: Row) -> str | None:
    """What is wrong with the samples of a snapshot, and the remedy; None where nothing is."""
    if options is None or SAMPLE_STD not in row or row[SAMPLE_STD] >= options.min_sample_std:
        return None
    return (
        f"the samples are all alike: the deviation between them is {row[SAMPLE_STD]:.4g}; alarms.min_sample_std is "
        f"{options.min_sample_std:g}. {_GENTLER}{_OR_ON}"
    )


def sample_std(samples_NCHW: NDArray[np.uint8]) -> float | None:
    """The deviation between samples, mean over pixels, where black is -1 and white 1; None for a single one."""
    if len(samples_NCHW) < 2:
        return None
    return round(float((samples_NCHW / 127.5).std(axis=0).mean()), 5)


_GENTLER = "Train anew with a lower schedule.learning_rate, a higher loss.wgan_lambda (WGAN-GP) or a larger minibatch"
_OR_ON = "; or, if it should go on all the same, loosen or null the run's alarms."
