import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.params import ModesOptions
from pipeline.shards.layout import Header
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from training.metrics import FirstImages
from training.metrics.mode_count import (
    DigitClassifier,
    compute,
    divergence_from_uniform,
    metric_names,
    modes_of,
    train_classifier,
)

CPU = torch.device("cpu")
SEGMENTS = [
    "1110111",
    "0010010",
    "1011101",
    "1011011",
    "0111010",
    "1101011",
    "1101111",
    "1010010",
    "1111111",
    "1111011",
]
"""The strokes of each digit on a seven-segment display: top, left and right above, middle, left and right, bottom."""
PLACES = ((0, 0, 2, 10), (0, 0, 9, 2), (0, 8, 9, 2), (8, 0, 2, 10), (9, 0, 9, 2), (9, 8, 9, 2), (16, 0, 2, 10))


def draw_digit(digit: int, rng: np.random.Generator) -> np.ndarray:
    """A digit of 32x32 somewhere near the middle, grey."""
    image = rng.integers(0, 40, (32, 32), dtype=np.uint8)
    top, left = rng.integers(4, 10), rng.integers(6, 16)
    for lit, (y, x, height, width) in zip(SEGMENTS[digit], PLACES, strict=True):
        if lit == "1":
            image[top + y : top + y + height, left + x : left + x + width] = rng.integers(180, 256)
    return image


def make_digits(folder: Path, count: int, label_size: int = 10) -> Path:
    rng = np.random.default_rng(1)
    header = Header(32, "none", "0" * 64, "none", "none", "{}")
    with writing_shard(folder / "shard-00000.h5", header, count) as shard:
        for index in range(count):
            image = np.stack([draw_digit(index % 10, rng)] * 3)
            labels = np.eye(label_size, dtype=np.float32)[index % label_size] if label_size else None
            shard.add(image, index=index, file=f"{index}.png", labels=labels)
    write_view(folder)
    return folder


def options_of(folder: Path, **changes: int) -> ModesOptions:
    values = {"digits": folder, "samples": 400, "steps": 150, "minibatch": 32, "learning_rate": 0.003, "held_out": 100}
    return ModesOptions.model_validate(values | changes)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_digits(tmp_path_factory.mktemp("digits"), 600)


@pytest.fixture(scope="module")
def trained(digits: Path) -> tuple[DigitClassifier, float]:
    return train_classifier(options_of(digits), 1, CPU)


def test_the_classifier_generalises(trained: tuple[DigitClassifier, float]) -> None:
    classifier, accuracy = trained
    assert accuracy > 0.95
    rng = np.random.default_rng(9)
    expected = rng.integers(0, 1000, 60)
    images_NCHW = np.stack([[draw_digit(int(digit), rng) for digit in f"{mode:03}"] for mode in expected])
    assert (modes_of(classifier, images_NCHW) == expected).mean() > 0.9


def test_the_classifier_depends_on_the_seed_only(digits: Path) -> None:
    options = options_of(digits, steps=3)
    first, second, other = (train_classifier(options, seed, CPU)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["scores.weight"], other["scores.weight"])


def test_modes_are_counted(digits: Path, trained: tuple[DigitClassifier, float]) -> None:
    rng = np.random.default_rng(3)
    images_NCHW = np.stack(
        [[draw_digit(n // 100, rng), draw_digit(n // 10 % 10, rng), draw_digit(n % 10, rng)] for n in range(40)]
    )
    modes = FirstImages(30, partial(modes_of, trained[0]))
    for start in (0, 25):
        modes.update(images_NCHW[start : start + 25])
    assert len(modes.compute()) == 30
    options = options_of(digits, samples=30)
    metrics = compute(options, modes.compute())
    assert metric_names(options) == list(metrics) == ["modes30", "modes30_kl"]
    assert 26 <= metrics["modes30"] <= 30
    frequencies = np.bincount(modes.compute(), minlength=1000)
    assert metrics["modes30_kl"] == pytest.approx(divergence_from_uniform(frequencies), abs=1e-6)


def test_the_divergence_is_from_zero_to_the_log_of_the_number_of_modes() -> None:
    assert divergence_from_uniform(np.full(1000, 7)) == pytest.approx(0)
    one = np.zeros(1000, np.int64)
    one[5] = 12
    assert divergence_from_uniform(one) == pytest.approx(math.log(1000))
    half = np.repeat([2, 0], 500)
    assert divergence_from_uniform(half) == pytest.approx(math.log(2))


def test_unsuitable_data_sets_are_refused(tmp_path: Path, digits: Path) -> None:
    with pytest.raises(TrainingError, match=r"labels of shape \(20, 3\); the classifier of evaluate\.modes needs"):
        train_classifier(options_of(make_digits(tmp_path / "three", 20, 3)), 1, CPU)
    with pytest.raises(TrainingError, match="labels none"):
        train_classifier(options_of(make_digits(tmp_path / "none", 20, 0)), 1, CPU)
    with pytest.raises(TrainingError, match=r"600 digits, of which evaluate\.modes\.held_out 600 leaves none"):
        train_classifier(options_of(digits, held_out=600), 1, CPU)
