"""The command that writes the report."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.params import ReportParams
from stages import PARAMS, REPORTS, load_yaml
from stages.commands import app
from stages.profiles import PROFILES


@app.command()
def report(
    run: Annotated[list[str] | None, typer.Argument(help="names of runs; default: all that are there")] = None,
    folder: Annotated[
        Path, typer.Option(help="holds data/, runs/ and reports/; or a data set of celebahq build")
    ] = Path(),
    out: Annotated[Path | None, typer.Option(help="the page; default: reports/report.html in that folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print path and size as JSON")] = False,
) -> None:
    """Write one page about all results that are there, also of stages that have not finished the whole pipeline."""
    from pipeline.report.page import words
    from pipeline.report.page.results import VIEW, Results
    from stages.report import PAGE, write_page

    is_data_set = (folder / VIEW).is_file()
    target = out or folder / (PAGE.name if is_data_set else PAGE)
    known = Results(folder, page=target)
    if not is_data_set and not known.stages():
        raise ParamsError(
            f"{folder.resolve()}: holds no results, neither data/, runs/ nor {REPORTS}/. Name another --folder."
        )
    for name in run or ():
        if name not in known.runs:
            raise ParamsError(f"{folder / 'runs'} has no run {name!r}; it has {', '.join(known.runs) or 'none'}")
    size = write_page(Results(folder, runs=run or None, page=target), _limits(folder))
    if as_json:
        print(json.dumps({"page": str(target), "bytes": size}))
    else:
        print(f"{target}: {words.size(size)}; open it in a browser")


def _limits(folder: Path) -> ReportParams:
    """The section `report` of the params in the folder, or of the demo's where results are older than the section."""
    from stages.pictures import ROOT

    for path in (folder / PARAMS, ROOT / PROFILES / "demo.yaml"):
        section = load_yaml(path.read_text(encoding="utf-8")).get("report") if path.is_file() else None
        if section is not None:
            try:
                return ReportParams.model_validate_json(json.dumps(section))
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(map(str, fault["loc"]))
                raise ParamsError(f"{path}: report.{where}: {fault['msg']} (found {fault['input']!r})") from error
    raise ParamsError(f"{ROOT / PROFILES}: no demo.yaml. Install the checkout in place: make env.")
