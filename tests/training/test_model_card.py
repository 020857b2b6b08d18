"""The card of a network states what is known, and how to load it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.errors import NetworkError
from stages.__main__ import app
from tests.training.small import make_network, make_published_run, make_run
from training import model_card

DATASET_CARD = """---
license: other
---

# Faces 32x32

64 RGB images.

## Source and terms

- [CelebA](https://example.org): research only. Licence: its own.

## Content
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published run of two snapshots, with its data set's card and its evaluation."""
    root = tmp_path_factory.mktemp("card")
    rates = {"learning_rate": 0.004, "learning_rate_at": {32: 0.002}}
    changes = {"ema_decay": {"half_life_kimg": 10.0}, "schedule__discriminator_rates": rates}
    options = make_run(Path("data/shard"), labels=True, **changes).model_dump(mode="json")
    options["start"] = {"path": "runs/first", "kimg": None, "optimizers": "new"}
    folder = make_published_run(root, {1240: 1.25, 2480: 0.0}, best=2480, options=options)
    for path, text in {
        "data/shard/README.md": DATASET_CARD,
        "evaluations/small/swd.csv": "kimg,resolution,swd256_mean\n1.24,16,61.5\n2.48,32,44.25\n",
        "evaluations/small/fid.csv": "kimg,resolution,fid10k\n2.48,32,12.5\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return folder


def test_each_network_of_a_run_gets_its_card(run: Path) -> None:
    result = CliRunner().invoke(app, ["card", str(run), "--json"], catch_exceptions=False)
    names = ["network-000001240.md", "network-000002480.md"]
    assert json.loads(result.output) == {"cards": [str(run / name) for name in names]}
    early, last = ((run / name).read_text() for name in names)
    for line in (
        "| images | 32x32 RGB; the whole network: 32x32 |",
        "| trained for | 2.5 thousand real images |",
        "| of the run's snapshots | the nearest to the real images by swd256 4.5 |",
        "Faces 32x32 (`data/shard`), made of:",
        "- [CelebA](https://example.org): research only. Licence: its own.",
        "| swd256_mean | 44.25 |",
        "| fid10k | 12.5 |",
        "| learning rate | 0.001 |",
        "| learning rate of D | 0.004, 0.002 at 32 |",
        "| running average | half-life 10 kimg |",
        "| started from | `runs/first` |",
        "celebahq generate network-000002480.safetensors images --seeds 0-15",
    ):
        assert line in last.splitlines()
    assert "| images | 16x16 RGB, 25% of them still the image of 8x8 (a fade); the whole network: 32x32 |" in early
    assert "| swd256_mean | 61.5 |" in early
    assert "fid10k" not in early
    assert "of the run's snapshots" not in early
    CliRunner().invoke(app, ["card", str(run)], catch_exceptions=False)
    assert (run / names[1]).read_text() == last, "equal networks have equal cards"


def test_the_code_of_a_card_makes_images(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = model_card.card(model_card.facts_of(run / "network-000001240.safetensors"))
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    monkeypatch.chdir(run)
    names: dict[str, np.ndarray] = {}
    exec(code[1], names)
    assert names["latents"].shape == (4, 8)
    assert names["images"].shape == (4, 3, 16, 16)


def test_a_network_elsewhere_states_what_is_not_known(tmp_path: Path) -> None:
    text = model_card.card(model_card.facts_of(make_network(tmp_path, lod=3.0, images_shown=0)))
    assert "| trained for | not stated here thousand" not in text
    assert "The file lies in no run of this project" in text
    assert "Not evaluated" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"run": null}', '{"report": {"best": 3}}', '{"run": {"dataset": 3}}'])
def test_a_damaged_record_is_named(content: str, tmp_path: Path) -> None:
    network = make_network(tmp_path / "runs/small", lod=0.0, label_size=2)
    (network.parent / "record.json").write_text(content)
    out = str(tmp_path)
    for command, *words in (["card"], ["generate", out, "--snapshot", "best"], ["generate", out, "--class", "Young"]):
        with pytest.raises(NetworkError, match=r"record\.json: not the record of a run, or damaged"):
            CliRunner().invoke(app, [command, str(network.parent), *words], catch_exceptions=False)


def test_a_damaged_evaluation_is_named(tmp_path: Path) -> None:
    network = make_network(tmp_path / "runs/small", lod=0.0, label_size=2)
    table = tmp_path / "evaluations/small/swd.csv"
    table.parent.mkdir(parents=True)
    table.write_text("kimg,resolution,swd16\n\x00\x00,32,4.5\n")
    with pytest.raises(NetworkError, match=r"swd\.csv: damaged, a row has no kimg"):
        model_card.facts_of(network)
