"""Stage report: its page, and the few numbers and curves of DVC, on the results of other stages."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from stages import PARAMS, load_yaml
from stages.report import METRICS, PAGE, PLOTS, report
from tests.report import results_tree as tree

FILES = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_yaml((FILES / PARAMS).read_text())
    params["lsun"]["categories"] = ["bedroom", "church_outdoor"]  # a folder has the user's spelling
    (tmp_path / PARAMS).write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    tree.write_faces(tmp_path)
    tree.write_run(tmp_path)
    tree.write_run(tmp_path, "older")
    tree.write_category(tmp_path)
    tree.write_category(tmp_path, "church_outdoor")
    tree.write_category(tmp_path, "cat")


def test_the_page_the_numbers_and_the_curves_are_of_what_params_name() -> None:
    left = METRICS / "runs" / "gone.json"
    tree.write_json(left, {"kimg": 1})
    report()
    page = PAGE.read_text()
    assert 'id="run-demo"' in page
    assert "run-older" not in page, "params.yaml has no such run any more"
    assert 'id="lsun-bedroom"' in page
    assert "lsun-cat" not in page
    assert "No data set" not in page
    metrics = {path.relative_to(METRICS).as_posix(): json.loads(path.read_text()) for path in METRICS.rglob("*.json")}
    assert metrics == {
        "faces.json": {"images": 6},
        "lsun/bedroom.json": {"images": 1},
        "lsun/church_outdoor.json": {"images": 1},
        "runs/demo.json": {"kimg": 3.2, "swd16_mean": 50.5, "msssim8": 0.25},
    }
    files = {path.relative_to(PLOTS).as_posix() for path in PLOTS.rglob("*.*")}
    assert files == {"loss/demo.csv", "swd/demo.csv", "msssim/demo.csv"}
    with (PLOTS / "loss/demo.csv").open() as file:
        assert next(csv.DictReader(file)) == {"kimg": "0.8", "discriminator": "-0.8", "generator": "1.5"}
    assert not [*Path("data/.work").iterdir()]

    # dvc.yaml names the folders, and columns that all runs have
    plots = load_yaml((FILES / "dvc.yaml").read_text())["plots"]
    named = {key: value for entry in plots if isinstance(entry, dict) for key, value in entry.items()}
    for folder in PLOTS.iterdir():
        definition = named[folder.as_posix()]
        with next(folder.iterdir()).open() as file:
            columns = csv.DictReader(file).fieldnames
        y = definition["y"]
        assert columns == [definition["x"], *(y if isinstance(y, list) else [y])]
    assert not [entry for entry in plots if "demo" in str(entry)], "no run is named"
