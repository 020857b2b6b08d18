from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.params import EvaluateParams, InceptionOptions
from pipeline.shards.reader import DataSet
from tests.training.metrics.test_evaluation import _params, _snapshot
from tests.training.small import make_dataset, make_run
from training.data.real_images import Reals
from training.metrics import FirstImages
from training.metrics.evaluation import Evaluator
from training.metrics.features import frechet_distance
from training.metrics.inception import InceptionNetwork, compute, metric_names

CPU = torch.device("cpu")


class Tiny(torch.nn.Module):
    """Called as the published file is: features are colours of the quarters, classes which channel is brightest."""

    def forward(self, x: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        quarters = torch.nn.functional.adaptive_avg_pool2d(x.float() / 255, 2).flatten(1)
        if return_features:
            return quarters
        return torch.softmax(20 * x.float().mean(dim=(2, 3)) / 255, dim=1) * (1.0 if no_output_bias else 0.5)


def make_network(path: Path) -> Path:
    torch.jit.script(Tiny()).save(path)
    return path


def options_of(path: Path, **changes: Any) -> InceptionOptions:
    values = {
        "file": path, "sha256": provenance.digest_of_file(path) if path.is_file() else "0" * 64,
        "fid_images": [16, 24], "score_images": 20, "kid_images": 16, "kid_subsets": 3, "kid_subset_size": 8,
        "precision_images": 12, "precision_neighbours": 3,
    }  # fmt: skip
    return InceptionOptions.model_validate(values | changes)


@pytest.fixture
def options(tmp_path: Path) -> InceptionOptions:
    return options_of(make_network(tmp_path / "network.pt"))


def _images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def test_metrics_use_the_images_counted_in_their_names(options: InceptionOptions) -> None:
    network = InceptionNetwork(options, CPU)
    images = [_images(24, 1), _images(24, 2), np.concatenate([_images(24, 2), _images(9, 3)])]

    def measured(own: np.ndarray, size: int) -> list[np.ndarray]:
        first = [FirstImages(24, network.features), FirstImages(20, network.probabilities)]
        for start in range(0, len(own), size):
            for each in first:
                each.update(own[start : start + size])
        return [each.compute() for each in first]

    (real_NF, _), fakes, longer = map(measured, images, (24, 7, 10))
    assert (len(longer[0]), len(longer[1])) == (24, 20)
    found = compute(options, real_NF, *fakes, seed=1)
    assert list(found) == metric_names(options)
    assert metric_names(options) == ["fid16", "fid24", "is20", "is20_std", "kid16", "precision12", "recall12"]
    assert found == pytest.approx(compute(options, real_NF, *longer, seed=1), rel=1e-5)
    wide = [network.features(own) for own in images[:2]]
    assert found["fid16"] == pytest.approx(frechet_distance(wide[0][:16], wide[1][:16]), abs=1e-6)
    assert found["fid16"] != found["fid24"]
    assert network.probabilities(images[0]).sum(axis=1) == pytest.approx(1.0)


def test_names_are_the_published_ones() -> None:
    full = options_of(
        Path("none"), fid_images=[10_000, 50_000], score_images=50_000, kid_images=50_000, kid_subset_size=1000
    )
    assert metric_names(full)[:5] == ["fid10k", "fid50k", "is50k", "is50k_std", "kid50k"]


def test_a_missing_or_wrong_network_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent\.pt: no such file.*set evaluate\.inception to null"):
        InceptionNetwork(options_of(tmp_path / "absent.pt"), CPU)
    path = make_network(tmp_path / "network.pt")
    with pytest.raises(NetworkError, match=r"network\.pt: its SHA-256 is .*params\.yaml says ffff"):
        InceptionNetwork(options_of(path, sha256="f" * 64), CPU)
    path.write_text("no network")
    with pytest.raises(NetworkError, match="not a TorchScript file"):
        InceptionNetwork(options_of(path), CPU)
    torch.jit.script(torch.nn.Identity()).save(path)
    with pytest.raises(NetworkError, match=r"cannot be called with uint8 images .* return_features=True"):
        InceptionNetwork(options_of(path), CPU).features(_images(2, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"kid_subset_size": 17}, "kid_subset_size 17 is above"), ({"precision_neighbours": 12}, "is not below"),
     ({"sha256": "abc"}, "sha256"), ({"fid_images": []}, "fid_images")],
)  # fmt: skip
def test_invalid_counts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options_of(Path("none"), **changes)


def test_the_evaluator_adds_inception_metrics(tmp_path: Path, options: InceptionOptions) -> None:
    run = make_run(make_dataset(tmp_path / "set", images=48, resolution=32), resolution=32, grid_cell_pixels=32)

    def measured(params: EvaluateParams, network: InceptionNetwork | None) -> tuple[dict[str, float], dict[str, float]]:
        reals = Reals(DataSet(run.dataset), run)
        evaluator = Evaluator(params, run, reals, tmp_path / "scratch", inception_network=network)
        return evaluator.measure_reals(), evaluator.measure_fakes(_snapshot(run, 0.0))

    params = _params(inception=options)
    reals, fakes = measured(params, InceptionNetwork(options, CPU))
    for name in ("fid16", "fid24", "kid16"):
        assert reals[name] < fakes[name]
    without = measured(_params(), None)
    assert without[1] == {name: value for name, value in fakes.items() if name in without[1]}
    assert set(fakes) - set(without[1]) == set(metric_names(options))
