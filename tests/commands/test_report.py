"""celebahq report: on any folder of results, of any age."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.errors import ParamsError
from stages import PARAMS
from stages.__main__ import app
from tests.report import results_tree as tree

ROOT = Path(__file__).parents[2]


def run(*words: str) -> str:
    return CliRunner().invoke(app, ["report", *words], catch_exceptions=False).stdout


def test_one_page_on_all_or_on_some_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.write_run(tmp_path, "one")
    tree.write_run(tmp_path, "two")
    printed = json.loads(run("two", "--folder", str(tmp_path), "--json"))
    page = tmp_path / "reports/report.html"
    assert printed == {"page": str(page), "bytes": page.stat().st_size}
    assert 'id="run-two"' in page.read_text()
    assert "run-one" not in page.read_text()
    # params of an earlier version have no section report
    text = (ROOT / PARAMS).read_text()
    (tmp_path / PARAMS).write_text(text[: text.index("\nreport:")])
    monkeypatch.chdir(tmp_path)
    assert run("--out", "all.html").startswith("all.html: ")
    assert {'id="run-one"', 'id="run-two"'} <= {word.strip(">") for word in Path("all.html").read_text().split()}


def test_bad_words_are_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="holds no results"):
        run("--folder", str(tmp_path))
    tree.write_json(tmp_path / "reports/train/one.json", {"images": 1000})
    with pytest.raises(ParamsError, match="no run 'two'; it has one"):
        run("two", "--folder", str(tmp_path))
    shutil.copy(ROOT / PARAMS, tmp_path)
    changed = (tmp_path / PARAMS).read_text().replace("sheet_pixels: 1200", "sheet_pixels: wide")
    (tmp_path / PARAMS).write_text(changed)
    with pytest.raises(ParamsError, match=r"report\.sheet_pixels.*'wide'"):
        run("--folder", str(tmp_path))
