"""The size that is predicted for a run is about that of its files."""

from pathlib import Path

from safetensors.torch import save_file

from stages import profiles
from tests.stages.faces import DEMO
from training.networks.discriminator import Discriminator
from training.networks.generator import Generator
from training.sizes import run_bytes


def test_the_prediction_is_the_size_of_the_files(tmp_path: Path) -> None:
    run = profiles.parse_params(DEMO.read_text(), DEMO).train.runs["demo"]
    total = 0
    for name, kind in (("G", Generator), ("Gs", Generator), ("D", Discriminator)):
        network = kind(run.networks, resolution=run.resolution, channels=3, label_size=7)
        path = tmp_path / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
        total += path.stat().st_size
    snapshots = (run.keep_snapshots + 1) * total
    assert snapshots < run_bytes(run, label_size=7) < 1.3 * snapshots
