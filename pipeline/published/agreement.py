"""How well a figure of the faces agrees with NVIDIA's choice of 30,000 of CelebA's photographs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.faces.quality import best_first

DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Agreement:
    """`auc`: how often a chosen face has the higher figure than another one; 0.5 by chance, ties count half.

    `overlap`: the share of the chosen faces among as many of the highest figures; their share of all by chance.
    """

    auc: float
    overlap: float


def agreement(figures: Sequence[float], chosen: Sequence[bool]) -> Agreement:
    """The agreement of a figure, higher is better, with a choice; `ValueError` where all or none are chosen."""
    is_chosen = np.asarray(chosen, bool)
    count, others = int(is_chosen.sum()), int((~is_chosen).sum())
    if count == 0 or others == 0:
        raise ValueError(f"{count} faces are chosen and {others} are not; neither may be 0")
    # the statistic of Mann and Whitney
    above = _ranks(figures)[is_chosen].sum() - count * (count + 1) / 2
    best = best_first(figures)[:count]
    return Agreement(round(float(above) / (count * others), DECIMALS), round(float(is_chosen[best].mean()), DECIMALS))


def _ranks(figures: Sequence[float]) -> NDArray[np.float64]:
    """The place of each figure in ascending order, from 1; equal ones share the mean of their places."""
    _, place, count = np.unique(figures, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def agreements(faces: pa.Table, chosen: Sequence[bool]) -> dict[str, Agreement]:
    """The agreement of each figure of scored faces, a table with columns of `Scored`, with a choice of them.

    quality and sharpness of the final image, the photograph's bytes, and the side of the face's square in its pixels.
    `ValueError` as `agreement`.
    """
    columns = faces.flatten()
    figures = {
        "quality": columns["quality"].to_pylist(),
        "sharpness": columns["sharpness"].to_pylist(),
        "file_size": columns["photograph.size"].to_pylist(),
        "resolution": (columns["shrink"].to_numpy() / columns["zoom"].to_numpy()).tolist(),
    }
    return {name: agreement(values, chosen) for name, values in figures.items()}
