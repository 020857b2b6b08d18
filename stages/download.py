"""Stage download: the raw files of the source in `params.yaml`, checked, as published."""

from pipeline.errors import SourceError
from pipeline.sources.published import Published
from pipeline.sources.registry import SOURCES
from stages import MANIFESTS, main, open_downloads, read_manifest, read_params, stage_run


def download() -> None:
    """Write the source's files to `data/download`."""
    params = read_params()
    source = SOURCES[params.download.source.kind](params.download.source)
    watched = params.download.watch
    if not watched.exists():
        raise SourceError(f"{watched}: no such file or folder; correct download.watch in params.yaml.")
    manifests = {name: MANIFESTS / f"{name}.yaml" for name in source.manifests}
    inputs = sorted({*manifests.values(), watched})
    published = {name: read_manifest(path, Published) for name, path in manifests.items()}
    with stage_run("download", params={"download": params.download}, inputs=inputs) as run:
        downloads = open_downloads(params)
        source.stage(published, downloads, run.work)
        run.notes.update(downloads.record)
        files = [path for path in run.work.rglob("*") if path.is_file()]
        run.report.update(files=len(files), bytes=sum(path.stat().st_size for path in files))


if __name__ == "__main__":
    main(download)
