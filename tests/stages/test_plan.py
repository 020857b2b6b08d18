"""`celebahq plan`: disk from counts and sizes, time from records and the probe."""

import json
import re
import shutil
from dataclasses import astuple, replace
from pathlib import Path

import pytest
import yaml

from pipeline import atomic, disk, sizes
from pipeline.params import Params, TrainedNetwork
from pipeline.provenance import digest_of_file, read_json
from pipeline.restoration.clean_images import read_clean
from pipeline.restoration.degradations import Degradation
from pipeline.restoration.networks import NetworkSpec
from pipeline.restoration.weights import save_network
from stages import RATES, parse_params, plan, probe, profiles, read_params
from stages.align import align
from stages.crop import crop
from tests.stages.faces import LANDMARKS, choose, photograph, write_extract

ROOT = Path(__file__).parents[2]
FACES = 6
SECTIONS = {
    "align": {"resolution": 64, "min_side_pixels": 1},
    "crop": {"faces_per_chunk": 3},
    "denoise": {"method": "none"},
    "superres": {"method": "lanczos"},
    "fit_denoise": {"network": {"kind": "none"}},
    "fit_superres": {"network": {"kind": "none"}},
}


def read_demo() -> Params:
    return parse_params((ROOT / "profiles/demo.yaml").read_text(), Path("demo.yaml"))


def by_stage(needs: list[plan.Need]) -> dict[str, plan.Need]:
    return {need.stage: need for need in needs}


@pytest.mark.parametrize("name", ["demo", "celebahq", "celebahq-network", "lsun", "cifar10", "mnist-1k-k2"])
def test_readme_states_the_disk_of_the_plan(name: str) -> None:
    row = re.search(rf"^\| `{name}`[^|]*\|[^|]*\|([^|]*)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert row, f"README's table has no profile {name}"
    stated = re.search(r"([\d.]+) GB", row[1])
    assert stated, row[1]
    computed = plan.peak(plan.disk_needs(profiles.read_profile(name)))
    assert float(stated[1]) == pytest.approx(computed / 1e9, rel=0.06, abs=0.05), f"{name}: plan says {computed}"


def test_every_stage_is_planned_and_denoise_is_not_forgotten() -> None:
    needs = by_stage(plan.disk_needs(profiles.read_profile("celebahq-network")))
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {stage.partition("@")[0] for stage in needs} == set(graph) - {"lsun", "evaluate", "report"}
    assert needs["crop"].items == needs["denoise"].items == 202_599
    assert needs["denoise"].result > 80e9
    assert needs["crop"].result < 1e9, "regions are not stored"
    assert needs["shard"].items == 30_000
    assert needs["train@celebahq"].result > 1e9


def test_the_peak_is_the_largest_sum_so_far() -> None:
    need = plan.Need("a", items=1, now=0, result=10, peak=10)
    assert plan.peak([need, replace(need, peak=50), need]) == 60
    assert plan.peak([]) == 0


@pytest.fixture
def _cropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "manifests", "manifests")
    files = {f"{number:06d}.jpg": photograph(number) for number in range(1, FACES + 1)}
    write_extract(files, "".join(f"{file} {LANDMARKS}\n" for file in files))
    choose(address, **SECTIONS)
    align()
    crop()


@pytest.mark.usefixtures("_cropped")
def test_a_record_of_equal_params_is_preferred_to_the_probe(address: str) -> None:
    record = read_json(RATES / "crop.json")
    assert (record["items"], record["workers"]) == (FACES, 2)
    assert record["memory"] > 10e6
    rates = {"crop": probe.Rate(start=6.0, main=0.1, worker=1.0, chunk=3.0, memory=7)}

    def planned(params: Params) -> plan.Need:
        return by_stage(plan.with_rates(params, plan.disk_needs(params), rates))["crop"]

    need = planned(read_params())
    assert (need.source, need.memory, need.now) == ("record", record["memory"], disk.size_of(Path("data/crop")))
    assert need.seconds == pytest.approx(record["seconds"] * need.items / FACES)
    other = SECTIONS | {"photographs": {"decoder": "pillow"}}
    choose(address, **other)
    need = planned(read_params())
    assert (need.items, probe.chunks_of(read_params(), "crop", need.items)) == (88, 30)
    seconds = 6.0 + 88 * 0.1 + (88 * 1.0 + 30 * 3.0) / 2
    assert (need.source, need.memory, need.seconds) == ("probe", 7, seconds), "two workers share faces and chunks"


def test_what_a_stage_takes_once_is_no_part_of_a_chunk() -> None:
    """The probe's runs of a stage of which all is known."""
    once, main, worker, chunk, workers = 0.02, 0.001, 0.01, 0.005, 1.5

    def took(items: int, chunks: int) -> probe._Took:
        parallel = once + items * worker + chunks * chunk
        return probe._Took(items * main + parallel + 0.4, items * main, parallel, 7, items, chunks)

    few, many = took(2, 1), took(100, 3)
    clock = workers + few.clock
    rate = probe._rate(few, many, probe._chunk(took(4, 1), took(4, 4)), clock)
    assert astuple(rate) == pytest.approx((workers + 0.4 + once, main, worker, chunk, 7))
    alone = probe._Took(0.5, 0.3, 0.1, 7, 2, 0), probe._Took(1.5, 1.28, 0.2, 7, 100, 0)
    rate = probe._rate(*alone, probe._chunk(*alone), 0.5)
    assert (rate.worker, rate.chunk, rate.main) == (0.0, 0.0, pytest.approx(0.01)), "dask's own work is no worker's"


def test_the_sheets_of_a_long_table_need_workers_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # without the times of a run
    params = read_demo()
    rates = {"superres": probe.Rate(start=3.0, main=0.0, worker=1.0, chunk=0.0, memory=7)}

    def seconds(faces: int) -> float | None:
        (need,) = plan.with_rates(params, [plan.Need("superres", faces, now=0, result=0, peak=0)], rates)
        return need.seconds

    assert seconds(90) == 3 + 90 / 2, "all of few faces are on the sheets"
    assert seconds(1000) == 2 * 3 + (1000 + 16) / 2, "the best and the worst 8 are rendered again, by new workers"


def test_small_images_compress_less() -> None:
    """Measured: CelebA-HQ's images with gzip, and the shards, view and labels of 30,000 drawn faces of 64 pixels."""
    assert sizes.shards(30_000, 1024, "gzip") == pytest.approx(86e9, rel=0.03)
    assert sizes.shards(30_000, 64, "gzip") == pytest.approx(474e6, rel=0.05)
    assert sizes.shards(30_000, 64, "none") == pytest.approx(30_000 * (64**2 * 4 + 500), rel=0.01)


def test_a_run_that_searched_no_face_says_nothing_about_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atomic.write_json(RATES / "detect.json", {"params": {"detected": False}, "seconds": 0.0, "items": 0, "workers": 2})
    need = plan.Need("detect", items=1000, now=0, result=0, peak=0)
    (need,) = plan.with_rates(read_demo(), [need], {})
    assert need.seconds == pytest.approx(1000 * plan.DETECT_SECONDS / 2)


@pytest.mark.usefixtures("_cropped")
def test_the_results_of_other_data_do_not_decide_a_plan() -> None:
    Path("profiles").symlink_to(ROOT / "profiles")
    needs = by_stage(plan.disk_needs(profiles.read_profile("celebahq-network")))
    assert needs["denoise"].result > 80e9, "the table of six faces is not that of CelebA"


@pytest.mark.usefixtures("_cropped")
def test_what_is_missing_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    params = read_params()
    needs = plan.disk_needs(params)
    for free, stated in ((10**12, "enough"), (10**6, r"[\d.]+ MB are missing")):
        monkeypatch.setattr(disk, "free_bytes", lambda _, free=free: free)
        assert re.search(stated, "\n".join(plan.lines(params, needs)))
    text = "\n".join(plan.lines(params, plan.with_rates(params, needs, {})))
    assert re.search(r"^crop +88 .* record$", text, re.MULTILINE)
    assert re.search(r"^Not measured here: download, extract, denoise, superres.*train@demo", text, re.MULTILINE)


def test_the_probe_measures_the_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine, spec = Path("mine.safetensors"), NetworkSpec(architecture="arresnet", channels=4, blocks=1)
    save_network(mine, spec.build(), spec)
    network = {"kind": "file", "path": str(mine), "sha256": digest_of_file(mine)}  # relative, as in params.yaml
    given = SECTIONS | {"fit_denoise": {"network": network}, "denoise": {"method": "network"}}
    choose("", **given, cluster={"scheduler": None, "workers": 1})
    rates = probe.measure(read_params(), seconds=2)
    assert set(rates) == {*probe.STAGES}
    for stage in ("download", "crop", "superres", "shard"):
        assert 0 < rates[stage].main + rates[stage].worker < 5, stage
        assert rates[stage].memory > 50e6
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["demo", "celebahq-network"])
def test_the_probe_trains_networks_on_images_that_are_large_enough(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drawn photographs of the demo are too small for its patches, where there are two of them."""
    given = profiles.read_profile(name)
    monkeypatch.chdir(tmp_path)
    small = Params.model_validate_json(json.dumps(probe._small(given, None, probe.FEW, 1, networks=True)))
    for fit, scale in ((small.fit_denoise, 1), (small.fit_superres, 4)):
        assert isinstance(fit.network, TrainedNetwork)
        side = Degradation(scale=scale, params=fit.network, how=small.photographs).square_side(fit.network.patch_pixels)
        found = read_clean(fit.photographs, Path("data"), fit.network, small.photographs, side=side)
        assert (found.photographs, found.skipped) == (1, {})


def test_a_failing_probe_shows_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    choose("", **SECTIONS, cluster={"scheduler": None})
    params = read_params()
    source = params.download.source.model_copy(update={"face_pixels_min": 5000, "face_pixels_max": 1})
    faulty = params.model_copy(update={"download": params.download.model_copy(update={"source": source})})
    with pytest.raises(probe.ProbeError, match=r"the probe failed:\n(.|\n)+Error"):
        probe.measure(faulty)


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (90, "1.5 min"), (7200, "2.0 h"), (86_400 * 3, "3.0 d")])
def test_durations(seconds: float, text: str) -> None:
    assert plan.duration(seconds) == text
