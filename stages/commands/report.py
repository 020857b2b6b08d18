"""The command that writes the report."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ParamsError
from stages import REPORTS
from stages.commands import Json, app, panels, print_facts


@app.command(rich_help_panel=panels.LOOK)
def report(
    run: Annotated[list[str] | None, typer.Argument(help="names of runs; default: all that are there")] = None,
    *,
    folder: Annotated[
        Path, typer.Option(help="holds data/, runs/ and reports/; or a data set of celebahq build")
    ] = Path(),
    out: Annotated[Path | None, typer.Option(help="the page; default: reports/report.html in that folder")] = None,
    as_json: Json = False,
) -> None:
    """Write one page about all results.

    Also where the pipeline was not run as a whole.
    """
    from pipeline.report.page import words
    from pipeline.report.page.results import Results
    from pipeline.shards.layout import VIEW
    from stages.report import PAGE, limits_of, write_page

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
    size = write_page(Results(folder, runs=run or None, page=target), limits_of(folder))
    print_facts({"page": target, "bytes": size}, f"{target}: {words.size(size)}; open it in a browser", as_json)
