"""Stage align: photographs and annotations to one oriented rectangle per face."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline import atomic, manifest
from pipeline.cluster import map_rows, outcomes
from pipeline.container import read_stored
from pipeline.drops import DropLimit
from pipeline.errors import DropReason
from pipeline.faces import alignment
from pipeline.faces.alignment import Annotated, Measured
from pipeline.faces.decode import read_header
from pipeline.faces.pixels import Remark
from pipeline.manifest import Aligned, Drop
from pipeline.params import DETECT, FOLDERS, AlignParams, PhotographParams
from pipeline.published.image_list import read_list
from pipeline.suspicions import remarks_of
from stages import DATA, main, read_params, stage_run, table

SHOWN_WARNINGS = 10
MEMORY_MIB = 50


def align() -> None:
    """Write `data/align/align.parquet`: each face with its rectangle, or the reason why it has none.

    A photograph with several faces has a row for each. What looks wrong is reported or refused before that.
    """
    params = read_params()
    detected = table("detect") if getattr(params.download.source, "landmarks", None) == DETECT else None
    annotations = [table("extract").with_name(name) for name in alignment.ANNOTATION_FILES]
    inputs = [table("extract"), *(path for path in annotations if path.is_file())]
    if detected is not None:
        inputs.append(detected)
    if params.align.photographs == "published":
        inputs.append(params.exact.image_list)
    keys = {"align": params.align.deciding(), "photographs": params.photographs}
    with stage_run("align", params=keys, inputs=inputs) as run:
        classes = getattr(params.download.source, "attributes", None) == FOLDERS
        joined = alignment.join_annotations(table("extract"), params.align, detected, classes=classes)
        only = None
        if params.align.photographs == "published":
            only = {image.file for image in read_list(params.exact.image_list)}
        run.report["warnings"] = len(joined.warnings)
        for warning in joined.warnings[:SHOWN_WARNINGS]:
            print(f"align: {warning}", file=sys.stderr)
        for path in run.work.glob("measured.*"):  # of a run that an earlier version began: its rows have no rectangles
            atomic.remove_folder(path) if path.is_dir() else path.unlink()
        annotated, measured = (run.work / f"{name}.parquet" for name in ("annotated", "placed"))
        given = alignment.write_joined(annotated, joined, only)
        inputs = given.given - given.dropped.get(DropReason.NOT_PUBLISHED, 0)
        limit = DropLimit("align", params.align.max_dropped, inputs)
        limit.add(annotated)
        map_rows(
            params.cluster,
            partial(measure_chunk, params=params.align, photographs=params.photographs, data=DATA.absolute()),
            table=annotated,
            row_in=Annotated,
            row_out=Measured,
            rows_per_chunk=params.align.photographs_per_chunk,
            out=measured,
            memory_mib=MEMORY_MIB,
            finished=limit.add,
        )
        remarks = [replace(found, harmless=found.kind != Remark.NOT_TURNED) for found in remarks_of(measured)]
        found = {each.kind: each for each in (*joined.suspicions, *alignment.suspicions_of(measured), *remarks)}
        run.suspect([*found.values()], params.align.max_suspicious)
        dropped = run.work / "dropped.parquet"
        manifest.write_tables(dropped, Aligned, alignment.without_measure(annotated))
        account = manifest.join_parts(
            run.table,
            Aligned,
            [dropped, measured],
            lambda part, rows: alignment.aligned_rows(rows) if part else rows,
        )
        run.report["further_faces"] = int(np.count_nonzero(manifest.read_columns(run.table, ["face"])["face"]))
        for path in (annotated, measured, dropped):
            path.unlink()
        run.count(account, params.align.max_dropped)


def measure_chunk(
    rows: Sequence[Annotated], stem: Path, *, params: AlignParams, photographs: PhotographParams, data: Path
) -> Iterator[Measured | Drop]:
    """Sizes and rectangles of some faces; only the headers of the files are read."""

    def measure(row: Annotated) -> Measured:
        header = read_header(read_stored(data, row.photograph), params.max_megapixels, photographs)
        measured = alignment.measure(row, header.width, header.height, tuple(sorted(header.remarks)))
        return alignment.place(measured, params)

    return outcomes(rows, measure)


if __name__ == "__main__":
    main(align)
