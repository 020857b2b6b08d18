"""CelebA over the network: its files are fetched, and then are as good as copies that the user laid down."""

from pathlib import Path

from pipeline.params import CelebANetwork, CelebASource
from pipeline.sources import celeba
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.local import lay_down
from pipeline.sources.published import Published

DELTAS = "deltas"
"""Folder of the delta archives among the delivered files."""


def fetch_celeba(source: CelebANetwork, published: Published, downloads: Downloads) -> CelebASource:
    """Fetch what `source` wants of CelebA; return it as local files.

    Raises
    ------
    TermsError, FetchError
        See `Downloads.fetch`.
    """
    first = published.at(f"{celeba.IMAGES}/{celeba.ARCHIVE}.001")
    parts = published.parts_of(first)
    wanted = {celeba.LANDMARKS: True, celeba.PARTITION: source.partition, celeba.ATTRIBUTES: source.attributes}
    annotations = [published.at(path) for path, want in wanted.items() if want]
    files = [*annotations, *parts]
    here = {file.path: path for file, path in zip(files, downloads.fetch(published, files), strict=True)}
    return CelebASource(
        kind="celeba",
        images=here[first.path],
        landmarks=here[celeba.LANDMARKS],
        partition=here.get(celeba.PARTITION),
        attributes=here.get(celeba.ATTRIBUTES),
        deltas=None,
    )


def fetch_deltas(published: Published, downloads: Downloads, target: Path) -> None:
    """Fetch all archives of deltas and lay them down below `target`.

    Raises
    ------
    TermsError, FetchError
        See `Downloads.fetch`.
    """
    for path in downloads.fetch(published, published.files):
        lay_down(path, target / DELTAS / path.name)
