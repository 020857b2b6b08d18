"""Stage download: the raw files of the source in `params.yaml`, checked, as published."""

from pipeline.errors import SourceError
from pipeline.params import AnySource, CelebANetwork, Params
from pipeline.sources.celeba_network import fetch_celeba, fetch_deltas
from pipeline.sources.deliver import deliver
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.fetch.terms import Acceptance
from pipeline.sources.published import Published
from stages import DATA, DOWNLOADS, MANIFESTS, main, read_manifest, read_params, stage_run

MANIFEST = MANIFESTS / "celeba.yaml"
DELTAS = MANIFESTS / "celebahq-deltas.yaml"


def download() -> None:
    """Deliver the source's files to `data/download`."""
    params = read_params()
    published = read_manifest(MANIFEST, Published)
    inputs = sorted({MANIFEST, DELTAS, params.download.watch})
    for path in inputs:
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder; correct download.watch in params.yaml.")
    with stage_run("download", params={"download": params.download}, inputs=inputs, out=DATA / "download") as run:
        downloads = Downloads(DOWNLOADS, params.network, Acceptance.read())
        deliver(_local(params, published, downloads), published, run.work)
        if params.download.source.kind == "celeba-network" and params.download.source.deltas:
            fetch_deltas(read_manifest(DELTAS, Published), downloads, run.work)
        run.notes.update(downloads.record)
        files = [path for path in run.work.rglob("*") if path.is_file()]
        run.report.update(files=len(files), bytes=sum(path.stat().st_size for path in files))


def _local(params: Params, published: Published, downloads: Downloads) -> AnySource:
    """The source as files of this machine: fetched first where it is the network."""
    source = params.download.source
    return fetch_celeba(source, published, downloads) if isinstance(source, CelebANetwork) else source


if __name__ == "__main__":
    main(download)
