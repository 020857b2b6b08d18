"""`celebahq inspect` and `celebahq compare`."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from pipeline import checksums, manifest
from pipeline.errors import ParamsError, PipelineError
from pipeline.manifest import Sharded
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from pipeline.trust import compare
from stages import trust
from stages.__main__ import app
from tests.commands.small_data_set import make_data_set

ROOT = Path(__file__).parents[2]
RUN = ROOT / "tests/golden/training/format5/lsgan_baseline"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_data_set(tmp_path_factory.mktemp("whole") / "set")
    record = {"params": {"shard": {"codec": "gzip"}}, "recipe": 3, "code": "c", "libraries": {"numpy": "2"}}
    record["report"] = {"images": 8, "bytes": 129488092}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def _json(*words: str) -> tuple[dict[str, Any], int]:
    """The facts, which are printed as text too, and the exit status."""
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert len([*trust.lines(facts)]) >= len(facts)
    return facts, result.exit_code


def test_a_data_set_is_described(whole: Path) -> None:
    facts, _ = _json("inspect", str(whole))
    assert (facts["kind"], facts["images"], facts["shards"], facts["codec"]) == ("data set", 8, 2, "gzip")
    assert facts["resolutions"] == [16, 8, 4, 2, 1]
    assert facts["labels"] == {"columns": 5, "values": [0.0, 1.0]}
    assert facts["shard"]["dropped"] == {"truncated image": 1}
    assert facts["shard"]["splits"] == {"train": 8}
    assert facts["definition"]["decoder"] == "pillow"
    assert facts["provenance"]["params"] == {"shard": {"codec": "gzip"}}
    assert facts["digests"] is True
    text = CliRunner().invoke(app, ["inspect", str(whole)], catch_exceptions=False).output
    for line in ("images: 8", "  columns: 5", "    truncated image: 1", "  decoder: pillow"):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("name", "kind", "facts"),
    [
        ("shard-00001.h5", "shard", {"images": 4, "labels": 5, "codec": "gzip"}),
        ("dataset.h5", "view of a data set", {"images": 8}),
        ("dataset-labels.npy", "labels of a data set", {"images": 8, "columns": 5, "type": "float32"}),
        ("shard.parquet", "table", {"rows": 9, "kept": 8}),
    ],
)
def test_each_file_of_it_is_described(whole: Path, name: str, kind: str, facts: dict[str, Any]) -> None:
    found = trust.inspect(whole / name)
    assert found["kind"] == kind
    assert facts.items() <= found.items()


def test_networks_checkpoints_and_runs_are_described() -> None:
    network = next(iter(sorted(RUN.glob("network-*.safetensors"))))
    found, _ = _json("inspect", str(network))
    assert found["kind"] == "network"
    assert found["kimg"] == int(network.stem.rpartition("-")[2]) / 1000
    assert found["parameters"]["G"] == found["parameters"]["Gs"] > 0
    run = trust.inspect(RUN)
    assert run["kind"] == "training run"
    assert run["networks_kimg"]
    checkpoint = next(RUN.glob("checkpoint-*.json"))
    assert trust.inspect(checkpoint)["kind"] == "checkpoint"


def test_a_damaged_file_of_a_run_is_named_among_its_facts(tmp_path: Path) -> None:
    run = shutil.copytree(RUN, tmp_path / "run")
    newest = [max(run.glob(pattern)) for pattern in ("network-*.safetensors", "checkpoint-*.json")]
    for path in newest:
        path.write_bytes(b"no such format")
    facts = trust.inspect(run)
    assert facts["kind"] == "training run"
    assert [str(path) in text for path, text in zip(newest, facts["damaged"], strict=True)] == [True, True]


@pytest.mark.parametrize("name", ["dataset.h5", "shard-00000.h5", "shard.parquet", "network-1.safetensors"])
def test_damaged_files_are_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no such format" * 100)
    with pytest.raises(PipelineError, match=name):
        trust.inspect(tmp_path / name)


def test_what_is_nothing_of_this_project_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "absent"):
        with pytest.raises(ParamsError, match=str(path)):
            trust.inspect(path)


def test_equal_data_sets_are_equal_however_they_are_cut_into_shards(whole: Path, tmp_path: Path) -> None:
    other = make_data_set(tmp_path / "other", per_shard=8)
    (other / "record.json").write_text(
        json.dumps({"params": {"shard": {"codec": "zstd"}}, "recipe": 3, "code": "d", "report": {"bytes": 1}})
    )
    found, status = _json("compare", str(whole), str(other))
    assert (found["equal"], status) == (True, 0)
    assert found["params"] == {"shard.codec": "gzip -> zstd"}
    assert found["provenance"]["code"] == "c -> d"


def test_images_labels_and_order_that_differ_are_listed_worst_first(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with DataSet(whole) as data:
        images_NCHW, labels = data.read(16, range(8)), data.labels
        assert labels is not None
        images_NCHW[1, 0, 0, 0] ^= 1
        images_NCHW[2] //= 2
        labels[5, 0] = 0.5
        with writing_shard(other / "shard-00000.h5", data.header, 7) as shard:
            for place in (1, 0, 2, 3, 4, 5, 6):
                shard.add(images_NCHW[place], index=place, file=f"{place}.jpg", labels=labels[place])
    write_view(other)
    found, status = _json("compare", str(whole), str(other))
    assert (found["equal"], status, found["other_order"]) == (False, 1, True)
    assert found["images"] == {"a": 8, "b": 7, "in_both": 7}
    assert found["missing"] == {"only_in_a": {"count": 1, "first": ["7.jpg"]}}
    assert list(found["worst_first"]) == ["2.jpg", "1.jpg"]
    assert found["worst_first"]["1.jpg"]["max_difference"] == 1
    assert found["worst_first"]["1.jpg"]["psnr"] == pytest.approx(10 * np.log10(255**2 * 3 * 16 * 16))
    assert found["labels"] == {"different": 1, "images": ["5.jpg"]}
    shards = trust.compare(whole / "shard-00000.h5", other / "shard-00000.h5")
    assert shards["different_images"] == 2


def test_tables_differ_by_row_and_column(whole: Path, tmp_path: Path) -> None:
    rows = manifest.read_kept(whole / "shard.parquet", Sharded)
    rows[3] = manifest.extend(rows[3], Sharded, quality=0.25)
    rows[5] = manifest.extend(rows[5], Sharded, photograph=replace(rows[5].photograph, size=4321))
    rows[6] = manifest.extend(rows[6], Sharded, quad=(*rows[6].quad[:7], -1.0), remarks=("odd",))
    rows[7] = manifest.extend(rows[7], Sharded, attributes=None, remarks=("odd", "odd"))
    manifest.write_rows(tmp_path / "shard.parquet", Sharded, rows)
    assert trust.compare(whole / "shard.parquet", whole / "shard.parquet")["equal"]
    found = trust.compare(whole / "shard.parquet", tmp_path / "shard.parquet")
    assert not found["equal"]
    assert found["missing"] == {"only_in_a": {"count": 1, "first": ["8-0"]}}
    assert {name: (of["rows"], [*of["first"]]) for name, of in found["values"].items()} == {
        "quality": (1, ["3-0"]), "photograph": (1, ["5-0"]), "quad": (1, ["6-0"]), "remarks": (2, ["6-0", "7-0"]),
        "attributes": (1, ["7-0"]),
    }  # fmt: skip
    assert found["values"]["quality"]["first"] == {"3-0": "0.5 -> 0.25"}
    assert found["values"]["remarks"]["first"] == {"6-0": "[] -> ['odd']", "7-0": "[] -> ['odd', 'odd']"}


def test_values_that_arrow_does_not_compare(tmp_path: Path) -> None:
    pairs = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    odd = {"index": [0, 1], "note": pa.nulls(2), "notes": [[None], []], "pairs": pairs}
    pq.write_table(pa.table(odd), tmp_path / "a.parquet")
    pq.write_table(pa.table(odd | {"pairs": pairs.take(pa.array([0, 0]))}), tmp_path / "b.parquet")
    assert trust.compare(tmp_path / "a.parquet", tmp_path / "a.parquet")["equal"]
    assert [*trust.compare(tmp_path / "a.parquet", tmp_path / "b.parquet")["values"]] == ["pairs"]
    for name, numbers in (("a", [math.nan, 1.0, math.nan]), ("b", [math.nan, math.nan, 1.0])):
        pq.write_table(pa.table({"index": [0, 1, 2], "value": numbers}), tmp_path / f"{name}.parquet")
    assert trust.compare(tmp_path / "a.parquet", tmp_path / "a.parquet")["equal"]
    assert trust.compare(tmp_path / "a.parquet", tmp_path / "b.parquet")["values"]["value"]["rows"] == 2


def test_a_row_twice_is_a_difference(tmp_path: Path) -> None:
    for name, index in (("a", [0, 1, 1]), ("b", [0, 1])):
        pq.write_table(pa.table({"index": index}), tmp_path / f"{name}.parquet")
    assert not trust.compare(tmp_path / "a.parquet", tmp_path / "b.parquet")["equal"]


def test_long_tables_in_any_order_are_compared_some_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "ROWS_AT_ONCE", 4)
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    values = [[row, -row] for row in range(30)]
    pq.write_table(pa.table({"index": range(30), "value": values}), a, row_group_size=7)
    others = [[row, 7] if row % 5 == 3 else [row, -row] for row in range(30)]
    order = [*range(11), *reversed(range(11, 30))]
    pq.write_table(pa.table({"index": order, "value": [others[row] for row in order]}), b, row_group_size=7)
    first = {str(row): f"[{row}, {-row}] -> [{row}, 7]" for row in (3, 8, 13, 18, 23)}
    assert compare.tables(a, b)["values"] == {"value": {"rows": 6, "first": first}}


def _other_weight(path: Path) -> None:
    tensors = load_file(path)
    key = next(iter(sorted(tensors)))
    tensors[key] = tensors[key] + np.float32(0.5)
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata)


def test_networks_and_runs_differ_by_weights_and_options(tmp_path: Path) -> None:
    other = Path(shutil.copytree(RUN, tmp_path / "run"))
    assert trust.compare(RUN, other)["equal"]
    newest = max(other.glob("network-*.safetensors"))
    _other_weight(newest)
    found = trust.compare(RUN / newest.name, newest)
    assert not found["equal"]
    ((name, change),) = found["worst_first"].items()
    assert change["max_difference"] == pytest.approx(0.5)
    assert name[0] in "DG"
    assert not trust.compare(RUN, other)["equal"]


def test_published_folders_differ_by_file(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.csv").write_text("x")
        (tmp_path / name / "other.csv").write_text(text)
        checksums.write(tmp_path / name)
    found = trust.compare(tmp_path / "a", tmp_path / "b")
    assert (found["equal"], found["different_files"]["first"]) == (False, ["other.csv"])


def test_two_kinds_cannot_be_compared(whole: Path) -> None:
    with pytest.raises(ParamsError, match=f"{layout.VIEW} is a view of a data set.*only two of one kind"):
        trust.compare(whole / layout.VIEW, whole / "shard.parquet")
