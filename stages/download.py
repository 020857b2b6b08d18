"""Stage download: the raw files of the source in `params.yaml`, checked, as published."""

import sys

from pipeline import suspicions
from pipeline.errors import SourceError
from pipeline.params import Params
from pipeline.published.image_list import read_list
from pipeline.sources import preflight
from pipeline.sources.local import require_watched
from pipeline.sources.published import Published
from pipeline.sources.registry import SOURCES
from pipeline.sources.source import Given
from pipeline.suspicions import Suspicion
from stages import MANIFESTS, StageRun, main, open_downloads, read_manifest, read_params, stage_run

SHOWN_WARNINGS = 10


def download(*, with_dvc: bool = True) -> None:
    """Write the source's files to `data/download`; annotations that do not fit the photographs are an error here.

    `with_dvc`: DVC decides when the stage runs again; the user's folders that it does not look into are an error.
    """
    params = read_params()
    source = SOURCES[params.download.source.kind](params.download.source)
    watched = params.download.watch
    if not watched.exists():
        raise SourceError(f"{watched}: no such file or folder; correct download.watch in params.yaml.")
    if with_dvc:
        require_watched(watched, [path for path in params.download.files if path.exists()])
    manifests = {name: MANIFESTS / f"{name}.yaml" for name in source.manifests}
    # photographs and archives are listed here and read by extract, annotations are in contents.json by their hashes
    inputs = sorted({*manifests.values()})
    published = {name: read_manifest(path, Published) for name, path in manifests.items()}
    with stage_run("download", params={"download": params.download}, inputs=inputs) as run:
        downloads = open_downloads(params)
        found: list[Suspicion] = []
        source.stage(published, downloads, run.work, lambda given: found.extend(_check(run, given, params)))
        run.notes.update(downloads.record)
        files = [path for path in run.work.rglob("*") if path.is_file()]
        run.report.update(files=len(files), bytes=sum(path.stat().st_size for path in files))
        if found:
            suspicions.write(run.work, found)  # again: the source has emptied the folder


def _check(run: StageRun, given: Given, params: Params) -> list[Suspicion]:
    only = None
    if params.align.photographs == "published":
        only = {image.file for image in read_list(params.exact.image_list)}
    warnings, found = preflight.check(given, params.align, only)
    for warning in warnings[:SHOWN_WARNINGS]:
        print(f"download: {warning}", file=sys.stderr)
    if found:
        run.suspect(found, params.align.max_suspicious, "align.max_suspicious")
    return found


if __name__ == "__main__":
    main(download)
