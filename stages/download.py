"""Stage download: the raw files of the source in `params.yaml`, checked, as published."""

import sys

from pipeline.errors import SourceError
from pipeline.params import Params
from pipeline.published.image_list import read_list
from pipeline.sources import preflight
from pipeline.sources.published import Published
from pipeline.sources.registry import SOURCES
from pipeline.sources.source import Given
from stages import MANIFESTS, main, open_downloads, read_manifest, read_params, stage_run

SHOWN_WARNINGS = 10


def download() -> None:
    """Write the source's files to `data/download`; annotations that do not fit the photographs are an error here."""
    params = read_params()
    source = SOURCES[params.download.source.kind](params.download.source)
    watched = params.download.watch
    if not watched.exists():
        raise SourceError(f"{watched}: no such file or folder; correct download.watch in params.yaml.")
    manifests = {name: MANIFESTS / f"{name}.yaml" for name in source.manifests}
    # photographs and archives are listed here and read by extract, annotations are in contents.json by their hashes
    inputs = sorted({*manifests.values()})
    published = {name: read_manifest(path, Published) for name, path in manifests.items()}
    with stage_run("download", params={"download": params.download}, inputs=inputs) as run:
        downloads = open_downloads(params)
        source.stage(published, downloads, run.work, lambda given: _check(given, params))
        run.notes.update(downloads.record)
        files = [path for path in run.work.rglob("*") if path.is_file()]
        run.report.update(files=len(files), bytes=sum(path.stat().st_size for path in files))


def _check(given: Given, params: Params) -> None:
    only = None
    if params.align.photographs == "published":
        only = {image.file for image in read_list(params.exact.image_list)}
    for warning in preflight.check(given, params.align, only)[:SHOWN_WARNINGS]:
        print(f"download: {warning}", file=sys.stderr)


if __name__ == "__main__":
    main(download)
