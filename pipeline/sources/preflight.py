"""Photographs and annotations of a source, compared by name before a byte is packed or unpacked."""

from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from pipeline.errors import RejectedInputError, SourceError, TooManyDroppedError
from pipeline.faces import suspicious
from pipeline.faces.annotations import PhotographAnnotations
from pipeline.params import AlignParams
from pipeline.sources.listing import is_named_as_photograph, list_images
from pipeline.sources.numbering import check_complete, number
from pipeline.sources.source import Given
from pipeline.suspicions import Suspicion

EXAMPLES = 5


def check(given: Given, align: AlignParams, only: Set[str] | None) -> tuple[list[str], list[Suspicion]]:
    """Read the annotations and compare them with the names of the photographs; return warnings and suspicions.

    `only`: the photographs that `align` uses, None for all.

    Raises
    ------
    SourceError
        The images are no archive or not complete, an annotation file cannot be read, or has no row for any photograph.
    TooManyDroppedError
        For want of annotations `align` would drop more than `align.max_dropped`.
    """
    numbered = number(list_images(given.images, given.limits), given.numbering)
    if given.photographs is not None:
        check_complete(given.images, numbered, given.photographs)
    photographs = [entry.file for entry in numbered if entry.lost is None and is_named_as_photograph(entry.file)]
    annotations = PhotographAnnotations(given.annotations, align, photographs)
    for found in annotations.files:
        rows = [*found.values, *found.errors]
        if photographs and not annotations.matches[found.path]:
            raise SourceError(
                f"{found.path}: has no row for any of the {len(photographs)} photographs of {given.images}. Its first "
                f"row is of {rows[0]}, the first photograph is {photographs[0]}: the names must be equal, "
                f"but for folders, suffix and case."
            )
    _check_drops(given.images, photographs, annotations, align, only)
    return annotations.warnings, annotations.suspicions


def _check_drops(
    images: Path,
    photographs: Sequence[str],
    annotations: PhotographAnnotations,
    align: AlignParams,
    only: Set[str] | None,
) -> None:
    drops = [(file, error) for file, errors in annotations.without_photograph().items() for error in errors]
    usable: list[str] = []
    for photograph in photographs:
        try:
            faces = annotations.of(photograph).faces
        except RejectedInputError as rejected:
            faces = (rejected,)
        for face in faces:
            try:
                if isinstance(face, RejectedInputError):
                    raise face
                if face is not None:
                    suspicious.check_order(face, align)
                usable.append(photograph)
            except RejectedInputError as rejected:
                drops.append((photograph, rejected))
    if only is not None:
        drops = [(file, rejected) for file, rejected in drops if file in only]
        usable = [file for file in usable if file in only]
    total = len(drops) + len(usable)
    if len(drops) <= align.max_dropped * total:
        return
    counts = Counter(rejected.reason for _, rejected in drops).most_common()
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
    examples = "; ".join(f"{file}: {rejected.detail}" for file, rejected in drops[:EXAMPLES])
    raise TooManyDroppedError(
        f"{images}: of {total} photographs and rows, align would drop {len(drops)} ({reasons}), allowed are "
        f"{align.max_dropped:.1%}. The first: {examples}. Complete the annotations, or raise align.max_dropped in "
        f"params.yaml (or, for attributes, set align.missing_attributes to unknown)."
    )
