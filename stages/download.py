"""Stage download: the raw files of the source in `params.yaml`, checked, as published."""

import json
from pathlib import Path

import yaml
from pydantic import ValidationError

from pipeline.errors import SourceError
from pipeline.sources.deliver import deliver
from pipeline.sources.published import Published
from stages import DATA, main, read_params, stage_run

MANIFEST = Path("manifests/celeba.yaml")


def download() -> None:
    """Deliver the source's files to `data/download`."""
    params = read_params()
    published = _read_manifest(MANIFEST)
    inputs = sorted({MANIFEST, params.download.watch})
    for path in inputs:
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder; correct download.watch in params.yaml.")
    with stage_run("download", params={"download": params.download}, inputs=inputs, out=DATA / "download") as run:
        deliver(params.download.source, published, run.work)
        files = [path for path in run.work.rglob("*") if path.is_file()]
        run.report.update(files=len(files), bytes=sum(path.stat().st_size for path in files))


def _read_manifest(path: Path) -> Published:
    try:
        return Published.model_validate_json(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file; it comes with the repository: git checkout {path}.") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise SourceError(f"{path}: not a list of published files: {error}") from error


if __name__ == "__main__":
    main(download)
