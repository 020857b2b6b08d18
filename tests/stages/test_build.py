"""celebahq build on small drawn pictures of all kinds, and on the cases of people's pictures that go wrong."""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from pipeline import atomic
from pipeline.errors import BusyError, ParamsError
from pipeline.params import FOLDERS
from pipeline.progress import QUIET
from stages import RECORD, pictures
from stages import build as building
from stages.__main__ import app
from stages.build import NothingBuiltError, Request, build, how_to_train
from stages.download import download
from tests.cases import build_case, centre_of, faults, pictures_of
from tests.outside import CASES

EVERY_CASE = "CELEBAHQ_EVERY_CASE"
"""Environment variable: build every case, not only those whose kind no other test of this file has."""
CASES_OF_THEIR_OWN = {
    "aligned-landmarks", "alpha-hidden", "attribute-row-missing", "links", "png-for-jpg", "sixteen-bit",
    "squares-of-500",
}  # fmt: skip
BLUE, GREEN = (0, 0, 255), (0, 190, 0)
POINTS = np.array([(100, 120), (150, 120), (125, 148), (106, 172), (144, 172)])
"""Of every drawn face: eyes, nose, mouth corners."""
EYES = {"left": (383, 493), "right": (641, 493)}
"""Where the eyes come to lie, of 1024."""
PLAIN = ("plain.jpg", "IMG 001 (2).jpg", "2019/Oma & Opa/größe.jpg", "b.jpg", "B.JPG", "mirrored.jpg", "norow.jpg")


def points_of(name: str) -> NDArray[np.int64]:
    """The points of a picture: shifted by some pixels, which differ from name to name."""
    return POINTS + np.array([sum(name.encode()) % 23 - 11, len(name) % 7])


def picture(name: str, width: int = 250, faces: int = 1) -> Image.Image:
    """Blue and green eyes, side by side for each face, on grey."""
    drawn = Image.new("RGB", (width * faces, 280), (150, 140, 130))
    draw = ImageDraw.Draw(drawn)
    for face in range(faces):
        for (x, y), colour in zip(points_of(name)[:2], (BLUE, GREEN), strict=True):
            draw.ellipse((x + face * width - 8, y - 8, x + face * width + 8, y + 8), fill=colour)
    return drawn


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": 95} if form == "JPEG" else {}) | options)
    return stream.getvalue()


def row(name: str, points: NDArray[np.int64] | None = None) -> list[Any]:
    return [name, *(points_of(name) if points is None else points).ravel().tolist()]


def request(images: Path, out: Path, address: str | None, **values: Any) -> Request:
    given: dict[str, Any] = {"rectangle": "landmarks", "resolution": 64, "orientation": "shown", "restore": "none"}
    given |= {"landmarks": None, "attributes": None, "detect": {}, "cluster": {"workers": 1, "scheduler": address}}
    return Request(images=images, out=out, **given | values)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder as people have it, and a table of landmarks beside it."""
    images = tmp_path / "my pictures"
    (images / "2019/Oma & Opa").mkdir(parents=True)
    (images / "__MACOSX").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    transparent = picture("clear.png").convert("RGBA")
    transparent.putalpha(Image.fromarray(np.uint8(np.mgrid[:280, :250][0] > 20) * 255))
    files = {
        **{name: encoded(picture(name)) for name in PLAIN},
        "turned.jpg": encoded(picture("turned.jpg").transpose(Image.Transpose.ROTATE_90), exif=turned),
        "inks.jpg": encoded(picture("inks.jpg").convert("CMYK")),
        "clear.png": encoded(transparent, "PNG"),
        "portable.ppm": encoded(picture("portable.ppm"), "PPM"),
        "pair.jpg": encoded(picture("pair.jpg", faces=2)),
        "cut.jpg": encoded(picture("cut.jpg"))[:2000] + b"\xff\xd9",
        "phone.heic": b"\0\0\0\x18ftypheic" + bytes(52),
        "notes.txt": b"a text",
        "._plain.jpg": bytes.fromhex("00051607") + bytes(100),
        "__MACOSX/._x.jpg": bytes(100),
        ".DS_Store": b"\0\0\0\1Bud1",
    }
    for name, content in files.items():
        (images / name).write_bytes(content)
    (images / "gone.jpg").symlink_to("nowhere.jpg")
    names = [name for name in files if name.endswith((".jpg", ".JPG", ".png", ".ppm", ".heic")) and "._" not in name]
    rows = [row(name) for name in names if name not in ("mirrored.jpg", "norow.jpg")]
    rows += [row("pair.jpg", points_of("pair.jpg") + np.array([250, 0]))]
    rows += [row("elsewhere.jpg")]
    rows += [row("mirrored.jpg", points_of("mirrored.jpg")[[1, 0, 2, 4, 3]])]
    with (tmp_path / "landmarks.csv").open("w", newline="", encoding="utf-8-sig") as file:
        points = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
        csv.writer(file, delimiter=";").writerows(
            [["image_id", *(f"{point}_{axis}" for point in points for axis in "xy")], *rows]
        )
    return images


def test_a_folder_of_all_kinds_becomes_a_data_set_and_a_list_of_the_rest(
    mixed: Path, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(QUIET, raising=False)
    out, before = mixed.parent / "out", sorted(mixed.rglob("*"))
    lines = [*build(request(mixed, out, address, landmarks=mixed.parent / "landmarks.csv"))]
    shown = pictures_of(out, 64)
    assert {name: len(found) for name, found in shown.items()} == {
        **dict.fromkeys(("plain.jpg", "IMG 001 (2).jpg", "größe.jpg", "turned.jpg", "inks.jpg"), 1),
        **dict.fromkeys(("clear.png", "portable.ppm", "b.jpg", "B.JPG"), 1),
        "pair.jpg": 2,
    }
    for name, found in shown.items():
        for image_HWC in found:
            for side, colour in (("left", BLUE), ("right", GREEN)):
                np.testing.assert_allclose(centre_of(image_HWC, colour), EYES[side], atol=20, err_msg=name)
    with (out / "dropped.csv").open(newline="", encoding="utf-8") as file:
        drops = {entry["file"]: (entry["stage"], entry["reason"]) for entry in csv.DictReader(file)}
    assert drops == {
        "cut.jpg": ("crop", "truncated image"),
        "elsewhere.jpg": ("align", "landmark row without photograph"),
        "gone.jpg": ("extract", "broken link"),
        "mirrored.jpg": ("align", "mirrored landmarks"),
        "norow.jpg": ("align", "no landmark row"),
        "notes.txt": ("extract", "not an image, nor named as one"),
        "phone.heic": ("extract", "undecodable image"),
    }
    with (out / "suspicions.csv").open(newline="", encoding="utf-8") as file:
        told = {entry["kind"]: entry["examples"] for entry in csv.DictReader(file)}
    for kind, example in (("orientation", "turned.jpg"), ("transparent", "clear.png"), ("first eye", "mirrored.jpg")):
        (examples,) = [examples for found, examples in told.items() if kind in found]
        assert example in examples
    assert lines[0].startswith("16 files: 10 kept, 6 dropped (")
    assert lines[1] == "1 rows of landmarks name no file there"
    assert lines[2] == f"data set of 11 images: {out}"
    assert sorted(mixed.rglob("*")) == before
    assert all(os.access(path, os.W_OK) for path in before if path.is_file())
    assert {"dataset.h5", "shard.parquet", "faces.png", "params.yaml"} <= {path.name for path in out.iterdir()}
    assert not (out / pictures.SCRATCH).exists()
    with h5py.File(out / "dataset.h5", locking=False) as file:
        assert len(file["data64x64"]) == 11
    err = capsys.readouterr().err
    assert re.search(r"select: .*; stage 10 of 11; after it shard of unknown time\n", err)
    assert re.search(r"shard: .*; stage 11 of 11; after it nothing\n", err), "none trains"


def test_its_params_do_the_same_stage_by_stage(mixed: Path, address: str, tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    [*build(request(mixed, out, address, landmarks=tmp_path / "landmarks.csv"))]
    again.mkdir()
    shutil.copy(out / "params.yaml", again)
    (again / "manifests").symlink_to(pictures.ROOT / "manifests")
    with chdir(again):
        download()
        for stage in building.STAGES:
            stage()
    for name in ("shard-00000.h5", "dataset.h5"):
        assert (again / "data/shard" / name).read_bytes() == (out / name).read_bytes()


class _KilledError(Exception):
    pass


def test_a_build_that_was_killed_goes_on_and_pictures_that_changed_begin_anew(
    mixed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    own = building.STAGES

    def stages(fails: str = "") -> Iterator[Any]:
        for stage in own:

            def run(stage: Any = stage) -> None:
                if stage.__name__ == fails:
                    raise _KilledError
                ran.append(stage.__name__)
                stage()

            run.__name__ = stage.__name__
            yield run

    wanted = request(mixed, tmp_path / "out", address, rectangle="centre")
    monkeypatch.setattr(building, "STAGES", tuple(stages("select")))
    with pytest.raises(_KilledError):
        [*build(wanted)]
    assert ran[-1] == "superres"
    ran.clear()
    monkeypatch.setattr(building, "STAGES", tuple(stages()))
    [*build(wanted)]
    assert ran == ["select", "shard"]
    ran.clear()
    monkeypatch.setattr(building, "STAGES", tuple(stages("align")))
    with pytest.raises(_KilledError):
        [*build(wanted)]
    ran.clear()
    (mixed / "added.png").write_bytes(encoded(picture("added.png"), "PNG"))
    (mixed / "portable.ppm").write_bytes(b"P6 of the same name, and no picture any more")
    monkeypatch.setattr(building, "STAGES", tuple(stages()))
    [*build(wanted)]
    assert ran[0] == "extract"
    shown = pictures_of(tmp_path / "out", 64)
    assert "portable.ppm" not in shown
    assert "added.png" in shown


@pytest.mark.parametrize("while_it", ["publishes", "removes"])
def test_a_build_that_was_killed_at_its_end_publishes_all(
    while_it: str, mixed: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(mixed, tmp_path / "out", address, rectangle="centre")
    replace, rmtree = Path.replace, shutil.rmtree

    def replace_until_the_record(self: Path, target: Path) -> Path:
        if target == wanted.out / RECORD:
            raise _KilledError
        return replace(self, target)

    def remove_some(path: Path, *rest: Any, **named: Any) -> None:
        if path == wanted.out / pictures.SCRATCH:
            rmtree(path / "data/shard")
            raise _KilledError
        rmtree(path, *rest, **named)

    with monkeypatch.context() as patched, pytest.raises(_KilledError):
        if while_it == "publishes":
            patched.setattr(Path, "replace", replace_until_the_record)
        else:
            patched.setattr(shutil, "rmtree", remove_some)
        [*build(wanted)]
    [*build(wanted)]
    assert {"dataset.h5", "shard-00000.h5", "shard.parquet", RECORD} <= {path.name for path in wanted.out.iterdir()}
    assert not (wanted.out / pictures.SCRATCH).exists()
    assert "plain.jpg" in pictures_of(wanted.out, 64)


def test_it_says_how_to_train_and_where_that_cannot_work(tmp_path: Path) -> None:
    assert how_to_train(tmp_path, tmp_path / "images").endswith("params.yaml . && dvc repro train@faces")
    assert "into the folder of the pictures" in how_to_train(tmp_path, pictures.ROOT.parent)


def test_two_builds_in_one_folder_do_not_mix(mixed: Path, tmp_path: Path) -> None:
    first = request(mixed, tmp_path / "out", None, rectangle="centre")
    with (
        atomic.locked(first.out / pictures.SCRATCH / pictures.LOCK, ""),
        pytest.raises(BusyError, match=r"out is running already"),
    ):
        [*build(first)]
    assert not (first.out / "params.yaml").exists()


def test_squares_from_a_folder_for_each_class_which_no_others_replace(tmp_path: Path, address: str) -> None:
    images = tmp_path / "images"
    sizes = {"cats/a.png": (300, 200), "cats/b.png": (90, 90), "big dogs/c.png": (64, 128), "top.png": (70, 70)}
    for name, size in sizes.items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (200, 50, 90)).save(images / name)
    wanted = request(images, tmp_path / "out", address, rectangle="centre", attributes=FOLDERS)
    [*build(wanted)]
    shown = pictures_of(tmp_path / "out", 64)
    assert set(shown) == {"a.png", "b.png", "c.png"}
    assert all((found[0] == (200, 50, 90)).all() for found in shown.values())
    labels_NL = np.load(tmp_path / "out" / "dataset-labels.npy")
    rows = pq.read_table(tmp_path / "out" / "shard.parquet").to_pylist()
    assert [row["file"] for row in sorted(rows, key=lambda row: row["position"])] == [
        "big dogs/c.png", "cats/a.png", "cats/b.png",
    ]  # fmt: skip
    assert labels_NL.tolist() == [[1, 0], [0, 1], [0, 1]]
    said = "top.png,0,align,no attribute row,top.png lies in no folder of a class\n"
    assert (wanted.out / "dropped.csv").read_text().endswith(said)
    state = {path: path.stat().st_ctime_ns for path in wanted.out.iterdir()}
    (tmp_path / "others").mkdir()
    for changed, words in (
        ({"images": tmp_path / "others"}, rf"pictures {images} instead of {tmp_path}/others"),
        ({"resolution": 128}, "--resolution 64 instead of 128"),
        ({"rectangle": "whole", "attributes": None}, "--attributes folders instead of none, --rectangle centre"),
    ):
        with pytest.raises(ParamsError, match=rf"out: holds another data set, with {words}.*or remove that one"):
            [*build(replace(wanted, **changed))]
    assert {path: path.stat().st_ctime_ns for path in wanted.out.iterdir()} == state
    [*build(replace(wanted, images=images / "cats/.."))]  # the same folder by another path


def test_where_nothing_can_be_used_the_status_is_3_and_the_lists_say_why(tmp_path: Path, address: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(b"no picture")
    words = ["build", str(tmp_path / "images"), str(tmp_path / "out"), "--rectangle", "centre", "--scheduler", address]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3
    assert "nothing was built" in result.output
    assert "not an image: 1 (a.jpg)" in result.output
    assert "max_dropped" not in result.output  # it is 1 already
    assert f"See dropped.csv in {tmp_path / 'out'}." in result.output.replace("\n", " ")
    assert "a.jpg,0,extract,not an image" in (tmp_path / "out/dropped.csv").read_text()
    assert not (tmp_path / "out/dataset.h5").exists()
    (tmp_path / "out/dataset.h5").touch()
    assert "DVC looks at all" not in (tmp_path / "out/params.yaml").read_text()
    assert "dataset.h5 there is that of an earlier build" in CliRunner().invoke(app, words).output.replace("\n", " ")


def test_what_is_suspicious_is_refused_with_the_file_to_edit(mixed: Path, tmp_path: Path, address: str) -> None:
    points = " ".join(map(str, POINTS.ravel()))
    names = ("plain.jpg", "b.jpg", "B.JPG", "inks.jpg")
    (tmp_path / "same.txt").write_text("".join(f"{name} {points}\n" for name in names))
    with pytest.raises(NothingBuiltError) as error:
        [*build(request(mixed, tmp_path / "out", address, landmarks=tmp_path / "same.txt"))]
    assert "the same five points" in str(error.value)
    assert f"DVC looks at all of {tmp_path}, which" in (tmp_path / "out/params.yaml").read_text()
    assert f"raise align.max_suspicious in {tmp_path / 'out/params.yaml'}, copy that" in str(error.value)


def test_faces_are_restored_by_both_networks_and_squares_by_none(tmp_path: Path) -> None:
    for rectangle, kind in (("landmarks", "train"), ("centre", "none")):
        wanted = request(tmp_path, tmp_path / "out", None, rectangle=rectangle, restore="network")
        _, params = pictures.params_of(wanted.params(), building.HEAD, tmp_path / "params.yaml")
        assert (params.fit_denoise.network.kind, params.fit_superres.network.kind) == (kind, kind)
        assert {params.denoise.method, params.superres.method} == {"network" if kind == "train" else "none"}


def test_a_file_system_without_links_will_do(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "images").mkdir()
    Image.new("RGB", (80, 70), (9, 90, 200)).save(tmp_path / "images/a.png")
    for name in ("pathlib.Path.symlink_to", "os.link", "pathlib.Path.hardlink_to"):
        monkeypatch.setattr(name, refuse)
    [*build(request(tmp_path / "images", tmp_path / "out", address, rectangle="centre"))]
    assert (pictures_of(tmp_path / "out", 64)["a.png"][0] == (9, 90, 200)).all()


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(b"")
    (tmp_path / "link").symlink_to("images")
    for images, out, words in (
        ("images", "link/out", "lies in the folder of the pictures"),
        ("link", "images/out", "lies in the folder of the pictures"),
        ("images", "images/a.jpg/out", "lies in the folder of the pictures"),
        ("images/a.jpg", "images/a.jpg/out", "cannot be made"),
        ("none", "out", "no such file or folder"),
        ("images", "images/out", "lies in the folder of the pictures"),
        ("images", "images", "lies in the folder of the pictures"),
    ):
        with pytest.raises(ParamsError, match=words):
            [*build(request(tmp_path / images, tmp_path / out, None))]
    with pytest.raises(ParamsError, match=r"points\.csv: no such file"):
        [*build(request(tmp_path / "images", tmp_path / "out", None, landmarks=tmp_path / "points.csv"))]
    assert not (tmp_path / "out").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RECORD).write_text('{"digest": "0"}')
    with pytest.raises(ParamsError, match=r"out: lies in .*run, which would no longer be whole"):
        [*build(request(tmp_path / "images", tmp_path / "run/out", None))]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(ParamsError, match="holds other files"):
        [*build(request(tmp_path / "images", tmp_path / "mine", None))]
    with pytest.raises(ParamsError, match="needs --landmarks"):
        CliRunner().invoke(
            app, ["build", str(tmp_path / "images"), "out", "--landmarks", "none"], catch_exceptions=False
        )


@pytest.mark.vectors
def test_the_cases_end_as_they_should(tmp_path: Path, address: str) -> None:
    script = CASES.needed("make_cases.py")
    subprocess.run([sys.executable, script, tmp_path / "cases"], check=True, capture_output=True)
    wrong: list[str] = []
    chosen = None if os.environ.get(EVERY_CASE) else CASES_OF_THEIR_OWN
    for case in sorted(path for path in (tmp_path / "cases").iterdir() if path.is_dir()):
        if chosen is not None and case.name not in chosen:
            continue
        out = tmp_path / "out" / case.name
        wrong += [f"{case.name}: {fault}" for fault in faults(case, out, *build_case(case, out, address))]
    assert not wrong, "\n".join(wrong)
