"""Stage lsun: one LSUN category to shards; an item of a foreach stage, `python -m stages.lsun CATEGORY`."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline import provenance
from pipeline.cluster import connect
from pipeline.errors import SourceError
from pipeline.params import LsunCategory, LsunParams
from pipeline.shards.complete import complete
from pipeline.shards.layout import Header
from pipeline.sources.lsun import published
from pipeline.sources.lsun.convert import convert
from pipeline.sources.lsun.published import PublishedCategory, PublishedLsun
from pipeline.sources.lsun.synthetic import make_category
from stages import DATA, WORK, main, read_params, stage_run

MANIFEST = Path("manifests/lsun.yaml")
DECIDING = ("source", "resolution", "images_per_shard", "codec", "max_dropped")
"""Not `categories`: a change of the list runs none of the categories that stay."""

LIBRARIES = ("numpy", "pillow", "h5py", "hdf5plugin")


def lsun(spelling: str) -> None:
    """Write the first good records of a category, cut to squares, to `data/lsun/SPELLING` (that of `params.yaml`)."""
    params = read_params()
    section = params.lsun
    category = section.named(spelling)
    name = f"lsun@{spelling}"
    scratch = WORK / f"{name}.scratch"
    values: dict[str, Any] = {f"lsun.{key}": getattr(section, key) for key in DECIDING}
    values["lsun.max_images"] = None if category in section.whole else section.max_images
    file = _file(category, section, scratch)
    if section.source.kind != "synthetic":
        values["sha256"] = provenance.digest_of_file(file)
        published.check(file, known_category(category), values["sha256"])
    with stage_run(name, params=values, inputs=[MANIFEST], out=DATA / "lsun" / spelling, module="stages.lsun") as run:
        header = Header(
            resolution=section.resolution,
            codec=section.codec,
            params_digest=provenance.digest_of(values),
            decoder="pillow",
            renderer="pillow-lanczos",
            libraries=json.dumps({library: provenance.library_versions()[library] for library in LIBRARIES}),
        )
        with connect(params.cluster) as client:
            account = convert(
                client,
                file if file.name == published.DATABASE else published.unpack(file, scratch / "unpacked"),
                header,
                max_images=values["lsun.max_images"],
                images_per_shard=section.images_per_shard,
                index=scratch / "keys.arrow",
                work=run.work,
            )
        run.count(account, section.max_dropped)
        run.report.update(complete(run.work))
    if scratch.exists():
        shutil.rmtree(scratch)


def _file(category: LsunCategory, section: LsunParams, scratch: Path) -> Path:
    """The category's database or zip: found where the user has it, or made."""
    known = known_category(category)
    if section.source.kind == "local":
        return published.find(section.source.directory, known)
    source = section.source
    return make_category(
        scratch / "published",
        category,
        known,
        records=source.records,
        bad_records=source.bad_records,
        seed=source.seed,
    )


def known_category(category: LsunCategory) -> PublishedCategory:
    """What is published of `category`."""
    try:
        content = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
        return PublishedLsun.model_validate(content).categories[category]
    except (OSError, yaml.YAMLError, ValidationError, KeyError) as error:
        raise SourceError(
            f"{MANIFEST}: does not tell of {category} ({error}). It is part of the repository: restore it."
        ) from error


if __name__ == "__main__":
    main(lsun)
