"""Stage report: one page on all results, and the few numbers and curves that DVC shows."""

import csv
import io
import json
import shutil
from pathlib import Path

from pydantic import ValidationError

from pipeline import atomic
from pipeline.errors import ParamsError
from pipeline.params import ReportParams
from pipeline.report.page.headlines import curves, headlines
from pipeline.report.page.page import page
from pipeline.report.page.results import Results
from stages import PARAMS, REPORTS, WORK, load_yaml, main, read_params
from stages.profiles import PROFILES

PAGE, METRICS, PLOTS = REPORTS / "report.html", REPORTS / "metrics", REPORTS / "plots"

ROOT = Path(__file__).resolve().parents[1]


def report() -> None:
    """Write `reports/report.html`, `reports/metrics` and `reports/plots` for the runs and categories of params."""
    params = read_params()
    results = Results(Path(), runs=list(params.train.runs), categories=params.lsun.categories, page=PAGE)
    with atomic.locked(WORK / "report.lock", "report"):
        write_page(results, params.report)
        work = WORK / "report"
        shutil.rmtree(work, ignore_errors=True)
        _write_metrics(results, work / METRICS.name)
        _write_plots(results, work / PLOTS.name)
        for folder in (METRICS, PLOTS):
            atomic.publish(work / folder.name, folder)
        work.rmdir()


def write_page(results: Results, limits: ReportParams) -> int:
    """Write the page to `results.page`; return its size in bytes."""
    content = page(results, limits).encode()
    atomic.write_bytes(results.page, content)
    return len(content)


def limits_of(folder: Path) -> ReportParams:
    """The section `report` of the params in a folder, or of the demo's where the results are older than the section.

    `ParamsError`, which names the value, if one is impossible.
    """
    for path in (folder / PARAMS, ROOT / PROFILES / "demo.yaml"):
        section = load_yaml(path.read_text(encoding="utf-8")).get("report") if path.is_file() else None
        if section is not None:
            try:
                return ReportParams.model_validate_json(json.dumps(section))
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(map(str, fault["loc"]))
                raise ParamsError(f"{path}: report.{where}: {fault['msg']} (found {fault['input']!r})") from error
    raise ParamsError(f"{ROOT}: has no {PROFILES / 'demo.yaml'}. Install the checkout in place: make env.")


def _write_metrics(results: Results, folder: Path) -> None:
    """One small JSON file for each data set and run, so that the table of `dvc metrics show` is narrow."""
    folder.mkdir(parents=True)
    for name, values in headlines(results).items():
        atomic.write_json(folder / f"{name}.json", values)


def _write_plots(results: Results, folder: Path) -> None:
    """A folder for each kind of plot, with a file for each run: `dvc.yaml` names the folders."""
    folder.mkdir(parents=True)
    for name, columns, rows in curves(results):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        atomic.write_bytes(folder / f"{name}.csv", text.getvalue().encode())
    for name in results.runs:
        picture = results.stage(f"train@{name}").folder / "progress.png"
        if picture.is_file():
            atomic.write_bytes(folder / "progress" / f"{name}.png", picture.read_bytes())


if __name__ == "__main__":
    main(report)
