import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics.features import frechet_distance, inception_score, kernel_inception_distance, precision_and_recall


def _normal(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size))


def test_the_frechet_distance_of_gaussians() -> None:
    real_NF = _normal(400, 3, 1)
    real_NF = (real_NF - real_NF.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(real_NF, rowvar=False)).T)
    deviations, shift = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.0, 4.0])
    expected = 25 + float(np.square(deviations - 1).sum())
    assert frechet_distance(real_NF, real_NF * deviations + shift) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), rows=st.integers(3, 30))
def test_the_frechet_distance_is_symmetric_and_ignores_order(seed: int, rows: int) -> None:
    a, b = _normal(rows, 8, seed), 1 + 2 * _normal(20, 8, seed + 1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b[::-1], a), rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)


def test_the_inception_score_is_from_one_to_the_number_of_classes() -> None:
    certain_NC = np.eye(4)[np.arange(80) % 4]
    assert inception_score(certain_NC, 10) == pytest.approx((4.0, 0.0))
    assert inception_score(np.full((80, 4), 0.25), 10) == pytest.approx((1.0, 0.0))
    sorted_NC = np.eye(4)[np.arange(80) // 20]  # parts are taken in order
    assert inception_score(sorted_NC, 4) == pytest.approx((1.0, 0.0))


def test_kid_equals_its_definition_and_is_centred_at_zero() -> None:
    a, b = _normal(12, 5, 1), _normal(12, 5, 2) + 0.5
    kernel = [
        [[(float(x @ y) / 5 + 1) ** 3 for y in second] for x in first] for first, second in ((a, a), (b, b), (a, b))
    ]
    within = sum(kernel[k][i][j] for k in (0, 1) for i in range(12) for j in range(12) if i != j) / (12 * 11)
    expected = within - 2 * np.mean(kernel[2])
    once = {"subsets": 1, "subset_size": 12, "rng": np.random.default_rng(1)}
    assert kernel_inception_distance(a, b, **once) == pytest.approx(expected)
    same = [kernel_inception_distance(_normal(200, 5, seed), _normal(200, 5, seed + 100), subsets=5, subset_size=100,
            rng=np.random.default_rng(seed)) for seed in range(20)]  # fmt: skip
    assert min(same) < 0 < max(same)
    large = {"subsets": 5, "subset_size": 100, "rng": np.random.default_rng(1)}
    assert abs(np.mean(same)) < 0.05 < kernel_inception_distance(_normal(200, 5, 1), _normal(200, 5, 2) + 0.5, **large)


def test_precision_and_recall_of_missing_and_extra_modes() -> None:
    left, right = _normal(300, 4, 1), _normal(300, 4, 2) + 20
    both = np.concatenate([left, right])
    precision, recall = precision_and_recall(both, _normal(400, 4, 3), 3)  # one of two modes
    assert precision > 0.9
    assert 0.4 < recall < 0.55
    precision, recall = precision_and_recall(left, both, 3)  # one mode too many
    assert 0.45 < precision < 0.6
    assert recall == 1.0
    assert precision_and_recall(left, right, 3) == (0.0, 0.0)


def test_precision_equals_its_definition_across_blocks() -> None:
    rng = np.random.default_rng(1)
    real_NF, fake_NF = rng.standard_normal((1100, 2)), 1.5 * rng.standard_normal((1050, 2))
    distances = np.linalg.norm(real_NF[:, None] - real_NF[None], axis=2)
    radii = np.sort(distances, axis=1)[:, 2]
    across = np.linalg.norm(fake_NF[:, None] - real_NF[None], axis=2)
    expected = (across <= radii).any(axis=1).mean()
    assert precision_and_recall(real_NF, fake_NF, 2)[0] == pytest.approx(expected, abs=1e-3)
