"""The dataset card and the Croissant description of a folder of shards."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.params.data import CelebASource, Cifar10Source, FolderSource, MnistRgbSource
from pipeline.params.lsun import LocalLsun
from pipeline.report.card import CARD, CROISSANT, DRAWN, OWN, Origin, Terms, write_card
from pipeline.sources.registry import SOURCES as REGISTRY
from stages import read_params
from stages.cards import TITLES, origin_of_lsun, origin_of_shards
from tests.shards.export.conftest import write_data_set

CELEBA = Terms(
    "CelebA", "https://example.org/celeba", "research only", "CelebA's own agreement", "https://example.org/t"
)
DELTAS = Terms("CelebA-HQ deltas", "https://example.org/hq", "no profit", "CC BY-NC 4.0", "https://example.org/hq")
ORIGIN = Origin("CelebA-HQ", "delta", [CELEBA, DELTAS], ["celeba", "pggan"], {"no delta": 3})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = np.random.default_rng(0).integers(0, 2, (10, 4)).astype(np.float32)
    return write_data_set(tmp_path_factory.mktemp("set"), labels, table=True)


def test_the_card_states_source_terms_counts_and_citation(folder: Path) -> None:
    write_card(folder, ORIGIN)
    text = (folder / CARD).read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "pretty_name": "CelebA-HQ 16x16", "license": "other", "license_name": "CC BY-NC 4.0",
        "license_link": "https://example.org/hq", "task_categories": ["unconditional-image-generation"],
        "size_categories": ["n<1K"], "tags": ["image"],
    }  # fmt: skip
    assert "[CelebA](https://example.org/celeba): research only. Licence: CelebA's own agreement" in body
    assert "| splits | test 1, train 7, validation 2 |" in body
    assert "| labels | 4 per image" in body
    assert "| resolutions | 16, 8, 4, 2, 1 |" in body
    assert "| dropped in the last step | 3 no delta |" in body
    assert "equals its published MD5" in body
    assert {"liu2015faceattributes", "karras2018progressive"} == set(re.findall(r"@\w+\{(\w+),", body))
    write_card(folder, replace(ORIGIN, sources=[DRAWN]))
    assert "license: apache-2.0\n" in (folder / CARD).read_text(encoding="utf-8")


def test_croissant_describes_every_file_and_the_table(folder: Path) -> None:
    """The required properties of Croissant 1.0, and references that lead somewhere."""
    write_card(folder, ORIGIN)
    found = json.loads((folder / CROISSANT).read_text(encoding="utf-8"))
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert found["@type"] == "sc:Dataset"
    assert {"@context", "name", "description", "license", "url", "version", "citeAs"} <= set(found)
    files = {entry["@id"]: entry for entry in found["distribution"]}
    assert set(files) == {
        "shard.parquet", "dataset.h5", "dataset-labels.npy", "shard-00000.h5", "shard-00001.h5",
    }  # fmt: skip
    for name, entry in files.items():
        assert entry["@type"] == "cr:FileObject"
        assert entry["contentUrl"] == name
        assert entry["encodingFormat"] in ("application/x-parquet", "application/x-hdf5", "application/octet-stream")
        content = (folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["contentSize"] == f"{len(content)} B"
    (records,) = found["recordSet"]
    columns = set(pq.read_schema(folder / "shard.parquet").names)
    assert {field["name"] for field in records["field"]} == columns
    for field in records["field"]:
        assert field["@id"] == f"images/{field['name']}"
        assert field["dataType"] in ("sc:Integer", "sc:Text", "sc:Float", "sc:Boolean")
        assert field["source"]["fileObject"]["@id"] in files
    before = [(folder / name).read_bytes() for name in (CARD, CROISSANT)]
    write_card(folder, ORIGIN)
    assert [(folder / name).read_bytes() for name in (CARD, CROISSANT)] == before


def test_a_data_set_without_labels_and_table(tmp_path: Path) -> None:
    folder = write_data_set(tmp_path / "set", None, table=False)
    write_card(folder, Origin("Pictures", "none", [OWN], ["pggan"], {}))
    text = (folder / CARD).read_text(encoding="utf-8")
    assert "| splits | none |\n| labels | none |" in text
    assert "license_link" not in text
    found = json.loads((folder / CROISSANT).read_text(encoding="utf-8"))
    assert "recordSet" not in found
    assert "dataset-labels.npy" not in {entry["@id"] for entry in found["distribution"]}


PUBLISHED = Path("published")
SOURCES = {
    "celeba": CelebASource(
        kind="celeba", images=PUBLISHED, landmarks=PUBLISHED, partition=None, attributes=None, deltas=None
    ),
    "cifar10": Cifar10Source(kind="cifar10", archive=PUBLISHED),
    "folder": FolderSource(kind="folder", images=Path("x"), landmarks=None, attributes=None),
    "mnist-rgb": MnistRgbSource(kind="mnist-rgb", images=PUBLISHED, labels=PUBLISHED, count=1, seed=1),
}


def test_sources_have_their_title_terms_and_citations() -> None:
    assert set(TITLES) == set(REGISTRY)
    demo = read_params()
    expected = [
        (None, "network", "Drawn faces", ["drawn photographs"], ["pggan"]),
        ("celeba", "delta", "CelebA-HQ", ["CelebA", "CelebA-HQ deltas"], ["celeba", "pggan"]),
        ("celeba", "network", "CelebA faces", ["CelebA"], ["celeba", "pggan"]),
        ("cifar10", "none", "CIFAR-10", ["CIFAR-10"], ["cifar10", "pggan"]),
        ("mnist-rgb", "none", "MNIST-RGB", ["MNIST"], ["mnist", "pggan"]),
        ("folder", "lanczos", "Pictures", ["pictures of the user"], ["pggan"]),
    ]
    for kind, method, title, datasets, citations in expected:
        download = demo.download.model_copy(update={"source": SOURCES[kind]} if kind else {})
        superres = demo.superres.model_copy(update={"method": method})
        origin = origin_of_shards(demo.model_copy(update={"download": download, "superres": superres}), {})
        assert (origin.title, [terms.dataset for terms in origin.sources]) == (title, datasets)
        assert (origin.method, origin.citations) == (method, citations)
    assert origin_of_lsun("cat", demo.lsun, {}).sources == [DRAWN]
    local = LocalLsun(kind="local", directory=Path("x"))
    origin = origin_of_lsun("cat", demo.lsun.model_copy(update={"source": local}), {})
    assert (origin.title, origin.sources[0].dataset, origin.citations) == ("LSUN cat", "LSUN", ["lsun", "pggan"])
