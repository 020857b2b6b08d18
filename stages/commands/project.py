"""Commands about the whole project: profiles, plan, reports of the stages, terms."""

import difflib
import shutil
import sys
from typing import Annotated

import typer

from pipeline.errors import ParamsError
from stages import MANIFESTS, PARAMS, read_manifest, read_params
from stages.commands import Json, app, panels, print_facts, print_json


@app.command(rich_help_panel=panels.PROJECT)
def profile(name: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml")] = "") -> None:
    """Write a profile to params.yaml.

    Validates it and prints the difference; an edited old file is kept.
    """
    from pipeline import atomic
    from stages import profiles

    new, path = profiles.content_of(name), profiles.PROFILES / f"{name}.yaml"
    profiles.read_profile(name)
    old = PARAMS.read_text(encoding="utf-8") if PARAMS.is_file() else ""
    if old == new:
        print(f"{PARAMS} already equals {path}")
        return
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(PARAMS), str(path)))
    if old and old not in profiles.contents():
        print(f"\nyour edited {PARAMS} is kept as {shutil.copyfile(PARAMS, 'params.previous.yaml')}")
    atomic.write_bytes(PARAMS, new.encode())
    print(f"\n{PARAMS} is now {path}. dvc status lists the stages that dvc repro would run")


@app.command(rich_help_panel=panels.PROJECT)
def plan(
    name: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml; default: params.yaml")] = "",
    quick: Annotated[bool, typer.Option(help="only disk and records: without the probe of about a minute")] = False,
    json: Json = False,
) -> None:
    """Print the time, memory and disk that each stage needs.

    Disk is that in use now, of the result, and at the peak so far.
    """
    from stages import plan as planning
    from stages import probe, profiles

    params = profiles.read_profile(name) if name else read_params()
    needs = planning.disk_needs(params)
    known = {
        need.stage for need in planning.with_rates(params, needs, {}) if need.seconds is not None or not need.items
    }
    stages = {*probe.STAGES} - {"download"}
    rates = {} if quick or stages <= known else probe.measure(params)
    found = planning.with_rates(params, needs, rates)
    planning.keep(params, found)
    if json:
        print_json(found)
    else:
        print("\n".join(planning.lines(params, found)))


@app.command(rich_help_panel=panels.PROJECT)
def progress(json: Json = False) -> None:
    """Print how far each stage is, what it dropped, and the time left over all.

    While dvc repro runs, from another terminal; after a stop; at any time. Times to come are those of earlier runs, or
    of celebahq plan.
    """
    from stages import remaining

    found = remaining.progress_of_all(read_params())
    print_facts(found, "\n".join(remaining.lines(found)), json)


@app.command(rich_help_panel=panels.LOOK)
def summary(json: Json = False) -> None:
    """Print the report of each stage in a few lines.

    dvc metrics show prints the headline figures only.
    """
    from stages import reports

    if json:
        print_json(reports.current()[0])
    else:
        print("\n".join(reports.summary()))


@app.command(rich_help_panel=panels.LOOK)
def drops(
    stage: Annotated[str, typer.Argument(help="a stage, such as crop, lsun or lsun@cat; default: all")] = "",
    json: Json = False,
) -> None:
    """List the dropped inputs with their reasons.

    Those of an unfinished run, if there is one.
    """
    from stages import reports

    names = reports.with_drops()
    if stage:
        names = [name for name in names if name.partition("@")[0] == stage] or [stage]
    if not names:
        print("No stage has left a table of dropped inputs: dvc repro runs them.", file=sys.stderr)
    found = {name: [*reports.drops(name)] for name in names}
    if json:
        print_json(found)
        return
    for name, dropped in found.items():
        for drop in dropped:
            file = f"{drop.file} (face {drop.face})" if drop.face else drop.file
            print(name, file, drop.reason, drop.detail, sep="\t")


@app.command(rich_help_panel=panels.PROJECT)
def terms(
    accept_terms: Annotated[list[str] | None, typer.Option(help="accept terms of a data set; repeatable")] = None,
    accept_unverified: Annotated[list[str] | None, typer.Option(help="accept files without published hash")] = None,
    json: Json = False,
) -> None:
    """Print or accept the terms of data sets.

    A data set is fetched only after its terms are accepted.
    """
    from pipeline.sources.fetch import terms as acceptance
    from pipeline.sources.published import SourceHead

    sources = {path.stem: read_manifest(path, SourceHead) for path in sorted(MANIFESTS.glob("*.yaml"))}
    for name in (*(accept_terms or []), *(accept_unverified or [])):
        if name not in sources:
            raise ParamsError(f"{name!r} is no data set of {MANIFESTS}; there are {', '.join(sources)}")
    for name in accept_terms or []:
        acceptance.accept("terms", sources[name])
    for name in accept_unverified or []:
        acceptance.accept("unverified", sources[name])
    accepted = acceptance.Acceptance.read()
    if json:
        kinds = {"terms_accepted": accepted.terms, "unverified_accepted": accepted.unverified}
        print_json(
            {
                name: {**dict(source), **{kind: signed.get(name) for kind, signed in kinds.items()}}
                for name, source in sources.items()
            }
        )
        return
    for name, source in sources.items():
        print(acceptance.describe(source))
        for what, signatures in (("terms", accepted.terms), ("files without a published hash", accepted.unverified)):
            if name in signatures:
                print(f"  {what} accepted by {signatures[name].by} at {signatures[name].at}")
        print()
    print(f"To accept: celebahq terms --accept-terms NAME (kept in {acceptance.FILE} and in the record of each run)")
