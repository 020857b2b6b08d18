"""Stage detect: faces and their landmarks in the photographs, where the source has none."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline import manifest
from pipeline.cluster import map_rows
from pipeline.container import read_stored
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.decode import decode, decoding_mib, image_size, orientation_of, self_test
from pipeline.faces.detection.detector import find_faces, open_detector
from pipeline.manifest import Accounting, Detected, Drop, Photograph
from pipeline.params import PUBLISHED, ClusterParams, DetectParams, Params, PhotographParams
from pipeline.report import sheets
from pipeline.report.face_sheet import PER_ROW, draw_face
from pipeline.sources.published import Published
from stages import CHECKOUT, DATA, MANIFESTS, main, open_downloads, read_manifest, read_params, stage_run, table

MANIFEST = MANIFESTS / "weights.yaml"
YUNET = "yunet/face_detection_yunet_2023mar.onnx"
SHEET = "faces.png"
MIB_OF_A_SEARCH = 300


def detect() -> None:
    """Write `data/detect/`: the table of faces, and a contact sheet; an empty table where landmarks are given."""
    params = read_params()
    keys = {
        "detect": params.detect.deciding(),
        "photographs": params.photographs,
        "align.max_megapixels": params.align.max_megapixels,
        "detected": params.detects,
    }
    with stage_run("detect", params=keys, inputs=[table("extract"), MANIFEST] if params.detects else []) as run:
        if not params.detects:
            manifest.write_rows(run.table, Detected, [])
            run.report["faces"] = 0
            return
        weights, fetched = find_weights(params)
        run.notes.update(fetched)
        account = detect_photographs(
            table("extract"),
            run.table,
            params=params.detect,
            photographs=params.photographs,
            max_megapixels=params.align.max_megapixels,
            cluster=params.cluster,
            weights=weights,
            finished=run.drop_limit(params.detect.max_dropped, table("extract")).add,
        )
        run.report["faces"] = manifest.account(run.table).kept
        run.count(account, params.detect.max_dropped)


def find_weights(params: Params) -> tuple[Path | None, dict[str, object]]:
    """Where the detector's networks are, and what was fetched for it; None for those of an installed package."""
    section = params.detect
    if section.engine == "mtcnn":
        return (None if section.weights == PUBLISHED else (CHECKOUT / section.weights).absolute()), {}
    published = read_manifest(MANIFEST, Published)
    if section.weights != PUBLISHED:
        return check_yunet(CHECKOUT / section.weights, published), {}
    downloads = open_downloads(params)
    (file,) = downloads.fetch(published, [published.at(YUNET)])
    return file.absolute(), downloads.record


def check_yunet(file: Path, published: Published) -> Path:
    """The absolute path of the user's copy of YuNet; `SourceError` if it is not the published file."""
    if not file.is_file():
        raise SourceError(f"{file}: no such file; detect.weights (or --weights) names a copy of {YUNET}.")
    fault = published.at(YUNET).fault_of(file)
    if fault is not None:
        raise SourceError(f"{file}: {fault}. Only that file is used: its hash is part of what detect makes.")
    return file.absolute()


def detect_photographs(
    inputs: Path,
    out: Path,
    *,
    params: DetectParams,
    photographs: PhotographParams,
    max_megapixels: float,
    cluster: ClusterParams,
    weights: Path | None,
    data: Path = DATA,
    finished: Callable[[Path], None] = lambda table: None,
) -> Accounting:
    """Write the faces of the photographs of the table `inputs` to the table `out`, and a contact sheet next to it.

    `finished`: see `map_rows`. The account counts photographs.
    """
    open_detector(params.engine, weights, params.min_score)  # an error now, not in a worker
    self_test(photographs.decoder)
    decoded = partial(_decode, photographs=photographs, max_megapixels=max_megapixels, data=data.absolute())
    account = map_rows(
        cluster,
        partial(detect_chunk, params=params, weights=weights, photographs=photographs, decoded=decoded),
        table=inputs,
        row_in=Photograph,
        row_out=Detected,
        rows_per_chunk=params.photographs_per_chunk,
        out=out,
        memory_mib=decoding_mib(photographs, max_megapixels) + MIB_OF_A_SEARCH,
        finished=finished,
        account=manifest.account_inputs,
    )
    places = sheets.spread(manifest.account(out).kept, params.sheet_faces)
    faces = manifest.read_kept_at(out, Detected, places)
    sheets.write_sheet(out.with_name(SHEET), [draw_face(decoded(face)[0], face) for face in faces], PER_ROW)
    return account


def detect_chunk(
    rows: Sequence[Photograph],
    stem: Path,
    *,
    params: DetectParams,
    weights: Path | None,
    photographs: PhotographParams,
    decoded: Callable[[Photograph], tuple[sheets.Picture, int]],
) -> Iterator[Detected | Drop]:
    """The faces of some photographs: several rows for one with several, a drop for one without.

    Each worker tests its decoder first.
    """
    self_test(photographs.decoder)
    for row in rows:
        try:
            picture_HWC, orientation = decoded(row)
            faces = find_faces(picture_HWC, params, weights)
            if not faces:
                height, width = picture_HWC.shape[:2]
                turned = f"; its Exif orientation {orientation} is not applied (photographs.orientation)"
                raise RejectedInputError(
                    DropReason.NO_FACE,
                    f"{width} x {height} pixels; searched were faces of at least {params.min_face_pixels} pixels with "
                    f"a score of at least {params.min_score:g}"
                    + (turned if orientation != 1 and photographs.orientation == "stored" else ""),
                )
        except RejectedInputError as rejected:
            yield Drop.of(row, rejected)
            continue
        for number, face in enumerate(faces):
            yield manifest.extend(
                row,
                Detected,
                face=number,
                box=tuple(face.box_4.tolist()),
                score=face.score,
                landmarks=tuple(face.landmarks_52.ravel().tolist()),
                orientation=orientation,
            )


def _decode(
    row: Photograph, *, photographs: PhotographParams, max_megapixels: float, data: Path
) -> tuple[sheets.Picture, int]:
    """A photograph's pixels, and its Exif orientation."""
    content = read_stored(data, row.photograph)
    image_size(content, max_megapixels, photographs.orientation)
    return decode(content, photographs), orientation_of(content)


if __name__ == "__main__":
    main(detect)
