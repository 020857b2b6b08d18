"""Commands that make data sets of the user's pictures."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ParamsError
from pipeline.params import DETECT, FOLDERS, PUBLISHED
from stages.commands import CORES, Workers, app, panels


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


@app.command(rich_help_panel=panels.BUILD)
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
    workers: Workers = CORES,
    scheduler: Annotated[str, typer.Option(help="address of a dask scheduler, in place of own processes")] = "",
) -> None:
    """Make a data set of your own pictures.

    Aligned faces, or squares; the exit status is 3 if none can be used.
    """
    from stages import build as building

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


@app.command(rich_help_panel=panels.BUILD)
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
    workers: Workers = CORES,
    scheduler: Annotated[str | None, typer.Option(help="address of a dask scheduler, instead of own processes")] = None,
) -> None:
    """Find faces and their landmarks in photographs.

    Writes a table and a contact sheet. A stopped run is resumed.
    """
    from stages.detect_folder import detect_folder

    given = {
        "engine": engine, "weights": weights and str(_file_or(str(weights), PUBLISHED)),
        "min_face_pixels": min_face, "min_score": min_score,
        "max_side_pixels": max_side, "largest_only": largest_only or None, "sheet_faces": sheet_faces,
    }  # fmt: skip
    values = {name: value for name, value in given.items() if value is not None}
    cluster = {"workers": workers, "scheduler": scheduler or None}
    print(detect_folder(images, out, values, orientation=orientation.value, cluster=cluster))
