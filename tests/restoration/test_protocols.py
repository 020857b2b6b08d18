"""The protocols of papers: each measure against its definition, and what the command prints about a folder."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline import provenance
from pipeline.errors import NetworkError, ParamsError
from pipeline.restoration.networks import NetworkSpec
from pipeline.restoration.protocols import bench, measures, table
from pipeline.restoration.protocols.matlab import luma, luma_levels, resize
from pipeline.restoration.protocols.published import published
from pipeline.restoration.weights import save_network
from stages.__main__ import app
from tests.restoration.photographs import randomize, scene
from tests.restoration.test_networks_of_others import file_of


def keys(x: Fraction) -> Fraction:
    """The cubic kernel with a = -1/2, exactly."""
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    return Fraction(-1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x <= 2 else Fraction(0)


def resampled(values: list[int], scale: Fraction) -> list[int]:
    """A line resampled in exact arithmetic: the kernel widened by 1 / scale, the line mirrored at its ends."""
    count, shrink = len(values), min(scale, Fraction(1))
    mirrored = np.pad(values, 4 * count, mode="symmetric").tolist()
    result: list[int] = []
    for place in range(-(-count * scale.numerator // scale.denominator)):
        centre = (place + Fraction(1, 2)) / scale - Fraction(1, 2)
        weights = [keys((centre - (at - 4 * count)) * shrink) for at in range(len(mirrored))]
        value = sum(weight * level for weight, level in zip(weights, mirrored, strict=True)) / sum(weights)
        result.append(min(max(int((value + Fraction(1, 2)) // 1), 0), 255))
    return result


@pytest.mark.parametrize(
    ("size", "scale"), [(24, Fraction(1, 4)), (9, Fraction(1, 4)), (5, Fraction(4)), (8, Fraction(1, 2))]
)
def test_resize_is_cubic_convolution_in_exact_arithmetic(size: int, scale: Fraction) -> None:
    line = np.random.default_rng(size).integers(0, 256, size).tolist()
    image = np.array([line] * 3, np.uint8).T  # a line per column
    # a constant line stays as it is, so one direction is seen alone
    assert resize(image, scale)[:, 0].tolist() == resampled(line, scale)
    assert resize(image.T, scale)[0].tolist() == resampled(line, scale)


def test_resize_rounds_between_columns_and_rows_and_differs_from_pillow() -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 20), dtype=np.uint8)
    rows = np.array([resampled(column, Fraction(1, 4)) for column in image.T.tolist()], np.uint8).T
    both = np.array([resampled(row, Fraction(1, 4)) for row in rows.tolist()], np.uint8)
    assert (resize(image, Fraction(1, 4)) == both).all()
    colour = resize(np.stack([image, image, image], axis=2), Fraction(1, 4))
    assert (colour == both[..., None]).all()
    pillow = np.asarray(Image.fromarray(image).resize((5, 4), Image.Resampling.BICUBIC))
    assert np.abs(pillow.astype(int) - both).max() > 1


def test_luma_has_the_range_of_video() -> None:
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma_levels(colours).tolist() == [[235, 16, 81, 145, 41]]  # as the tables of BT.601 have them
    assert luma(colours)[0, 2] == pytest.approx(81.481)


def test_psnr_is_the_textbook_figure() -> None:
    grey = np.full((16, 16), 100, np.uint8)
    assert measures.psnr(grey + np.uint8(5), grey) == pytest.approx(34.1514, abs=1e-4)
    assert measures.psnr(grey, grey) == 100


def test_ssim_is_its_definition() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 256, (2, 13, 14)).astype(float)
    around = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(around, around) / np.outer(around, around).sum()
    values: list[float] = []
    for top in range(3):
        for left in range(4):
            a, b = (image[top : top + 11, left : left + 11] for image in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = 6.5025, 58.5225
            values.append(
                (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    assert measures.ssim(x, y) == pytest.approx(np.mean(values), abs=1e-12)
    colour = np.stack([x, y], axis=2)
    assert measures.ssim(colour, np.stack([y, y], axis=2)) == pytest.approx((np.mean(values) + 1) / 2)
    assert measures.ssim(x, x) == 1
    with pytest.raises(ValueError, match="not 14 x 10"):
        measures.ssim(x[:10], y[:10])


def test_psnr_b_counts_the_steps_at_block_boundaries() -> None:
    clean = np.full((16, 32), 100.0)
    blocky = clean + 4 * (np.arange(32) // 8 % 2)  # steps of 4 at three vertical boundaries, none at the horizontal one
    at_edges = 3 * 16 * 16 / (3 * 16 + 32)
    effect = at_edges * np.log2(8) / np.log2(16)
    assert measures.blocking_effect(blocky) == pytest.approx(effect)
    assert measures.psnr_b(blocky, clean) == pytest.approx(10 * np.log10(255**2 / (8 + effect)))
    shifted = np.roll(blocky, 4, axis=1)  # the same steps within blocks: less than none at the boundaries
    assert measures.blocking_effect(shifted) == 0
    assert measures.psnr_b(shifted, clean) == measures.psnr(shifted, clean)
    assert measures.blocking_effect(np.zeros((8, 8))) == 0  # a single block has no boundary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, a grey one, and what cannot be measured."""
    folder = tmp_path_factory.mktemp("sets") / "Set5"
    (folder / "more").mkdir(parents=True)
    for number in range(2):
        Image.fromarray(scene(number, side=66)).save(folder / f"{number}.png")
    Image.fromarray(scene(2, side=50)[..., 0]).save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / ".hidden").write_bytes(b"")
    Image.new("RGB", (20, 40)).save(folder / "small.png")
    return folder


def test_every_image_is_measured_or_named(folder: Path) -> None:
    seen: list[str] = []
    result = bench.measure(folder, ("jpeg", "x4"), None, seen.append)
    assert result.images == ["0.png", "1.png", "grey.png"]
    assert result.colourless == ["grey.png"]
    assert sorted(result.bad) == ["broken.jpg", "small.png"]
    assert sorted(seen) == ["0.png", "1.png", "broken.jpg", "grey.png", "small.png"]
    assert "20 x 40 pixels" in result.bad["small.png"]
    means = result.means()
    assert list(means) == [f"jpeg-{kind}-q{q}" for kind in ("grey", "colour") for q in (10, 20, 30, 40)] + ["x4"]
    assert [means[name][0] for name in ("jpeg-grey-q10", "jpeg-colour-q10", "x4")] == [3, 2, 3]
    for kind in ("grey", "colour"):
        ladder = [means[f"jpeg-{kind}-q{q}"][1] for q in (10, 20, 30, 40)]
        assert [row.psnr for row in ladder] == sorted(row.psnr for row in ladder)
        assert [row.ssim for row in ladder] == sorted(row.ssim for row in ladder)
        assert all(row.psnr_b is not None and row.psnr_b < row.psnr for row in ladder)


def test_the_network_is_given_what_the_protocol_degrades(folder: Path) -> None:
    given: list[np.ndarray] = []

    def untouched(image_HWC: np.ndarray) -> np.ndarray:
        given.append(image_HWC)
        return image_HWC

    result = bench.measure(folder, ("jpeg",), untouched, lambda _: None)
    assert all(row.network == row.plain for row in result.measured)
    assert {image.shape for image in given} == {(66, 66, 3), (50, 50, 3)}

    def bicubic(small_HWC: np.ndarray) -> np.ndarray:
        given.append(small_HWC)
        return resize(small_HWC, Fraction(4))

    given.clear()
    result = bench.measure(folder, ("x4",), bicubic, lambda _: None)
    assert all(row.network == row.plain for row in result.measured)
    assert [image.shape for image in given] == [(16, 16, 3), (16, 16, 3), (12, 12, 3)]  # cut to multiples of 4


def test_papers_rows_follow_on_the_sets_that_they_used(folder: Path) -> None:
    result = bench.measure(folder, ("x4",), None, lambda _: None)
    lines = table.table(result, "SET5")
    assert [line.method for line in lines] == ["bicubic", "bicubic", "SRResNet", "SRGAN", "EDSR", "RRDB"]
    assert [line.figures.psnr for line in lines[1:]] == [28.42, 32.05, 29.40, 32.46, 32.73]
    assert all(line.source for line in lines[1:])
    assert [line.method for line in table.table(result, "own")] == ["bicubic"]
    live = {(row.method, row.protocol): row for row in published("live1")}
    assert (live["DnCNN-3", "jpeg-grey-q10"].psnr, live["DnCNN-3", "jpeg-grey-q40"].psnr) == (29.19, 33.96)
    assert (live["AR-CNN", "jpeg-grey-q20"].psnr, live["AR-CNN", "jpeg-grey-q20"].psnr_b) == (31.29, 30.79)
    assert published("BSDS100") == published("bsd100") != []


def test_a_network_measures_what_it_does() -> None:
    assert bench.tasks_of(None, None) == ("jpeg", "x4")
    assert bench.tasks_of(None, "x4") == bench.tasks_of(4, None) == ("x4",)
    assert bench.tasks_of(1, "jpeg") == ("jpeg",)
    with pytest.raises(NetworkError, match="enlarges 4 times, but the task is jpeg"):
        bench.tasks_of(4, "jpeg")
    with pytest.raises(NetworkError, match="enlarges 2 times"):
        bench.tasks_of(2, None)


def test_folders_without_photographs_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="absent: no such folder"):
        bench.measure(tmp_path / "absent", ("x4",), None, lambda _: None)
    with pytest.raises(ParamsError, match="no photograph to measure on"):
        bench.measure(tmp_path, ("x4",), None, lambda _: None)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ParamsError, match=r"1 files cannot be used: notes\.txt"):
        bench.measure(tmp_path, ("x4",), None, lambda _: None)


def test_the_command_measures_a_network_file(folder: Path, tmp_path: Path) -> None:
    spec = NetworkSpec(architecture="arresnet", channels=4, blocks=1)
    save_network(tmp_path / "network.safetensors", randomize(spec.build()), spec)
    words = ["bench-restoration", "--set", str(folder), "--network", str(tmp_path / "network.safetensors")]
    result = CliRunner().invoke(app, [*words, "--json", "--out", str(tmp_path / "t.csv")], catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert (facts["images"], facts["grey"]) == (3, ["grey.png"])
    rows = {(row["protocol"], row["method"]): row for row in facts["rows"]}
    plain, network = rows["jpeg-grey-q10", "JPEG"], rows["jpeg-grey-q10", "network"]
    assert network["gain"] == pytest.approx(network["figures"]["psnr"] - plain["figures"]["psnr"])
    assert network["gain"] != 0
    with (tmp_path / "t.csv").open() as file:
        images = [row for row in csv.DictReader(file) if row["protocol"] == "jpeg-grey-q10" and row["method"] == "JPEG"]
    assert np.mean([float(row["psnr"]) for row in images]) == pytest.approx(plain["figures"]["psnr"], abs=1e-5)


def test_the_command_measures_networks_of_others_and_published_folders(folder: Path, tmp_path: Path) -> None:
    file_of(tmp_path / "other.pth", "srvgg x4")
    spec = NetworkSpec(architecture="srresnet", channels=4, blocks=1)
    save_network(tmp_path / "network.safetensors", spec.build().eval(), spec)
    digest = provenance.digest_of_file(tmp_path / "network.safetensors")
    (tmp_path / "network.json").write_text(json.dumps({"kind": "train", "sha256": digest}))
    for network in (tmp_path / "other.pth", tmp_path):
        words = ["bench-restoration", "--set", str(folder), "--network", str(network), "--json"]
        rows = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)["rows"]
        assert [(row["protocol"], row["method"]) for row in rows[:2]] == [("x4", "bicubic"), ("x4", "network")]
    (tmp_path / "notes.pth").write_text("no weights")
    for name, message in (("notes.pth", "As a network of others"), ("absent.pth", "no such network file")):
        with pytest.raises(NetworkError, match=rf"{name}(.|\n)*{message}"):
            words = ["bench-restoration", "--set", str(folder), "--network", str(tmp_path / name)]
            CliRunner().invoke(app, words, catch_exceptions=False)


def test_the_command_prints_a_table_without_a_network(folder: Path, tmp_path: Path) -> None:
    words = ["bench-restoration", "--set", str(folder), "--task", "x4", "--out", str(tmp_path / "t.md")]
    text = CliRunner().invoke(app, words, catch_exceptions=False).output
    assert "3 images, network none" in text
    assert "32.73   0.9011" in text
    assert "* RRDB: Wang et al. 2018" in text
    assert "2 files were not measured" in text
    assert (tmp_path / "t.md").read_text().count("\n") == 8
    with pytest.raises(ParamsError, match=r"\.csv or \.md"):
        CliRunner().invoke(app, [*words[:-1], "t.txt"], catch_exceptions=False)
