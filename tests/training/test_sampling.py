"""What a user names: seeds, grids, classes, networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import NetworkError, ParamsError
from tests.training.small import make_network, make_published_run
from training import generate, sampling
from training.sampling import Grid

CPU = torch.device("cpu")
NAMES = "2\nBlond_Hair Smiling\na.jpg 1 -1\nb.jpg -1 -1\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published run with two snapshots of a network of two labels; the first one is the best."""
    place = tmp_path_factory.mktemp("sampling")
    folder = make_published_run(place, {240: 1.5, 480: 1.0}, best=240, options={"dataset": "data/shard"})
    (place / "data/extract").mkdir(parents=True)
    (place / "data/extract/attributes.txt").write_text(NAMES)
    return folder


def test_seeds_are_numbers_and_ranges() -> None:
    assert sampling.parse_seeds("7, 1,10-12") == [7, 1, 10, 11, 12]
    assert sampling.parse_grid("8x4") == Grid(8, 4)


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,,2", "-1", "1.5", "0-999999999999"])
def test_what_is_no_seed_is_named(text: str) -> None:
    with pytest.raises(ParamsError, match="no seed and no range"):
        sampling.parse_seeds(text)


@pytest.mark.parametrize("text", ["8", "0x4", "8x", "8x4x2", "8*4"])
def test_what_is_no_grid_is_named(text: str) -> None:
    with pytest.raises(ParamsError, match="give columns and rows"):
        sampling.parse_grid(text)


def test_a_seed_given_twice_is_refused() -> None:
    with pytest.raises(ParamsError, match="given twice"):
        sampling.parse_seeds("3,1-4")


def test_a_seed_is_the_same_image_whatever_is_made_with_it(run: Path) -> None:
    snapshot = generate.load(sampling.network_file(run), CPU)
    labels_NC = sampling.labels_of_rows(snapshot.info, None, [7])
    (alone,) = snapshot.images_of_seeds([7], labels_NC)
    many = [9, 3, 7, 8, 1]
    together = list(snapshot.images_of_seeds(many, sampling.labels_of_rows(snapshot.info, None, many)))
    assert np.array_equal(together[2], alone)
    assert len({image.tobytes() for image in together}) == 5
    assert np.array_equal(snapshot.latents(7, 1), snapshot.latents(7, 16)[:1]), "the first image of --seed 7"


def test_a_run_gives_its_last_or_its_best_snapshot(run: Path, tmp_path: Path) -> None:
    assert sampling.network_file(run).name == "network-000000480.safetensors"
    assert sampling.network_file(run, "best") == run / "network-000000240.safetensors"
    assert sampling.network_file(run / "x.safetensors") == run / "x.safetensors"
    with pytest.raises(NetworkError, match="holds no network file"):
        sampling.network_file(tmp_path)
    make_network(tmp_path, lod=1.0)
    with pytest.raises(NetworkError, match="does not state its best snapshot"):
        sampling.network_file(tmp_path, "best")
    with pytest.raises(NetworkError, match=r"celebahq convert original\.pkl original\.safetensors"):
        sampling.network_file(Path("original.pkl"))


def test_classes_are_numbers_and_names(run: Path, tmp_path: Path) -> None:
    network = sampling.network_file(run)
    info = generate.load(network, CPU).info
    assert sampling.parse_label("1", info, network, None).tolist() == [0, 1]
    assert sampling.parse_label("Blond_Hair,1", info, network, None).tolist() == [1, 1]
    for text in ("2", "Bald"):
        with pytest.raises(ParamsError, match=rf"'{text}' is no class; there are 0 to 1"):
            sampling.parse_label(text, info, network, None)
    other = tmp_path / "three.csv"
    other.write_text("file,a,b,c\n1.jpg,1,0,0\n2.jpg,0,1,0\n")
    with pytest.raises(ParamsError, match=r"three\.csv: names 3 classes, but .* has 2"):
        sampling.parse_label("a", info, network, other)
    with pytest.raises(ParamsError, match="names of the classes are not known here"):
        sampling.parse_label("a", info, tmp_path / "network.safetensors", None)


def test_labels_follow_the_row_or_the_choice(run: Path) -> None:
    info = generate.load(sampling.network_file(run), CPU).info
    by_row, chosen = sampling.labels_of_rows(info, None, [0, 3, 4]), np.array([1, 1], np.float32)
    assert by_row is not None
    assert by_row.tolist() == [[1, 0], [0, 1], [1, 0]]
    same = sampling.labels_of_rows(info, chosen, [5, 6])
    assert same is not None
    assert same.tolist() == [[1, 1], [1, 1]]
