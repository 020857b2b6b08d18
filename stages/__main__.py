"""The `celebahq` command: what a person does around `dvc repro`."""

import difflib
import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML

from pipeline import atomic, provenance
from pipeline.errors import ParamsError, PipelineError
from pipeline.sources.unpacking import unpack as unpack_photographs
from stages import DATA, PARAMS, REPORTS, read_params, table

PROFILES = Path("profiles")
GRAPH = Path("dvc.yaml")

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def profile(name: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml")] = "") -> None:
    """Put a profile in place of params.yaml: validated first, the difference shown, the old file kept beside."""
    choices = ", ".join(sorted(path.stem for path in PROFILES.glob("*.yaml")))
    path = PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise ParamsError(f"{path}: no such profile. There are: {choices}. For one: make profile NAME=demo")
    read_params(path)
    old, new = PARAMS.read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
    if old == new:
        print(f"{PARAMS} is {path} already")
        return
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(PARAMS), str(path)))
    if all(old != known.read_text(encoding="utf-8") for known in PROFILES.glob("*.yaml")):
        kept = PARAMS.with_name("params.previous.yaml")
        shutil.copyfile(PARAMS, kept)
        print(f"\nyour edited {PARAMS} is kept as {kept}")
    atomic.write_bytes(PARAMS, new.encode())
    print(f"\n{PARAMS} is now {path}: dvc repro runs it, dvc status says what would run")


@app.command()
def summary() -> None:
    """Print what the stages report, a few lines each (dvc metrics show has the same as one wide table)."""
    order = list(YAML(typ="safe").load(GRAPH.read_text(encoding="utf-8"))["stages"])
    found = sorted(
        REPORTS.rglob("*.json"), key=lambda path: order.index(path.relative_to(REPORTS).parts[0].split(".")[0])
    )
    for path in found:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        name = path.relative_to(REPORTS).with_suffix("").as_posix().replace("/", "@")
        kept = f"kept {report.pop('kept')} of {report.pop('given')}" if "given" in report else ""
        dropped = ", ".join(f"{count} {reason}" for reason, count in report.pop("dropped", {}).items())
        print(f"{name:18} {kept}{f', dropped {dropped}' if dropped else ''}".rstrip())
        rest = _flat(report)
        if rest:
            print(textwrap.fill(", ".join(rest), 110, initial_indent=" " * 19, subsequent_indent=" " * 19))


def _flat(values: dict[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key} {value:.5g}" if isinstance(value, float) else f"{prefix}{key} {value}")
    return lines


@app.command()
def unpack(folder: Annotated[Path, typer.Argument(help="where to; a run that was stopped goes on there")]) -> None:
    """Write the extracted photographs as plain files, byte for byte under their published names."""
    done = unpack_photographs(DATA, table("extract"), folder)
    print(f"{folder}: {done.written} photographs written, {done.kept} were there already")


@app.command()
def deps() -> None:
    """Write each stage's code dependencies (its import closure) into dvc.yaml."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    graph = yaml.load(GRAPH.read_text(encoding="utf-8"))
    for name, stage in graph["stages"].items():
        body: dict[str, Any] = stage.get("do", stage)
        kept = [dep for dep in body["deps"] if not is_code(dep)]
        body["deps"][:] = [*kept, *closure_of(name)]
    with atomic.writing(GRAPH) as partial:
        yaml.dump(graph, partial)


def is_code(dep: str) -> bool:
    """Whether a dependency of dvc.yaml is a file of our packages."""
    return dep.partition("/")[0] in provenance.FIRST_PARTY


def closure_of(stage: str) -> list[str]:
    """The code that a stage reaches, as dvc.yaml names it."""
    return [str(path.relative_to(Path.cwd())) for path in provenance.code_closure(f"stages.{stage}")]


def command_line() -> None:
    """Run the command; a named error ends it with its message alone."""
    try:
        app()
    except PipelineError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")


if __name__ == "__main__":
    command_line()
