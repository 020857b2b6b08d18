"""The commands of `celebahq`, a module for each group of them, over the stages and the packages below."""

import sys
from pathlib import Path

import typer

from pipeline.errors import ParamsError
from stages import MANIFESTS, PARAMS, profiles

HELP = "The `celebahq` command: what users run before and after `dvc repro`."

app = typer.Typer(add_completion=False, no_args_is_help=True, help=HELP)
IN_REPOSITORY = ("drops", "exact", "plan", "profile", "summary", "terms", "unpack")
"""Commands that need the files of the repository's root; all others run anywhere."""


@app.callback()
def check_folder(context: typer.Context) -> None:
    """Refuse to run in another folder than the repository's root, where the command needs its files."""
    if context.invoked_subcommand not in IN_REPOSITORY or "--help" in sys.argv:
        return
    needed = [MANIFESTS, profiles.PROFILES] + ([] if context.invoked_subcommand == "profile" else [PARAMS])
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise ParamsError(
            f"{Path.cwd()}: has no {' and no '.join(missing)}. "
            f"Run celebahq {context.invoked_subcommand} in the root of the repository."
        )
