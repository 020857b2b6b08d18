"""The `celebahq` command: what you do before and after `dvc repro`."""

import difflib
import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ConfigDict
from ruamel.yaml import YAML

from pipeline import atomic
from pipeline.errors import ExactMatchError, ParamsError, PipelineError, RejectedInputError
from pipeline.published.exact.render import self_test
from pipeline.published.image_list import read_list
from pipeline.published.inspect_image import (
    Inspection,
    inspect_image,
    known_steps,
    original_of_files,
    original_of_run,
    rejection,
)
from pipeline.published.ledger import Verdict
from pipeline.sources.fetch import terms as acceptance
from pipeline.sources.published import Source
from pipeline.sources.unpacking import unpack as unpack_photographs
from stages import DATA, MANIFESTS, PARAMS, REPORTS, parse_params, profiles, read_manifest, read_params, table
from training import interop
from training.generate import write_images
from training.runtime.device import default_device

GRAPH = Path("dvc.yaml")

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def profile(name: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml")] = "") -> None:
    """Write a profile to params.yaml: validate it, show the difference, keep the edited old file."""
    new, path = profiles.content_of(name), profiles.PROFILES / f"{name}.yaml"
    parse_params(new, path)
    old = PARAMS.read_text(encoding="utf-8")
    if old == new:
        print(f"{PARAMS} is {path} already")
        return
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(PARAMS), str(path)))
    if all(old != profiles.content_of(known) for known in profiles.names()):
        kept = PARAMS.with_name("params.previous.yaml")
        shutil.copyfile(PARAMS, kept)
        print(f"\nyour edited {PARAMS} is kept as {kept}")
    atomic.write_bytes(PARAMS, new.encode())
    print(f"\n{PARAMS} is now {path}. dvc status lists the stages that dvc repro would run")


@app.command()
def summary() -> None:
    """Print the report of each stage in a few lines (dvc metrics show prints them as one wide table)."""
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


@app.command()
def exact(
    only: Annotated[str, typer.Option(help="numbers of images in the published list, such as 5212,9575")],
    photographs: Annotated[Path | None, typer.Option(help="a folder of CelebA's photographs, instead of data/")] = None,
    landmarks: Annotated[Path | None, typer.Option(help="CelebA's landmarks file, with --photographs")] = None,
    deltas: Annotated[Path | None, typer.Option(help="the folder of delta archives; without it, data/download")] = None,
) -> None:
    """Inspect single images of CelebA-HQ: the MD5 after each step, and the first step that differs, where known."""
    params = read_params()
    if (photographs is None) != (landmarks is None):
        raise ParamsError("--photographs and --landmarks go together; without both, the tables of data/ are read.")
    if deltas is None and (DATA / "download" / "deltas").is_dir():
        deltas = DATA / "download" / "deltas"
    self_test()
    images, known = read_list(params.exact.image_list), known_steps(params.exact.image_list)
    failed = 0
    for number in only.split(","):
        if not number.strip().isdecimal() or int(number) >= len(images):
            raise ParamsError(f"--only {only}: {number!r} is no number from 0 to {len(images) - 1}")
        image = images[int(number)]
        try:
            if photographs is not None and landmarks is not None:
                original = original_of_files(image, photographs, landmarks)
            else:
                original = original_of_run(image, DATA / "align" / "align.parquet", DATA)
            examined = inspect_image(image, original, deltas, known.get(image.idx, {}))
        except RejectedInputError as rejected:
            examined = rejection(image, rejected)
        failed += examined.verdict is not Verdict.MATCH
        _print_examined(examined)
    if failed:
        raise ExactMatchError(f"{failed} of {len(only.split(','))} images are not the published ones.")


def _print_examined(examined: Inspection) -> None:
    print(f"{examined.image.idx} ({examined.image.file}): {examined.verdict.value}, {examined.detail}")
    for step, md5 in examined.steps:
        says = "" if md5 is None else "as published" if md5 == step.md5 else f"published is {md5}"
        print(f"  {step.name:10} {step.width:5} x {step.height:<5} {step.md5}  {says}".rstrip())
    if examined.verdict is Verdict.PROC_MISMATCH and examined.mismatch == "proc":
        print(
            "  No step of this image is known but the last. If the images of manifests/celebahq/steps.csv come out "
            "right here, its photograph or its landmarks are not the published ones."
        )


def _flat(values: dict[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key} {value:.5g}" if isinstance(value, float) else f"{prefix}{key} {value}")
    return lines


@app.command()
def terms(
    accept_terms: Annotated[
        list[str] | None, typer.Option(help="accept the terms of this data set; may be given several times")
    ] = None,
    accept_unverified: Annotated[
        list[str] | None, typer.Option(help="take files of this data set of which no hash is published")
    ] = None,
) -> None:
    """Print the terms of every data set that can be fetched, and who accepted them; nothing is fetched without."""
    sources = {path.stem: read_manifest(path, _Head) for path in sorted(MANIFESTS.glob("*.yaml"))}
    given: dict[acceptance.What, list[str]] = {"terms": accept_terms or [], "unverified": accept_unverified or []}
    for name in (name for names in given.values() for name in names):
        if name not in sources:
            raise ParamsError(f"{name!r} is no data set of {MANIFESTS}; there are {', '.join(sources)}")
    for what, names in given.items():
        for name in names:
            acceptance.accept(what, sources[name])
    kept = acceptance.Acceptance.read()
    for name, source in sources.items():
        print(acceptance.describe(source))
        for what, words in (("terms", kept.terms), ("files without a published hash", kept.unverified)):
            if name in words:
                print(f"  {what} accepted by {words[name].by} at {words[name].at}")
        print()
    print(f"To accept: celebahq terms --accept-terms NAME (kept in {acceptance.FILE} and in the record of each run)")


class _Head(Source):
    """The head of a manifest; its files are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


@app.command()
def unpack(folder: Annotated[Path, typer.Argument(help="the target; an interrupted run is resumed there")]) -> None:
    """Write the extracted photographs as plain files, byte for byte under their published names."""
    written, kept = unpack_photographs(DATA, table("extract"), folder)
    print(f"{folder}: {written} photographs written, {kept} were there already")


@app.command()
def convert(
    snapshot: Annotated[Path, typer.Argument(help="a network snapshot (.pkl) of the original implementation")],
    network: Annotated[Path, typer.Argument(help="the network file (.safetensors) to write")],
) -> None:
    """Turn a snapshot of the original TensorFlow implementation into a network file; nothing in it is executed."""
    original = interop.read(snapshot)
    interop.write(network, original)
    side = original.average.resolution_at(original.lod)
    print(f"{network}: G, D and Gs of {snapshot}, which makes images of {side}x{side}")


@app.command()
def generate(
    network: Annotated[Path, typer.Argument(help="a network file (.safetensors)")],
    folder: Annotated[Path, typer.Argument(help="where the images go")],
    count: Annotated[int, typer.Option(min=1)] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Write images of a network file as PNG; the seed decides which."""
    write_images(network, folder, count=count, seed=seed, device=default_device())
    print(f"{count} images in {folder}")


def command_line() -> None:
    """Run the command; a named error ends it with its message alone."""
    try:
        app()
    except PipelineError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")


if __name__ == "__main__":
    command_line()
