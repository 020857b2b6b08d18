"""Stage align: photographs and annotations to one oriented rectangle per face."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.cluster import map_rows, outcomes
from pipeline.container import read_stored
from pipeline.drops import DropLimit
from pipeline.errors import DropReason
from pipeline.faces import alignment
from pipeline.faces.alignment import Annotated
from pipeline.faces.decode import read_header
from pipeline.manifest import Aligned, Drop, join_parts, write_rows
from pipeline.params import AlignParams, PhotographParams
from pipeline.published.image_list import read_list
from pipeline.suspicions import remarks_of
from stages import DATA, main, read_params, stage_run, table

SHOWN_WARNINGS = 10
MEMORY_MIB = 50


def align() -> None:
    """Write `data/align/align.parquet`: each photograph with its rectangle, or the reason why it has none."""
    params = read_params()
    annotations = [table("extract").with_name(name) for name in alignment.ANNOTATION_FILES]
    inputs = [table("extract"), *(path for path in annotations if path.is_file())]
    if params.align.photographs == "published":
        inputs.append(params.exact.image_list)
    with stage_run(
        "align", params={"align": params.align.deciding(), "photographs": params.photographs}, inputs=inputs
    ) as run:
        joined = alignment.join_annotations(table("extract"), params.align)
        if params.align.photographs == "published":
            joined = alignment.keep_only(joined, {image.file for image in read_list(params.exact.image_list)})
        run.report["warnings"] = len(joined.warnings)
        for warning in joined.warnings[:SHOWN_WARNINGS]:
            print(f"align: {warning}", file=sys.stderr)
        annotated, faces, dropped = (run.work / f"{name}.parquet" for name in ("annotated", "faces", "dropped"))
        write_rows(annotated, Annotated, joined.annotated)
        write_rows(dropped, Aligned, joined.dropped)
        unpublished = sum(drop.reason == DropReason.NOT_PUBLISHED for drop in joined.dropped)
        inputs = len(joined.annotated) + len(joined.dropped) - unpublished
        limit = DropLimit("align", params.align.max_dropped, inputs)
        limit.add(dropped)
        map_rows(
            params.cluster,
            partial(align_chunk, params=params.align, photographs=params.photographs, data=DATA.absolute()),
            table=annotated,
            row_in=Annotated,
            row_out=Aligned,
            rows_per_chunk=params.align.photographs_per_chunk,
            out=faces,
            memory_mib=MEMORY_MIB,
            finished=limit.add,
        )
        account = join_parts(run.table, Aligned, [faces, dropped])
        for path in (annotated, faces, dropped):
            path.unlink()
        run.suspect(remarks_of(run.table))
        run.count(account, params.align.max_dropped)


def align_chunk(
    rows: Sequence[Annotated], stem: Path, *, params: AlignParams, photographs: PhotographParams, data: Path
) -> Iterator[Aligned | Drop]:
    """Rectangles of some photographs; only the headers of the files are read."""

    def align_face(row: Annotated) -> Aligned:
        header = read_header(read_stored(data, row.photograph), params.max_megapixels, photographs)
        aligned = alignment.align_photograph(row, header.width, header.height, params)
        return replace(aligned, remarks=tuple(sorted(header.remarks)))

    return outcomes(rows, align_face)


if __name__ == "__main__":
    main(align)
