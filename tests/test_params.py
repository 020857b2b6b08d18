import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import ParamsError
from pipeline.params import TrainedNetwork
from stages import profiles, read_params


@pytest.fixture
def demo() -> dict[str, Any]:
    return yaml.safe_load(Path("profiles/demo.yaml").read_text())


def _read(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    read_params(path)


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_is_valid(name: str) -> None:
    profiles.read_profile(name)


def test_a_profile_says_only_what_differs_from_the_demo() -> None:
    lines = {path.stem: len(path.read_text().splitlines()) for path in profiles.PROFILES.glob("*.yaml")}
    del lines["demo"]  # complete
    assert max(lines.values()) <= 40
    assert sum(lines.values()) <= 400


def test_the_default_params_are_the_demo() -> None:
    assert Path("params.yaml").read_bytes() == Path("profiles/demo.yaml").read_bytes()


def test_the_error_of_a_misspelt_category_lists_all_names(tmp_path: Path, demo: dict[str, Any]) -> None:
    demo["lsun"]["categories"] = ["bedrom"]
    with pytest.raises(ParamsError, match=r"lsun\.categories\.0.*'bedroom'.*'tvmonitor'.*found 'bedrom'"):
        _read(tmp_path, demo)


def test_every_fault_is_listed_at_once(tmp_path: Path, demo: dict[str, Any]) -> None:
    demo["crop"]["extra"] = 1
    del demo["select"]["keep"]
    demo["shard"]["images_per_shard"] = "many"
    with pytest.raises(ParamsError) as caught:
        _read(tmp_path, demo)
    for place in ("crop.extra", "select.keep", "shard.images_per_shard"):
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("denoise", "method", "none", "fit_denoise"),
        ("align", "rectangle", "whole", "superres.method to none"),
        ("align", "resolution", 1000, "power of two"),
        ("lsun", "categories", ["cat", "cat"], "twice"),
        ("superres", "max_dropped", 1.5, "superres.max_dropped"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    tmp_path: Path, demo: dict[str, Any], section: str, key: str, value: Any, message: str
) -> None:
    demo[section][key] = value
    with pytest.raises(ParamsError, match=message):
        _read(tmp_path, demo)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("networks", "use_batchnorm", True, "use_batchnorm and use_pixelnorm exclude each other"),
        ("networks", "fmap_base", 7, "fmap_base 7 leaves no feature map at resolution 32: it must be at least 16"),
        ("schedule", "joint_steps", 1, "joint_steps"),
        ("schedule", "discriminator_repeats", 0, "discriminator_repeats"),
        ("loss", "kind", "hinge", "'wgan-gp', 'lsgan'"),
        ("loss", "kind", "lsgan", "wgan_lambda"),
    ],
)
def test_runs_that_cannot_be_trained_are_refused(
    tmp_path: Path, demo: dict[str, Any], section: str, key: str, value: Any, message: str
) -> None:
    demo["train"]["runs"]["demo"][section][key] = value
    with pytest.raises(ParamsError, match=message):
        _read(tmp_path, demo)


@pytest.mark.parametrize(
    ("watch", "source", "remedy"),
    [
        ("mine", {"images": "mine/images", "landmarks": "mine/landmarks.txt"}, None),
        (".", {"images": "mine/images", "landmarks": "other/landmarks.txt"}, None),
        ("manifests/celeba.yaml", {"images": "mine/images", "landmarks": "mine/landmarks.txt"}, "set it to mine$"),
        ("mine/images", {"images": "mine/images", "landmarks": "mine/landmarks.txt"}, "set it to mine$"),
        ("old", {"images": "mine/images", "landmarks": None}, "set it to mine/images$"),
        ("mine/all.7z.001", {"images": "mine/all.7z.001", "landmarks": None}, "set it to mine$"),
        ("mine", {"images": "mine", "landmarks": "landmarks.txt"}, "put these, or links to the files, into one folder"),
        ("mine", {"images": "/data/images", "landmarks": "/data/landmarks.txt"}, "set it to /data$"),
    ],
)
def test_dvc_watches_the_files_of_the_source(
    watch: str, source: dict[str, str | None], remedy: str | None, tmp_path: Path, demo: dict[str, Any]
) -> None:
    demo["download"] = {"watch": watch, "source": {"kind": "folder", "attributes": None, **source}}
    if remedy is None:
        _read(tmp_path, demo)
        return
    with pytest.raises(ParamsError) as caught:
        _read(tmp_path, demo)
    message = str(caught.value).splitlines()[1].partition(" (found")[0]
    assert f"watch is {watch}, but source names {source['images']}" in message
    assert re.search(remedy, message)


def test_dvc_watches_a_manifest_where_the_source_names_no_file(tmp_path: Path, demo: dict[str, Any]) -> None:
    demo["download"]["watch"] = "photographs"
    with pytest.raises(ParamsError, match=r"source names no file of yours: set it to manifests/celeba\.yaml"):
        _read(tmp_path, demo)


def test_the_file_is_read_as_dvc_reads_it(tmp_path: Path, demo: dict[str, Any]) -> None:
    """YAML 1.2, where 1e-3 is a number; in YAML 1.1 it is a text."""
    path = tmp_path / "params.yaml"
    text = Path("profiles/demo.yaml").read_text()
    path.write_text(text.replace("learning_rate: 0.002", "learning_rate: 2e-3"))
    network = read_params(path).fit_superres.network
    assert isinstance(network, TrainedNetwork)
    assert network.learning_rate == 0.002
    path.write_text(text.replace("select:\n", "select:\n  keep: 3\n"))
    with pytest.raises(ParamsError, match='duplicate key "keep"'):
        read_params(path)


def test_an_absent_or_broken_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1")
    with pytest.raises(ParamsError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("superres", "renderer", "fast"),
        ("select", "method", "index"),
        ("align", "resolution", 512),
        ("photographs", "decoder", "pillow"),
    ],
)
def test_deltas_need_all_values_of_the_published_recipe(tmp_path: Path, section: str, key: str, value: object) -> None:
    params = yaml.safe_load(profiles.content_of("celebahq"))
    params[section][key] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ParamsError, match=rf"'delta', which needs {section}\.{key}"):
        read_params(tmp_path / "params.yaml")
