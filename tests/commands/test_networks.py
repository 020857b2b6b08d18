"""Commands about networks (stages/commands/networks.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.errors import ParamsError
from stages.__main__ import app
from tests.training.small import make_network
from training.image_grid import read_png


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 16 pixels with three classes."""
    return make_network(tmp_path_factory.mktemp("networks"), lod=1.0, label_size=3)


def celebahq(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_seeds_are_written_under_their_numbers_and_as_a_sheet(network: Path, tmp_path: Path) -> None:
    assert "3 images in" in celebahq("generate", network, tmp_path, "--seeds", "4,10-11")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed0004.png", "seed0010.png", "seed0011.png"]
    celebahq("generate", network.parent, tmp_path / "sheet", "--seeds", "11,4", "--grid", "1x2")
    sheet = read_png(tmp_path / "sheet/grid.png")
    assert np.array_equal(sheet, np.concatenate([read_png(tmp_path / f"seed{n}.png") for n in ("0011", "0004")]))
    celebahq("generate", network, tmp_path / "one", "--seeds", "4", "--class", "2")
    assert not np.array_equal(read_png(tmp_path / "one/seed0004.png"), read_png(tmp_path / "seed0004.png"))
    celebahq("generate", network, tmp_path / "same", "--seeds", "4", "--class", "1")  # 4 modulo 3
    assert np.array_equal(read_png(tmp_path / "same/seed0004.png"), read_png(tmp_path / "seed0004.png"))
    celebahq("generate", network, tmp_path / "raw", "--seeds", "4", "--which", "G")
    assert not np.array_equal(read_png(tmp_path / "raw/seed0004.png"), read_png(tmp_path / "seed0004.png"))


def test_count_and_seed_fill_a_sheet(network: Path, tmp_path: Path) -> None:
    celebahq("generate", network, tmp_path, "--grid", "3x2", "--seed", "5")
    celebahq("generate", network, tmp_path, "--count", "6", "--seed", "5")
    first_row = np.concatenate([read_png(tmp_path / f"00000{n}.png") for n in range(3)], axis=1)
    assert np.array_equal(read_png(tmp_path / "grid.png")[:16], first_row)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--truncation", "0.7"], "the progressive GAN has none"),
        (["--seeds", "1", "--count", "2"], "leave out --count and --seed"),
        (["--seeds", "1-5", "--grid", "2x2"], "--grid 2x2 has 4 cells, for 5 images"),
        (["--class", "3"], "'3' is no class; there are 0 to 2"),
    ],
)
def test_what_does_not_go_together_is_named(network: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        celebahq("generate", network, tmp_path, *words)
    assert not list(tmp_path.iterdir())


def test_videos_lie_in_the_run_by_default(network: Path) -> None:
    made = json.loads(celebahq("video", "interpolation", network.parent, "--seconds", "0.1", "--grid", "1x1", "--json"))
    path = network.parent / "interpolation.mp4"
    assert made == {
        "file": str(path), "frames": 6, "fps": 60, "width": 128, "height": 128, "seconds": 0.1,
        "bytes": path.stat().st_size,
    }  # fmt: skip
    line = celebahq("video", "progress", network.parent, "--grid", "2x1", "--fps", "5", "--class", "1")
    assert line.startswith(f"{network.parent / 'progress.mp4'}: 10 frames of 256x160, 2 s at 5 per second, 0.0 MB")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["neighbours", "{network}", "data", "out.csv"],
            "out.csv: the sheet is a PNG file, out.csv the table. Name",
        ),
        (["video", "interpolation", "{network}", "out.mp4", "--grid", "999x999"], "127872x127872 pixels"),
    ],
)
def test_what_could_not_be_written_is_refused_at_once(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=message):
        celebahq(*(word.format(network=network) for word in words))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["video", "interpolation", "--seconds", "inf"],
        ["video", "progress", "--seconds", "inf"],
        ["neighbours", "data", "--memory-mib", "inf"],
        ["neighbours", "data", "--resolution", "0"],
    ],
)
def test_numbers_out_of_range_are_wrong_usage(network: Path, words: list[str]) -> None:
    options = words.index(next(word for word in words if word.startswith("--")))
    result = CliRunner().invoke(app, [*words[:options], str(network), *words[options:]])
    assert result.exit_code == 2, result.output
