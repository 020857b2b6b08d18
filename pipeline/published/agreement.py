"""How well a figure of the faces agrees with NVIDIA's choice of 30,000 of CelebA's photographs."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from pipeline.faces.quality import best_first
from pipeline.manifest import Scored

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
    above = rankdata(figures)[is_chosen].sum() - count * (count + 1) / 2
    best = best_first(figures)[:count]
    return Agreement(round(float(above) / (count * others), DECIMALS), round(float(is_chosen[best].mean()), DECIMALS))


def agreements(rows: Sequence[Scored], listed: Set[str]) -> Mapping[str, Agreement] | None:
    """The agreement of each figure of the scored `rows` with the photographs `listed`; None where all or none are.

    quality and sharpness of the final image, the photograph's bytes, and the side of the face's square in its pixels.
    Of several faces of a photograph the first is the published one.
    """
    scored = [row for row in rows if row.quality is not None]
    first = {row.file: row.key for row in reversed(rows)}
    chosen = [row.file in listed and first[row.file] == row.key for row in scored]
    if not any(chosen) or all(chosen):
        return None
    figures = {
        "quality": [row.quality or 0.0 for row in scored],
        "sharpness": [row.sharpness or 0.0 for row in scored],
        "file_size": [float(row.photograph.size) for row in scored],
        "resolution": [row.shrink / row.zoom for row in scored],
    }
    return {name: agreement(values, chosen) for name, values in figures.items()}
