"""The commands of `celebahq`, a module for each group of them, over the stages and the packages below.

The modules are loaded for `celebahq --help`, so a command imports in its function what takes long to load (torch,
dask, OpenCV, pyarrow).
"""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import to_jsonable_python

from pipeline.cores import cores
from pipeline.errors import ParamsError
from stages import MANIFESTS, PARAMS
from stages.commands.panels import Panels

HELP = """Rebuild CelebA-HQ, train the progressive GAN, and look at what comes out. dvc repro runs the stages.

Exit status: 0 done, nothing wrong; 1 an error, or a fault or difference was found; 2 wrong usage; 3 nothing could be
built; 130 Ctrl-C.
"""
PROFILES = Path("profiles")

app = typer.Typer(cls=Panels, no_args_is_help=True, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
IN_REPOSITORY = ("drops", "exact", "plan", "profile", "progress", "summary", "terms", "unpack")
"""Commands that need the files of the repository's root; all others run anywhere."""

Json = Annotated[bool, typer.Option("--json", help="print JSON")]
"""The option of every command that prints facts."""
Workers = Annotated[int, typer.Option(min=1, show_default=False, help="processes; default: one for each core")]
CORES = cores()


def print_json(value: Any) -> None:
    """Print dataclasses, models, paths and plain values as indented JSON."""
    print(json.dumps(to_jsonable_python(value), indent=2, ensure_ascii=False))


def print_facts(facts: Any, text: str, as_json: bool) -> None:
    """Print facts for programs, or a text for people."""
    if as_json:
        print_json(facts)
    else:
        print(text)


def _print_version(asked: bool) -> None:
    if asked:
        try:
            print(f"celebahq {metadata.version('celebahq')}")
        except metadata.PackageNotFoundError as error:
            raise ParamsError("celebahq is not installed: run make env, or pip install -e . in its root.") from error
        raise typer.Exit


@app.callback()
def check_folder(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Refuse to run in another folder than the repository's root, where the command needs its files."""
    if context.invoked_subcommand not in IN_REPOSITORY or {"-h", "--help"} & {*sys.argv}:
        return
    needed = [MANIFESTS, PROFILES] + ([] if context.invoked_subcommand == "profile" else [PARAMS])
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise ParamsError(
            f"{Path.cwd()}: has no {' and no '.join(missing)}. "
            f"Run celebahq {context.invoked_subcommand} in the root of the repository."
        )
