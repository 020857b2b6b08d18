"""What the params call `published` is fetched; then it is as good as copies that the user laid down."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.params import PUBLISHED, AnySource
from pipeline.sources import celeba, mnist
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.published import Published, PublishedFile

DELTAS = "celebahq-deltas"
"""The manifest of `CelebASource.deltas`, all of whose files are wanted."""


@dataclass(frozen=True, slots=True)
class Form:
    """Where a source's files are published: its manifest, and the path in it by the field of the params."""

    manifest: str
    paths: Mapping[str, str]


_ANNOTATIONS = {"landmarks": celeba.LANDMARKS, "partition": celeba.PARTITION, "attributes": celeba.ATTRIBUTES}
_DIGITS = Form("mnist", {"labels": mnist.LABELS, "images": mnist.IMAGES})
FORMS: Mapping[str, Form] = {
    "celeba": Form("celeba", {**_ANNOTATIONS, "images": f"{celeba.IMAGES}/{celeba.ARCHIVE}.001"}),
    "celeba-128": Form("celeba", {**_ANNOTATIONS, "images": celeba.ALIGNED}),
    "cifar10": Form("cifar10", {"archive": "cifar-10-binary.tar.gz"}),
    "mnist": _DIGITS,
    "mnist-rgb": _DIGITS,
}
"""By the kind of source; the others are not published."""


def resolve(source: AnySource, manifests: Mapping[str, Published], downloads: Downloads) -> AnySource:
    """The source with a path in place of every `published`.

    Parameters
    ----------
    source
        The section `download.source` of the params.
    manifests
        By name, those of `FORMS[source.kind]` and of `DELTAS`.
    downloads
        What fetches.

    Raises
    ------
    TermsError, FetchError, SourceError
        See `Downloads.fetch`. Terms are looked at before anything is fetched.
    """
    if source.kind not in FORMS:
        return source
    form = FORMS[source.kind]
    published = manifests[form.manifest]
    fields = [field for field in form.paths if getattr(source, field, None) == PUBLISHED]
    parts = {field: published.parts_of(published.at(form.paths[field])) for field in fields}
    wanted: dict[str, list[PublishedFile]] = {}
    if fields:
        wanted[form.manifest] = [file for field in fields for file in parts[field]]
    if source.kind == "celeba" and source.deltas == PUBLISHED:
        wanted[DELTAS] = list(manifests[DELTAS].files)
    for name, files in wanted.items():
        downloads.demand(manifests[name], files)
    here: dict[PublishedFile, Path] = {}
    for name, files in wanted.items():
        here |= zip(files, downloads.fetch(manifests[name], files), strict=True)
    update = {field: here[parts[field][0]] for field in fields}
    if DELTAS in wanted:
        update["deltas"] = here[wanted[DELTAS][0]].parent
    return source.model_copy(update=update)
