"""Commands about CelebA-HQ as published, and the photographs that it is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import ExactMatchError, ParamsError, RejectedInputError
from stages import DATA, read_params, table
from stages.commands import Json, app, panels, print_json

if TYPE_CHECKING:
    from pipeline.published.inspect_image import Inspection


@app.command(rich_help_panel=panels.BUILD)
def exact(
    only: Annotated[str, typer.Option(help="numbers of images in the published list, such as 5212,9575")],
    photographs: Annotated[Path | None, typer.Option(help="folder of CelebA's photographs, instead of data/")] = None,
    landmarks: Annotated[Path | None, typer.Option(help="CelebA's landmarks file, with --photographs")] = None,
    deltas: Annotated[Path | None, typer.Option(help="folder of delta archives; default: data/download/deltas")] = None,
    json: Json = False,
) -> None:
    """Inspect images of CelebA-HQ step by step.

    Prints the MD5 after each step, and the first step that differs, where known.
    """
    from pipeline.published import inspect_image
    from pipeline.published.exact.render import self_test
    from pipeline.published.image_list import read_list
    from pipeline.published.ledger import Verdict

    params = read_params()
    if (photographs is None) != (landmarks is None):
        raise ParamsError("--photographs and --landmarks go together; without both, the tables of data/ are read.")
    downloaded = DATA / "download" / "deltas"
    if deltas is None and downloaded.is_dir():
        deltas = downloaded
    self_test()
    images, known = read_list(params.exact.image_list), inspect_image.known_steps(params.exact.image_list)
    numbers = only.split(",")
    inspections: list[Inspection] = []
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
        inspections.append(inspection)
        if not json:
            _print_inspection(inspection)
    if json:
        print_json(inspections)
    failed = sum(inspection.verdict is not Verdict.MATCH for inspection in inspections)
    if failed:
        raise ExactMatchError(f"{failed} of {len(numbers)} images are not the published ones.")


def _print_inspection(inspection: "Inspection") -> None:
    print(f"{inspection.image.idx} ({inspection.image.file}): {inspection.verdict.value}, {inspection.detail}")
    for step, md5 in inspection.steps:
        result = "" if md5 is None else "as published" if md5 == step.md5 else f"published is {md5}"
        print(f"  {step.name:10} {step.width:5} x {step.height:<5} {step.md5}  {result}".rstrip())
    if inspection.mismatch == "proc":
        print(
            "  Of this image only the last step is known. If the images of manifests/celebahq/steps.csv match here, "
            "its photograph or its landmarks are not the published ones."
        )


@app.command(rich_help_panel=panels.BUILD)
def unpack(folder: Annotated[Path, typer.Argument(help="target folder; an interrupted run is resumed")]) -> None:
    """Write the extracted photographs as plain files.

    With their published names and bytes.
    """
    from pipeline.provenance import results_above
    from pipeline.sources.unpacking import unpack as unpack_photographs
    from stages.remaining import OUTPUTS

    if (above := results_above(folder, [DATA, *OUTPUTS.values()])) is not None:
        raise ParamsError(f"{folder}: lies in {above}, which holds what the stages make. Name a folder elsewhere.")
    written, kept = unpack_photographs(DATA, table("extract"), folder)
    print(f"{folder}: {written} photographs written, {kept} were there already")
