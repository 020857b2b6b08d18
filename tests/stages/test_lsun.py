import hashlib
import json
import shutil
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dask.distributed import LocalCluster

from pipeline import disk, manifest
from pipeline.errors import ParamsError, SourceError, TermsError, TooManyDroppedError
from pipeline.shards.reader import DataSet
from pipeline.sources.fetch.terms import TERMS_VARIABLE
from pipeline.sources.lsun.records import LsunImage, open_records
from pipeline.sources.lsun.synthetic import make_category
from stages import RECORD, plan, read_params, remaining
from stages.lsun import known_category, lsun

ROOT = Path(__file__).parents[2]
OUT = Path("data/lsun/tower")


@pytest.fixture(scope="module")
def address() -> Generator[str]:
    # a process of its own: one process may open a database only once
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield str(cluster.scheduler_address)


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "manifests", "manifests")


def choose(address: str, *, network: dict[str, Any] | None = None, **values: Any) -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["cluster"]["scheduler"] = address
    params["network"] |= network or {}
    params["lsun"] |= {"categories": ["bedroom", "tower"], "resolution": 32, "images_per_shard": 4} | values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def synthetic(records: int, bad_records: int) -> dict[str, Any]:
    return {"kind": "synthetic", "records": records, "bad_records": bad_records, "seed": 1}


def sums() -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(OUT.iterdir())}


def test_a_category_becomes_a_data_set_from_every_kind_of_source(address: str) -> None:
    choose(address, source=synthetic(10, 2))
    lsun("tower")
    report = json.loads(Path("reports/lsun/tower.json").read_text())
    assert (report["given"], report["kept"], report["images"], report["shards"]) == (10, 8, 8, 3)
    assert sum(report["dropped"].values()) == 2
    data = DataSet(OUT)
    assert (len(data), data.resolution, data.header.decoder) == (8, 32, "pillow")
    rows = manifest.read_kept(OUT / "lsun.parquet", LsunImage)
    assert [row.image_md5 for row in rows] == data.md5s
    assert {"samples.png", "pyramid.png", "dataset.h5"} <= set(sums())
    assert list(Path("data/.work").iterdir()) == []
    # a change of the list of categories must not run this one again
    assert not any("categories" in key for key in json.loads((OUT / RECORD).read_text())["params"])

    before = {name: digest for name, digest in sums().items() if name.endswith((".parquet", ".png"))}
    made = make_category(Path("raw"), "tower", known_category("tower"), records=10, bad_records=2, seed=1)
    with zipfile.ZipFile(made) as archive:
        archive.extractall("unpacked")
    choose(address, source={"kind": "local", "directory": "unpacked"})
    lsun("tower")
    assert {name: digest for name, digest in sums().items() if name.endswith((".parquet", ".png"))} == before
    assert Path("unpacked/tower_train_lmdb/data.mdb").is_file()

    with open_records(Path("unpacked/tower_train_lmdb/data.mdb")) as records:
        values = list(records.values(next(records.keys()), 10))
    for key, value in values:
        path = Path("exported/tower").joinpath(*key.decode()[:6], f"{key.decode()}.webp")
        path.parent.mkdir(parents=True)
        path.write_bytes(value)
    choose(address, source={"kind": "local", "directory": "exported"})
    lsun("tower")
    exported = manifest.read_kept(OUT / "lsun.parquet", LsunImage)
    assert [(row.index, row.image_md5) for row in exported] == [(row.index, row.image_md5) for row in rows]
    assert [Path(row.file).stem for row in exported] == [row.file for row in rows]


def test_impossible_params_are_refused(address: str) -> None:
    choose(address, source=synthetic(4, 0))
    with pytest.raises(ParamsError, match=r"'dog' is not among lsun\.categories \(bedroom, tower\)"):
        lsun("dog")
    choose(address, source=synthetic(4, 4))
    with pytest.raises(SourceError, match="bad_records 4 of records 4 leaves none"):
        lsun("tower")
    choose(address, source={"kind": "local", "directory": "nowhere"})
    with pytest.raises(SourceError, match="nowhere: no database of this category"):
        lsun("tower")
    manifest_file = Path("manifests/lsun.yaml")
    content = yaml.safe_load(manifest_file.read_text())
    del content["categories"]["tower"]
    manifest_file.write_text(yaml.safe_dump(content))
    with pytest.raises(SourceError, match=r"manifests/lsun\.yaml: does not list tower.* restore it"):
        lsun("tower")
    manifest_file.write_text("categories: {}")
    with pytest.raises(SourceError, match=r"(?s)manifests/lsun\.yaml: not a list of published files.*Restore it"):
        lsun("tower")


def test_a_category_comes_over_the_network_only_under_its_terms(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_category(Path("mine/lsun"), "tower", known_category("tower"), records=6, bad_records=1, seed=1)
    manifest_file = Path("manifests/lsun.yaml")
    head = yaml.safe_load(manifest_file.read_text())
    sha256 = hashlib.sha256(made.read_bytes()).hexdigest()
    head["categories"]["tower"] |= {"bytes": made.stat().st_size, "sha256": sha256, "images": 6}
    manifest_file.write_text(yaml.safe_dump(head))
    choose(address, source={"kind": "network"}, network={"local": "mine", "offline": True})
    with pytest.raises(TermsError, match=r"terms --accept-terms lsun"):
        lsun("tower")
    monkeypatch.setenv(TERMS_VARIABLE, "lsun")
    lsun("tower")
    assert len(DataSet(OUT)) == 5
    record = json.loads((OUT / RECORD).read_text())
    assert (record["report"]["records"], record["report"]["published_records"]) == (6, 6)
    # the keys outlive the run, and serve another with other params
    (index,) = Path("data/.lsun-index").iterdir()
    before = index.stat().st_mtime_ns
    choose(address, source={"kind": "network"}, network={"local": "mine", "offline": True}, images_per_shard=2)
    lsun("tower")
    assert (len(DataSet(OUT)), index.stat().st_mtime_ns) == (5, before)
    assert record["fetched"]["lsun/scenes/tower_train_lmdb.zip"]["hashes"] == {"sha256": sha256}
    assert Path("data/.downloads/lsun/scenes/tower_train_lmdb.zip").samefile(made)


def test_too_many_bad_records_end_the_stage_and_publish_nothing(address: str) -> None:
    choose(address, source=synthetic(6, 3))
    with pytest.raises(TooManyDroppedError, match="3 of 6 inputs dropped"):
        lsun("tower")
    assert not OUT.exists()


def test_published_spellings_are_taken_and_categories_may_be_whole(address: str) -> None:
    source = synthetic(6, 0)
    for categories, whole, images in ((["church_outdoor"], [], 4), (["churchoutdoor"], ["church_outdoor"], 6)):
        choose(address, source=source, categories=categories, whole=whole, max_images=4)
        lsun(categories[0])
        folder = Path("data/lsun") / categories[0]
        assert len(DataSet(folder)) == images
        (one,) = [one for one in remaining.progress_of_all(read_params()) if one.stage == f"lsun@{folder.name}"]
        assert (one.state, one.kept) == (remaining.DONE, images)
        (need,) = [need for need in plan.disk_needs(read_params()) if need.stage == f"lsun@{folder.name}"]
        assert need.now == disk.size_of(folder) > 0
    with pytest.raises(ParamsError, match=r"'church_outdoor' is not among lsun\.categories \(churchoutdoor\)"):
        lsun("church_outdoor")  # DVC would have no stage of that name
    with pytest.raises(ParamsError, match="names a category twice"):
        choose(address, categories=["tv-monitor", "tvmonitor"])
        lsun("tvmonitor")


def test_a_zip_of_the_published_size_and_other_bytes_is_refused(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_category(Path("mirror"), "tower", known_category("tower"), records=4, bad_records=0, seed=1)
    manifest_file = Path("manifests/lsun.yaml")
    content = yaml.safe_load(manifest_file.read_text())
    content["categories"]["tower"] |= {"bytes": made.stat().st_size, "sha256": "0" * 64}
    manifest_file.write_text(yaml.safe_dump(content))
    choose(address, source={"kind": "local", "directory": "mirror"})
    with pytest.raises(SourceError, match=r"tower_train_lmdb\.zip: SHA256 is .*, but the published .* has 0000"):
        lsun("tower")
    content["categories"]["tower"]["sha256"] = hashlib.sha256(made.read_bytes()).hexdigest()
    manifest_file.write_text(yaml.safe_dump(content))
    choose(address, source={"kind": "local", "directory": "mirror"}, max_images=5)
    with pytest.raises(SourceError, match=r"data\.mdb: holds 4 records, published are 708264; lsun.max_images is 5"):
        lsun("tower")
    choose(address, source={"kind": "local", "directory": "mirror"}, max_images=4)
    lsun("tower")
    assert "holds 4 records, published are 708264. The hash is the published one" in capsys.readouterr().err
    assert len(DataSet(OUT)) == 4
