"""Metrics on features or class probabilities of image sets: pure functions of arrays.

Suffixes: N image, F feature, C class, S split.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

Floats = NDArray[np.floating]
_ROWS = 1000
"""Rows of a distance matrix held at once: 80 MB for 10,000 columns."""


def frechet_distance(real_NF: Floats, fake_NF: Floats) -> float:
    """FID: squared Fréchet distance of Gaussians fitted to both sets (Heusel et al. 2017).

    Covariances divide by N - 1. The trace of the square root of their product AB is the sum of the roots of its
    eigenvalues, which are those of the symmetric matrix RᵀBR with A = RRᵀ.
    """
    real64_NF, fake64_NF = real_NF.astype(np.float64), fake_NF.astype(np.float64)
    covariance_a, covariance_b = np.cov(real64_NF, rowvar=False), np.cov(fake64_NF, rowvar=False)
    values_F, vectors_FF = np.linalg.eigh(covariance_a)
    root_FF = vectors_FF * np.sqrt(values_F.clip(min=0))
    product_F = np.linalg.eigvalsh(root_FF.T @ covariance_b @ root_FF).clip(min=0)
    between_means = float(np.square(real64_NF.mean(axis=0) - fake64_NF.mean(axis=0)).sum())
    return between_means + float(np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(product_F).sum())


def inception_score(probabilities_NC: Floats, splits: int) -> tuple[float, float]:
    """Mean and deviation, over `splits` parts, of exp(mean KL divergence from the part's mean) (Salimans et al. 2016).

    Parts are consecutive rows; where N is not divisible, they differ by one row.
    """
    probabilities64_NC = probabilities_NC.astype(np.float64)
    borders = [part * len(probabilities64_NC) // splits for part in range(splits + 1)]
    parts = [probabilities64_NC[start:end] for start, end in pairwise(borders)]
    scores_S = [np.exp(rel_entr(part_NC, part_NC.mean(axis=0)).sum(axis=1).mean()) for part_NC in parts]
    return float(np.mean(scores_S)), float(np.std(scores_S))


def kernel_inception_distance(
    real_NF: Floats, fake_NF: Floats, *, subsets: int, subset_size: int, rng: np.random.Generator
) -> float:
    """KID: unbiased squared MMD with the kernel (x · y / F + 1)³, mean over random subsets (Bińkowski et al. 2018).

    Around 0, and possibly below, for sets from the same distribution.
    """
    total = 0.0
    for _ in range(subsets):
        x_MF, y_MF = (
            set_NF[rng.choice(len(set_NF), subset_size, replace=False)].astype(np.float64)
            for set_NF in (real_NF, fake_NF)
        )
        within = _kernel(x_MF, x_MF) + _kernel(y_MF, y_MF)
        pairs = subset_size * (subset_size - 1)
        total += (within.sum() - np.trace(within)) / pairs - 2 * _kernel(x_MF, y_MF).mean()
    return total / subsets


def precision_and_recall(real_NF: Floats, fake_NF: Floats, neighbours: int) -> tuple[float, float]:
    """Fractions of fakes on the manifold of reals, and of reals on that of fakes (Kynkäänniemi et al. 2019).

    The manifold of a set: within the distance of any member to its `neighbours`-th nearest neighbour.
    """
    real_NF, fake_NF = real_NF.astype(np.float64), fake_NF.astype(np.float64)
    return _fraction_within(fake_NF, real_NF, neighbours), _fraction_within(real_NF, fake_NF, neighbours)


def _kernel(x_MF: NDArray[np.float64], y_MF: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x_MF @ y_MF.T / x_MF.shape[1] + 1) ** 3


def _fraction_within(points_NF: NDArray[np.float64], members_NF: NDArray[np.float64], neighbours: int) -> float:
    # index 0 is the member itself
    radii_N = np.concatenate([
        np.partition(_squared_distances(rows_MF, members_NF), neighbours, axis=1)[:, neighbours]
        for rows_MF in _blocks(members_NF)
    ])  # fmt: skip
    inside = [(_squared_distances(rows_MF, members_NF) <= radii_N).any(axis=1) for rows_MF in _blocks(points_NF)]
    return float(np.concatenate(inside).mean())


def _blocks(rows_NF: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [rows_NF[start : start + _ROWS] for start in range(0, len(rows_NF), _ROWS)]


def _squared_distances(a_NF: NDArray[np.float64], b_MF: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths_NM = np.square(a_NF).sum(axis=1)[:, None] + np.square(b_MF).sum(axis=1)
    return (lengths_NM - 2 * a_NF @ b_MF.T).clip(min=0)
