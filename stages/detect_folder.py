"""`celebahq detect`: the stages download, extract and detect on any folder of photographs."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import atomic, manifest
from pipeline.errors import SourceError, TooManyDroppedError
from pipeline.params import DETECT
from stages import DATA, PARAMS, pictures
from stages.detect import SHEET, detect
from stages.extract import extract

TABLE = "faces.parquet"


def detect_folder(
    images: Path, out: Path, values: Mapping[str, Any], *, orientation: str, cluster: Mapping[str, Any]
) -> str:
    """Write the faces of a folder or an archive of photographs to `out`; return a summary.

    `out` gets the table `faces.parquet`, the contact sheet `faces.png`, and `dropped.csv`: file, face, stage, reason,
    detail of what has no face. `values` and `cluster` are those of the sections `detect` and `cluster` that differ from
    the profile folder. A run that was stopped is resumed by the same call.

    Raises
    ------
    SourceError
        None of the photographs has a face.
    ParamsError
        A value is impossible, there is nothing at `images`, or `out` lies in it.
    """
    pictures.check_folders(images, out)
    chosen = {
        "cluster": dict(cluster),
        "photographs": {"orientation": orientation},
        "download": pictures.source(images.absolute(), DETECT, None),
        "extract": {"max_dropped": 1.0},
        "detect": {"max_dropped": 1.0, **values},
    }
    _, params = pictures.params_of(chosen, "", out / PARAMS)
    with pictures.working_in(out) as work:
        try:
            pictures.run_stages(work, params, (extract, detect))
        except TooManyDroppedError as error:  # all of them, since that is the limit
            raise SourceError(f"{images}: no face was found. {pictures.reasons_of(error)}") from error
        found = work / DATA / "detect"
        faces_of = Counter(manifest.kept_columns(found / "detect.parquet", ["index"])["index"].to_pylist())
        drops = pictures.write_dropped(out)
        for source, target in ((found / "detect.parquet", out / TABLE), (found / SHEET, out / SHEET)):
            target.unlink(missing_ok=True)  # of an earlier run
            if source.exists():
                atomic.write_bytes(target, source.read_bytes())
        pictures.remove_work(work)
    lines = [f"{out / TABLE}: {faces_of.total()} faces in {len(faces_of)} photographs"]
    if drops:
        reasons = Counter(drop.reason.value for _, drop in drops).most_common()
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons)
        lines.append(f"{out / pictures.DROPPED}: {len(drops)} files ({counts})")
    if (out / SHEET).exists():
        lines.append(f"{out / SHEET}: look at it before you use the table")
    return "\n".join(lines)
