"""The `celebahq` command: what users run before and after `dvc repro`."""

import difflib
import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ConfigDict

from pipeline import atomic
from pipeline.errors import ExactMatchError, ParamsError, RejectedInputError
from pipeline.params import DETECT, FOLDERS, PUBLISHED
from pipeline.published import inspect_image
from pipeline.published.exact.render import self_test
from pipeline.published.image_list import read_list
from pipeline.published.ledger import Verdict
from pipeline.sources.fetch import terms as acceptance
from pipeline.sources.published import Source
from pipeline.sources.unpacking import unpack as unpack_photographs
from stages import (
    DATA,
    MANIFESTS,
    PARAMS,
    main,
    probe,
    profiles,
    read_manifest,
    read_params,
    reports,
    table,
)
from stages import build as building
from stages import plan as planning
from stages.detect_folder import detect_folder
from training import interop
from training.generate import write_images
from training.runtime.device import default_device


class Rectangle(StrEnum):
    """What is cut out of a picture."""

    landmarks = "landmarks"
    centre = "centre"
    whole = "whole"


class Orientation(StrEnum):
    """Of a picture with an Exif tag."""

    shown = "shown"
    stored = "stored"


class Restore(StrEnum):
    """By what faces are restored."""

    none = "none"
    network = "network"


app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
ANYWHERE = ("build", "convert", "detect", "generate")


@app.callback()
def check_folder(context: typer.Context) -> None:
    """Refuse to run in another folder than the repository's root, where the command needs its files."""
    if context.invoked_subcommand in ANYWHERE or "--help" in sys.argv:
        return
    needed = [MANIFESTS, profiles.PROFILES] + ([] if context.invoked_subcommand == "profile" else [PARAMS])
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise ParamsError(
            f"{Path.cwd()}: has no {' and no '.join(missing)}. "
            f"Run celebahq {context.invoked_subcommand} in the root of the repository."
        )


@app.command()
def profile(name: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml")] = "") -> None:
    """Validate a profile, print the difference, and write it to params.yaml; an edited old file is kept."""
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


@app.command()
def build(
    images: Annotated[Path, typer.Argument(help="folder, tar, zip or 7z of pictures")],
    out: Annotated[Path, typer.Argument(help="folder of the data set; a build that was killed goes on there")],
    *,
    landmarks: Annotated[str, typer.Option(help="a file of them (text, CSV, JSON lines, parquet), detect, none")] = "",
    attributes: Annotated[str, typer.Option(help="a table of labels, folders (a class for each), none")] = "none",
    rectangle: Annotated[Rectangle, typer.Option(help="what is cut out of a picture")] = Rectangle.landmarks,
    resolution: Annotated[int, typer.Option(help="side of the images in pixels, a power of two")] = 1024,
    orientation: Annotated[Orientation, typer.Option(help="apply Exif orientation tags or not")] = Orientation.shown,
    restore: Annotated[Restore, typer.Option(help="network: train both networks on the pictures")] = Restore.none,
    engine: Annotated[str, typer.Option(help="face detector: mtcnn or yunet")] = "mtcnn",
    weights: Annotated[str, typer.Option(help="the detector's file; default: as published")] = "published",
    workers: Annotated[int, typer.Option(min=1, help="processes; default: one for each core")] = os.cpu_count() or 1,
    scheduler: Annotated[str, typer.Option(help="address of a dask scheduler, in place of own processes")] = "",
) -> None:
    """Make a data set of your own pictures: aligned faces, or squares; the exit status is 3 if none can be used."""
    if rectangle is Rectangle.landmarks and landmarks == "none":
        raise ParamsError("--rectangle landmarks needs --landmarks; give centre or whole for pictures without faces.")
    chosen = (landmarks or "detect") if rectangle is Rectangle.landmarks else landmarks or "none"
    request = building.Request(
        images=images.absolute(),
        out=out.absolute(),
        landmarks=_file_or(chosen, DETECT),
        attributes=_file_or(attributes, FOLDERS),
        rectangle=rectangle.value,
        resolution=resolution,
        orientation=orientation.value,
        restore=restore.value,
        detect={"engine": engine, "weights": str(_file_or(weights, PUBLISHED))},
        cluster={"workers": workers, "scheduler": scheduler or None},
    )
    try:
        for line in building.build(request):
            print(line)
    except building.NothingBuiltError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(building.EXIT_NOTHING) from error


def _file_or(given: str, word: Path) -> Path | None:
    """The absolute path of a file, or the word that stands for none, or None."""
    return None if given == "none" else word if given == str(word) else Path(given).absolute()


@app.command()
def plan(
    name: Annotated[str, typer.Argument(help="a file of profiles/, without .yaml; default: params.yaml")] = "",
    quick: Annotated[bool, typer.Option(help="only disk and records: without the probe of about a minute")] = False,
) -> None:
    """Print what each stage needs: items, time, memory, disk now, of its result, and at the peak so far."""
    params = profiles.read_profile(name) if name else read_params()
    needs = planning.disk_needs(params)
    known = {
        need.stage for need in planning.with_rates(params, needs, {}) if need.seconds is not None or not need.items
    }
    stages = {stage.__name__ for stage in probe.STAGES} - {"download"}
    rates = {} if quick or stages <= known else probe.measure(params)
    print("\n".join(planning.lines(params, planning.with_rates(params, needs, rates))))


@app.command()
def summary() -> None:
    """Print the report of each stage in a few lines (dvc metrics show prints one wide table)."""
    for line in reports.summary():
        print(line)


@app.command()
def drops(stage: Annotated[str, typer.Argument(help="a stage, such as crop or lsun@cat; default: all")] = "") -> None:
    """List the dropped inputs with their reasons: those of an unfinished run, if there is one."""
    for name in [stage] if stage else reports.with_drops():
        for drop in reports.drops(name):
            file = f"{drop.file} (face {drop.face})" if drop.face else drop.file
            print(name, file, drop.reason, drop.detail, sep="\t")


@app.command()
def exact(
    only: Annotated[str, typer.Option(help="numbers of images in the published list, such as 5212,9575")],
    photographs: Annotated[Path | None, typer.Option(help="folder of CelebA's photographs, instead of data/")] = None,
    landmarks: Annotated[Path | None, typer.Option(help="CelebA's landmarks file, with --photographs")] = None,
    deltas: Annotated[Path | None, typer.Option(help="folder of delta archives; default: data/download/deltas")] = None,
) -> None:
    """Inspect images of CelebA-HQ: print the MD5 after each step, and the first step that differs, where known."""
    params = read_params()
    if (photographs is None) != (landmarks is None):
        raise ParamsError("--photographs and --landmarks go together; without both, the tables of data/ are read.")
    downloaded = DATA / "download" / "deltas"
    if deltas is None and downloaded.is_dir():
        deltas = downloaded
    self_test()
    images, known = read_list(params.exact.image_list), inspect_image.known_steps(params.exact.image_list)
    numbers = only.split(",")
    failed = 0
    for number in numbers:
        if not number.strip().isdecimal() or int(number) >= len(images):
            raise ParamsError(f"--only {only}: {number!r} is no number from 0 to {len(images) - 1}")
        image = images[int(number)]
        try:
            if photographs is not None and landmarks is not None:
                original = inspect_image.original_of_files(image, photographs, landmarks)
            else:
                original = inspect_image.original_of_run(image, table("align"), DATA)
            inspection = inspect_image.inspect_image(image, original, deltas, known.get(image.idx, {}))
        except RejectedInputError as rejected:
            inspection = inspect_image.rejection(image, rejected)
        failed += inspection.verdict is not Verdict.MATCH
        _print_inspection(inspection)
    if failed:
        raise ExactMatchError(f"{failed} of {len(numbers)} images are not the published ones.")


def _print_inspection(inspection: inspect_image.Inspection) -> None:
    print(f"{inspection.image.idx} ({inspection.image.file}): {inspection.verdict.value}, {inspection.detail}")
    for step, md5 in inspection.steps:
        result = "" if md5 is None else "as published" if md5 == step.md5 else f"published is {md5}"
        print(f"  {step.name:10} {step.width:5} x {step.height:<5} {step.md5}  {result}".rstrip())
    if inspection.mismatch == "proc":
        print(
            "  Of this image only the last step is known. If the images of manifests/celebahq/steps.csv match here, "
            "its photograph or its landmarks are not the published ones."
        )


@app.command()
def terms(
    accept_terms: Annotated[list[str] | None, typer.Option(help="accept terms of a data set; repeatable")] = None,
    accept_unverified: Annotated[list[str] | None, typer.Option(help="accept files without published hash")] = None,
) -> None:
    """Print the terms of each data set and who accepted them; a data set is fetched only after that."""
    sources = {path.stem: read_manifest(path, _Head) for path in sorted(MANIFESTS.glob("*.yaml"))}
    for name in (*(accept_terms or []), *(accept_unverified or [])):
        if name not in sources:
            raise ParamsError(f"{name!r} is no data set of {MANIFESTS}; there are {', '.join(sources)}")
    for name in accept_terms or []:
        acceptance.accept("terms", sources[name])
    for name in accept_unverified or []:
        acceptance.accept("unverified", sources[name])
    accepted = acceptance.Acceptance.read()
    for name, source in sources.items():
        print(acceptance.describe(source))
        for what, signatures in (("terms", accepted.terms), ("files without a published hash", accepted.unverified)):
            if name in signatures:
                print(f"  {what} accepted by {signatures[name].by} at {signatures[name].at}")
        print()
    print(f"To accept: celebahq terms --accept-terms NAME (kept in {acceptance.FILE} and in the record of each run)")


class _Head(Source):
    """The head of a manifest; its files are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


@app.command()
def detect(
    images: Annotated[Path, typer.Argument(help="folder or archive of photographs")],
    *,
    out: Annotated[Path, typer.Option(help="folder for faces.parquet, faces.png and dropped.csv")] = Path("faces"),
    engine: Annotated[str | None, typer.Option(help="mtcnn or yunet")] = None,
    weights: Annotated[Path | None, typer.Option(help="yunet's ONNX file, or the folder of mtcnn's")] = None,
    min_face: Annotated[int | None, typer.Option(min=1, help="pixels of the smallest face's longer side")] = None,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="of the detector")] = None,
    max_side: Annotated[int | None, typer.Option(min=1, help="larger photographs are reduced for the search")] = None,
    largest_only: Annotated[bool, typer.Option(help="one face of each photograph")] = False,
    orientation: Annotated[Orientation, typer.Option(help="apply Exif orientation tags or not")] = Orientation.shown,
    sheet_faces: Annotated[int | None, typer.Option(min=0, help="faces on the contact sheet")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes; default: one for each core")] = os.cpu_count() or 1,
    scheduler: Annotated[str | None, typer.Option(help="address of a dask scheduler, instead of own processes")] = None,
) -> None:
    """Find the faces of photographs and their five landmarks: a table and a contact sheet. A stopped run is resumed."""
    given = {
        "engine": engine, "weights": weights and str(_file_or(str(weights), PUBLISHED)),
        "min_face_pixels": min_face, "min_score": min_score,
        "max_side_pixels": max_side, "largest_only": largest_only or None, "sheet_faces": sheet_faces,
    }  # fmt: skip
    values = {name: value for name, value in given.items() if value is not None}
    cluster = {"workers": workers, "scheduler": scheduler or None}
    print(detect_folder(images, out, values, orientation=orientation.value, cluster=cluster))


@app.command()
def unpack(folder: Annotated[Path, typer.Argument(help="target folder; an interrupted run is resumed")]) -> None:
    """Write the extracted photographs as plain files, with their published names and bytes."""
    written, kept = unpack_photographs(DATA, table("extract"), folder)
    print(f"{folder}: {written} photographs written, {kept} were there already")


@app.command()
def convert(
    snapshot: Annotated[Path, typer.Argument(help="network snapshot (.pkl) of the original implementation")],
    network: Annotated[Path, typer.Argument(help="network file (.safetensors) to write")],
) -> None:
    """Convert a snapshot of the original TensorFlow implementation to a network file; no code in it is executed."""
    original = interop.read(snapshot)
    interop.write(network, original)
    side = original.average.resolution_at(original.lod)
    print(f"{network}: G, D and Gs of {snapshot}, which makes images of {side}x{side}")


@app.command()
def generate(
    network: Annotated[Path, typer.Argument(help="network file (.safetensors)")],
    folder: Annotated[Path, typer.Argument(help="folder for the images")],
    count: Annotated[int, typer.Option(min=1)] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Write random images of a network as PNG files."""
    write_images(network, folder, count=count, seed=seed, device=default_device())
    print(f"{count} images in {folder}")


def command_line() -> None:
    """Run the command."""
    main(lambda *_: app())


if __name__ == "__main__":
    command_line()
