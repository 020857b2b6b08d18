"""Stage select on made-up tables: the best are kept, ties go by index, and all inputs are accounted for."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import columns, manifest
from pipeline.errors import DropReason
from pipeline.manifest import Drop, Scored, Selected, Stored
from pipeline.params import SelectParams
from pipeline.published.image_list import PublishedImage
from stages import RECORD
from stages.select import BEFORE, keep_best, keep_published, select, selected
from tests.data.celebahq.make import write_list
from tests.stages.faces import choose

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=9, md5="0" * 32)
FIGURES = [0.31, 0.52, 0.31, 0.77, 0.12]
FUNNEL = Path("data/select/funnel.csv")
HISTOGRAM = Path("data/select/quality_histogram.csv")
TABLE = Path("data/select/select.parquet")


def scored(index: int, figure: float) -> Scored:
    return Scored(
        index=index,
        file=f"{index + 1:06d}.jpg",
        photograph=STORED,
        width=100,
        height=120,
        split=None,
        attributes=None,
        landmarks=(0.0,) * 10,
        quad=(0.0,) * 8,
        zoom=2.0,
        pixels=STORED,
        region_md5="",
        left=0,
        upper=0,
        crop_width=90,
        crop_height=90,
        shrink=1,
        border=5,
        denoised=True,
        quality=figure,
        padded=False,
        enlarge=4,
        sharpness=figure,
    )


@pytest.fixture
def _tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [scored(2 * position, figure) for position, figure in enumerate(FIGURES)]
    torn = Drop(index=1, file="000002.jpg", reason=DropReason.TRUNCATED, detail="no end")
    # only counts are read of the stages before superres, so additional columns do no harm
    for stage in BEFORE:
        outcomes = [*rows, torn] if stage == "crop" else rows
        manifest.write_rows(Path(f"data/{stage}/{stage}.parquet"), Scored, outcomes)


def run(**values: Any) -> dict[str, Any]:
    choose("tcp://not-used", select=values)
    select()
    return json.loads(Path("data/select", RECORD).read_text())["report"]


def records(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("_tables")
def test_the_best_are_kept_and_ties_go_to_the_lower_index() -> None:
    report = run(method="quality", keep=3)
    assert [(row.index, row.rank) for row in manifest.read_kept(TABLE, Selected)] == [(0, 2), (2, 1), (6, 0)]
    dropped = manifest.read_dropped(TABLE)
    assert [drop.index for drop in dropped] == [4, 8]
    assert {drop.reason for drop in dropped} == {DropReason.LOW_QUALITY}
    assert dropped[0].detail == "rank 3 of 5, quality 0.310000; the best 3 are kept"
    assert report == {"given": 5, "kept": 3, "dropped": {DropReason.LOW_QUALITY.value: 2}, "asked": 3}


@pytest.mark.usefixtures("_tables")
def test_by_index_the_first_are_kept_with_their_ranks() -> None:
    run(method="index", keep=2)
    assert [(row.index, row.rank) for row in manifest.read_kept(TABLE, Selected)] == [(0, 2), (2, 1)]


@pytest.mark.usefixtures("_tables")
def test_all_are_kept_where_there_are_fewer() -> None:
    report = run(method="quality", keep=64)
    assert (report["asked"], report["given"], report["kept"]) == (64, 5, 5)
    assert len(manifest.read_kept(TABLE, Selected)) == 5


@pytest.mark.usefixtures("_tables")
def test_the_histogram_counts_every_face_once() -> None:
    run(method="quality", keep=3)
    bins = records(HISTOGRAM)
    assert (bins[0]["quality"], bins[-1]["quality"]) == ("0.13", "0.77")
    steps = {round(float(b["quality"]) - float(a["quality"]), 6) for a, b in itertools.pairwise(bins)}
    assert steps == {0.02}
    assert sum(int(row["kept"]) for row in bins) == 3
    assert sum(int(row["dropped"]) for row in bins) == 2
    tied = next(row for row in bins if row["quality"] == "0.31")
    assert (tied["kept"], tied["dropped"]) == ("1", "1")


@pytest.mark.usefixtures("_tables")
def test_the_funnel_names_every_stage_so_far() -> None:
    run(method="quality", keep=3)
    funnel = {row["stage"]: row for row in records(FUNNEL)}
    assert list(funnel) == [*BEFORE, "select"]
    assert funnel["crop"] == {"stage": "crop", "kept": "5", "dropped": "1", "reasons": "truncated image: 1"}
    assert (funnel["select"]["kept"], funnel["select"]["dropped"]) == ("3", "2")


@pytest.mark.usefixtures("_tables")
def test_the_funnel_has_the_photographs_without_a_face_where_faces_are_detected() -> None:
    none = Drop(index=3, file="000004.jpg", reason=DropReason.NO_FACE, detail="")
    manifest.write_rows(Path("data/detect/detect.parquet"), Scored, [scored(0, 0.5), none])
    source = {"kind": "folder", "images": "in", "landmarks": "detect", "attributes": None}
    choose("tcp://not-used", select={"method": "quality", "keep": 3}, download={"source": source, "watch": "in"})
    select()
    funnel = {row["stage"]: row for row in records(FUNNEL)}
    assert list(funnel)[:3] == ["extract", "detect", "align"]
    assert funnel["detect"]["reasons"] == f"{DropReason.NO_FACE}: 1"


@pytest.mark.usefixtures("_tables")
def test_celeba_is_compared_with_the_published_list() -> None:
    images = [PublishedImage(idx, orig_idx, "0" * 32, "0" * 32) for idx, orig_idx in enumerate((6, 77, 2))]
    write_list(Path("list"), images, files=1)
    exact = {"image_list": "list"}
    assert "agreement" not in run(method="quality", keep=3)  # drawn photographs, though they have CelebA's names
    celeba = {
        "kind": "celeba", "images": "published", "landmarks": "published", "partition": None, "attributes": None,
        "deltas": None,
    }  # fmt: skip
    choose("tcp://not-used", select={"method": "quality", "keep": 3}, download={"source": celeba}, exact=exact)
    rows = manifest.read_kept(Path("data/superres/superres.parquet"), Scored)
    # the second face of a photograph is none of the published ones, and a face without a score is not compared
    others = [replace(rows[3], face=1, quality=0.0), replace(rows[2], index=76, file="000077.jpg", quality=None)]
    manifest.write_rows(Path("data/superres/superres.parquet"), Scored, [*rows, *others])
    select()
    report = json.loads(Path("data/select", RECORD).read_text())["report"]
    # listed are the faces of 0.77 and 0.52, the two best; their files are as large as the others, their squares too
    assert report["agreement"]["listed"] == 2
    assert report["agreement"]["quality"] == {"auc": 1.0, "overlap": 1.0}
    assert report["agreement"]["resolution"]["auc"] == report["agreement"]["file_size"]["auc"] == 0.5
    assert json.loads(Path("reports/select.json").read_text())["agreement"] == report["agreement"]
    choose(
        "tcp://not-used",
        select={"method": "quality", "keep": 3}, download={"source": celeba}, exact=exact,
        align={"photographs": "published"},
    )  # fmt: skip
    select()
    assert "agreement" not in json.loads(Path("data/select", RECORD).read_text())["report"]


@given(figures=st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=20), keep=st.integers(1, 25))
def test_in_equals_kept_and_dropped_and_no_dropped_one_is_better(figures: list[float], keep: int) -> None:
    ranks = keep_best(figures, SelectParams(method="quality", keep=keep)).ranks_N.tolist()
    kept = [place for place, rank in enumerate(ranks) if rank >= 0]
    assert len(ranks) == len(figures)
    assert len(kept) == min(keep, len(figures))
    assert sorted(ranks[place] for place in kept) == list(range(len(kept)))
    worst = min(figures[place] for place in kept)
    assert all(figure <= worst for figure, rank in zip(figures, ranks, strict=True) if rank < 0)


def test_rows_become_those_of_the_stage_whatever_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_GROUP", 3)
    rows = [replace(scored(position // 2, 0.1 * position), face=position % 2) for position in range(8)]
    manifest.write_rows(tmp_path / "superres.parquet", Scored, rows)
    chosen = keep_best([row.quality or 0.0 for row in rows], SelectParams(method="quality", keep=5))
    path = tmp_path / "select.parquet"
    account = manifest.write_tables(path, Selected, selected(tmp_path / "superres.parquet", chosen))
    kept, dropped = manifest.read_kept(path, Selected), manifest.read_dropped(path)
    assert (account.given, account.kept) == (8, 5)
    assert kept == [manifest.extend(row, Selected, rank=7 - place) for place, row in enumerate(rows) if place >= 3]
    assert [drop.detail for drop in dropped] == [
        f"rank {7 - place} of 8, quality {0.1 * place:.6f}; the best 5 are kept" for place in range(3)
    ]
    assert [(drop.index, drop.face, drop.file) for drop in dropped] == [(r.index, r.face, r.file) for r in rows[:3]]


def test_images_of_the_published_list_are_kept_by_their_number() -> None:
    images = [PublishedImage(idx, orig_idx, "0" * 32, "0" * 32) for idx, orig_idx in enumerate((4, 999, 0))]
    files = [f"{number + 1:06d}.jpg" for number in (0, 2, 4, 4, 6, 8)]  # two faces of the photograph 000005.jpg
    chosen = keep_published(files, images)
    assert chosen.ranks_N.tolist() == [2, -1, 0, -1, -1, -1]
    assert chosen.reason is DropReason.NOT_PUBLISHED
