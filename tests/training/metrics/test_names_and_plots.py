from pathlib import Path

import pytest

from training.metrics import plots, short_count

ROWS = [{"kimg": 1.0, "swd": 50.0, "note": 1.0}, {"kimg": 2.0, "swd": 20.0, "note": 2.0}]


@pytest.mark.parametrize(
    ("count", "name"), [(16384, "16k"), (10_000, "10k"), (50_000, "50k"), (1024, "1k"), (256, "256"), (1536, "1536")]
)
def test_short_counts(count: int, name: str) -> None:
    assert short_count(count) == name


def test_a_curve_is_written_as_csv(tmp_path: Path) -> None:
    plots.write_csv(tmp_path / "swd.csv", ROWS, ["kimg", "swd"])
    assert (tmp_path / "swd.csv").read_text() == "kimg,swd\n1.0,50.0\n2.0,20.0\n"


def test_plots_are_reproducible(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        plots.draw(tmp_path / name, ROWS, ["swd"], label="SWD", baselines={"swd": 5.0})
    first = (tmp_path / "a.png").read_bytes()
    assert first == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in first
