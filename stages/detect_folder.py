"""`celebahq detect`: the stages download, extract and detect on any folder of photographs, in a work folder there."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Generator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from pipeline import atomic, manifest
from pipeline.errors import ParamsError, SourceError, TooManyDroppedError
from pipeline.manifest import Detected, Drop
from pipeline.params import DETECT, PUBLISHED
from pipeline.sources.local import require_images
from pipeline.sources.published import Published
from stages import MANIFESTS, PARAMS, parse_params, profiles, read_manifest, read_params, table
from stages.detect import MANIFEST, SHEET, YUNET, check_yunet, detect, find_weights
from stages.download import download
from stages.extract import extract

CHECKOUT = Path(__file__).resolve().parents[1]
WORK = ".detect"
TABLE, DROPPED = "faces.parquet", "dropped.csv"
STAGES = (download, extract, detect)


def detect_folder(
    images: Path, out: Path, values: dict[str, Any], *, orientation: str | None, workers: int, scheduler: str | None
) -> str:
    """Write the faces of a folder or an archive of photographs to `out`; return a summary.

    `out` gets the table `faces.parquet`, the contact sheet `faces.png`, and `dropped.csv`: file, face, stage, reason,
    detail of what has no face. `values` are those of the section `detect` that differ from the profile folder, as is
    `orientation`. `workers` and `scheduler`: as in the section `cluster`. A run that was stopped is resumed by the
    same call.

    Raises
    ------
    SourceError
        There are no photographs, or none of them has a face.
    ParamsError
        A value is impossible, or `out` lies in `images`.
    """
    require_images(images)
    if out.resolve().is_relative_to(images.resolve()):
        raise ParamsError(f"{out}: lies in {images}, whose files are read. Name another folder with --out.")
    params = _params(images.absolute(), values, orientation)
    params["cluster"] |= {"workers": workers, "scheduler": scheduler}
    parse_params(json.dumps(params), out / WORK / PARAMS)
    params["detect"]["weights"] = str(_weights(params["detect"]))
    out.mkdir(parents=True, exist_ok=True)
    with atomic.locked(out.absolute() / f"{WORK}.lock", "celebahq detect"):
        with _work_folder(out / WORK, params):
            try:
                for stage in STAGES:
                    stage()
            except TooManyDroppedError as error:  # all of them, since that is the limit
                reasons = str(error).partition("celebahq drops")[0]
                raise SourceError(f"{images}: no face was found. {reasons}") from error
            faces = manifest.read_kept(table("detect"), Detected)
            drops = [(stage, drop) for stage in ("extract", "detect") for drop in manifest.read_dropped(table(stage))]
            results = [table("detect").absolute(), table("detect").with_name(SHEET).absolute()]
        _write_dropped(out / DROPPED, drops)
        for path, name in zip(results, (TABLE, SHEET), strict=True):
            if path.exists():
                atomic.write_bytes(out / name, path.read_bytes())
            else:
                (out / name).unlink(missing_ok=True)  # of an earlier run
        shutil.rmtree(out / WORK)
    lines = [f"{out / TABLE}: {len(faces)} faces in {len({face.index for face in faces})} photographs"]
    if drops:
        reasons = Counter(drop.reason.value for _, drop in drops).most_common()
        lines.append(f"{out / DROPPED}: {len(drops)} files ({', '.join(f'{n} {reason}' for reason, n in reasons)})")
    if (out / SHEET).exists():
        lines.append(f"{out / SHEET}: look at it before you use the table")
    return "\n".join(lines)


def _params(images: Path, values: dict[str, Any], orientation: str | None) -> dict[str, Any]:
    """The params of the profile folder, of this project's checkout, with what the user chose."""
    with chdir(CHECKOUT):
        params = profiles.read_profile("folder").model_dump(mode="json")
    params["download"] = {
        "watch": str(images),
        "source": params["download"]["source"] | {"images": str(images), "landmarks": str(DETECT), "attributes": None},
    }
    params["photographs"]["orientation"] = orientation or params["photographs"]["orientation"]
    params["align"]["rectangle"] = "whole"  # nothing is aligned, so no landmarks are wanted before they are found
    params["superres"]["method"], params["fit_superres"] = "none", {"network": {"kind": "none"}}
    params["extract"]["max_dropped"] = params["detect"]["max_dropped"] = 1.0
    params["detect"] |= values
    return params


def _weights(section: dict[str, Any]) -> Path:
    """The absolute path of the networks; those of YuNet are fetched by a checkout alone, under its accepted terms."""
    weights = Path(section["weights"])
    if section["engine"] == "mtcnn":
        return weights if weights == PUBLISHED else weights.absolute()
    if weights != PUBLISHED:
        return check_yunet(weights, read_manifest(CHECKOUT / MANIFEST, Published))
    if not PARAMS.is_file():
        raise ParamsError(
            f"{Path.cwd()}: has no {PARAMS}, which says how files are fetched. Run celebahq detect in the root of the "
            f"repository, or give a copy of {YUNET} with --weights, or use --engine mtcnn."
        )
    given = read_params()
    yunet = given.detect.model_copy(update={"engine": "yunet", "weights": PUBLISHED})
    file, _ = find_weights(given.model_copy(update={"detect": yunet}))
    assert file is not None
    return file


@contextmanager
def _work_folder(work: Path, params: dict[str, Any]) -> Generator[None]:
    """Make the folder in which the stages run the current one; what another run of equal params left there is kept."""
    work.mkdir(parents=True, exist_ok=True)
    with chdir(work):
        if not MANIFESTS.is_symlink():
            MANIFESTS.symlink_to(CHECKOUT / MANIFESTS)
        atomic.write_json(PARAMS, params)
        yield


def _write_dropped(path: Path, drops: list[tuple[str, Drop]]) -> None:
    with atomic.writing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "face", "stage", "reason", "detail"])
        rows.writerows([drop.file, drop.face, stage, drop.reason, drop.detail] for stage, drop in drops)
