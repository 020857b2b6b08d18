"""Stage lsun: one LSUN category to shards; an item of a foreach stage, `python -m stages.lsun CATEGORY`."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline import provenance
from pipeline.errors import SourceError
from pipeline.params import LsunCategory, LsunParams
from pipeline.report.card import write_card
from pipeline.shards.finalize import finalize_dataset
from pipeline.shards.layout import Header
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.lsun import published
from pipeline.sources.lsun.convert import convert
from pipeline.sources.lsun.image_folder import digest_of_names
from pipeline.sources.lsun.published import PublishedCategory, PublishedLsun
from pipeline.sources.lsun.records import open_records
from pipeline.sources.lsun.synthetic import make_category
from pipeline.workers import connect
from stages import CHECKOUT, DATA, MANIFESTS, WORK, main, open_downloads, read_manifest, read_params, stage_run
from stages.cards import origin_of_lsun

MANIFEST = MANIFESTS / "lsun.yaml"
DECIDING = ("source", "resolution", "images_per_shard", "codec")
"""Not `categories`: a change of that list must not run the other categories again."""

INDICES = CHECKOUT / DATA / ".lsun-index"
"""The keys of each database, by the hash of its zip, file or names: later runs with other params use them."""

LIBRARIES = ("numpy", "pillow", "h5py", "isal", "pyarrow")


def lsun(spelling: str) -> None:
    """Write the first good records of a category, cut to squares, to `data/lsun/SPELLING` (that of `params.yaml`)."""
    params = read_params()
    section = params.lsun
    category = section.named(spelling)
    scratch = WORK / f"lsun@{spelling}.scratch"
    values: dict[str, Any] = {f"lsun.{key}": getattr(section, key) for key in DECIDING}
    values["lsun.max_images"] = None if category in section.whole else section.max_images
    downloads = open_downloads(params)
    file = _file(category, section, scratch, downloads)
    index = scratch / "keys.arrow"
    known, published_zip = known_category(category), section.source.kind != "synthetic" and file.suffix == ".zip"
    if section.source.kind != "synthetic":
        own = digest_of_names if file.is_dir() else provenance.digest_of_file
        values["sha256"] = known.sha256 if published_zip else own(file)
        index = INDICES / f"{values['sha256']}.arrow"
    with stage_run(f"lsun@{spelling}", params=values, inputs=[MANIFEST]) as run:
        header = Header(
            resolution=section.resolution,
            codec=section.codec,
            params_digest=provenance.digest_of(values),
            decoder="pillow",
            renderer="pillow-lanczos",
            libraries=json.dumps({library: provenance.library_versions()[library] for library in LIBRARIES}),
        )
        database = published.unpack(file, scratch / "unpacked") if file.suffix == ".zip" else file
        if published_zip:
            run.report.update(_count(known, database, values["lsun.max_images"]))
        with connect(params.cluster) as client:
            account = convert(
                client,
                database,
                header,
                max_images=values["lsun.max_images"],
                images_per_shard=section.images_per_shard,
                index=index,
                work=run.work,
                max_dropped=section.max_dropped,
            )
        run.count(account, section.max_dropped)
        run.report.update(finalize_dataset(run.work))
        write_card(run.work, origin_of_lsun(category, section, account.dropped))
        run.notes.update(downloads.record)
    if scratch.exists():
        shutil.rmtree(scratch)


def _count(category: PublishedCategory, database: Path, max_images: int | None) -> dict[str, int]:
    """The records of the database and the published count, for the report; a difference is also printed."""
    with open_records(database) as records:
        count = records.count
    fault = published.check_count(category, database, count, max_images)
    if fault is not None:
        print(f"lsun: {fault}. The hash is the published one, so it is the count that is wrong.", file=sys.stderr)
    return {"records": count, "published_records": category.images}


def _file(category: LsunCategory, params: LsunParams, scratch: Path, downloads: Downloads) -> Path:
    """The category's database or zip: the user's, fetched, or made."""
    source, known = params.source, known_category(category)
    if source.kind == "local":
        return published.find(source.directory, category, known, only=len(params.categories) == 1)
    if source.kind == "network":
        manifest = read_manifest(MANIFEST, PublishedLsun)
        return downloads.fetch(manifest, [manifest.file(known)])[0]
    folder, bad = scratch / "published", source.bad_records
    return make_category(folder, category, known, records=source.records, bad_records=bad, seed=source.seed)


def known_category(category: LsunCategory) -> PublishedCategory:
    """What is published of `category`."""
    categories = read_manifest(MANIFEST, PublishedLsun).categories
    if category not in categories:
        raise SourceError(f"{MANIFEST}: does not list {category}. It is part of the repository: restore it.")
    return categories[category]


if __name__ == "__main__":
    main(lsun)
