"""The command about training runs: what is there, how far, and what would be resumed."""

import sys
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.errors import ParamsError
from stages import WORK, read_params, work_folders
from stages.commands import Json, app, panels, print_facts


@app.command(rich_help_panel=panels.LOOK)
def runs(as_json: Json = False) -> None:
    """List the training runs, and whether they can be resumed.

    Those in runs/ and data/.work: how far, network files, best, size, and why not.
    """
    from stages.train import RUNS
    from training import run_folders

    published = {path.name: path for path in sorted(RUNS.glob("*/")) if not path.name.endswith(".retired")}
    names = sorted({*published, *(path.name[len("train@") : -17] for path in work_folders("train@*"))})
    folders = {name: [published.get(name, RUNS / name), *work_folders(f"train@{name}")] for name in names}
    params = None
    try:
        params = read_params().train.runs
    except ParamsError as error:
        print(f"the runs are not compared with params: {error}", file=sys.stderr)
    facts: list[dict[str, Any]] = []
    for name, places in folders.items():
        for found in (run_folders.read(name, place) for place in places if place.is_dir()):
            if found is not None:
                resumable, why = run_folders.state(found, params, folders)
                facts.append(
                    {
                        "run": name,
                        "folder": found.folder.as_posix(),
                        "kimg": found.images_shown / 1000,
                        "total_kimg": found.total_kimg,
                        "resolution": found.resolution,
                        "full_resolution": found.full_resolution,
                        "networks": [path.as_posix() for path in found.networks],
                        "best": found.best.as_posix() if found.best else None,
                        "resumable": resumable,
                        "state": why,
                        "bytes": found.bytes,
                    }
                )
    nothing = f"no training runs in {RUNS.resolve()} and {WORK.resolve()}"
    print_facts(facts, "\n".join(map(_lines, facts)) or nothing, as_json)


def _lines(fact: dict[str, Any]) -> str:
    networks, best = fact["networks"], fact["best"]
    kept = f"{len(networks)} network files" if len(networks) != 1 else "1 network file"
    if networks:
        kept += f" to {Path(networks[-1]).name}" + (f", best {Path(best).name}" if best else "")
    return (
        f"{fact['run']}: {fact['folder']}, {fact['kimg']:g} of {_or_unknown(fact['total_kimg'])} kimg, "
        f"{_or_unknown(fact['resolution'])} of {_or_unknown(fact['full_resolution'])} px, "
        f"{disk.gigabytes(fact['bytes'])}\n  {kept}\n  {fact['state']}"
    )


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"
