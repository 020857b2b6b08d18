"""Stage denoise on a few crops, with a network and without."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import atomic, disk, manifest, sizes
from pipeline.container import read_stored, writing_container
from pipeline.errors import DiskFullError, NetworkError
from pipeline.faces.final_image import read_region
from pipeline.faces.png import decode_png, encode_png
from pipeline.manifest import Cropped, Denoised, Drop
from pipeline.provenance import digest_of_file
from pipeline.restoration.apply import Restorer
from pipeline.restoration.networks import NetworkSpec
from pipeline.restoration.weights import save_network
from stages import RECORD, read_params
from stages.denoise import denoise
from tests.restoration.photographs import randomize, scene
from tests.stages.faces import choose
from tests.test_disk import file_size_limit

DATA = Path("data")
TABLE = DATA / "denoise" / "denoise.parquet"
FACES = 5


@pytest.fixture(autouse=True)
def _crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[Cropped | Drop] = []
    with writing_container(DATA / "crop" / "crop-00000.tar", "crop/crop-00000.tar") as container:
        for number in range(FACES):
            image_HWC = _crop(number)
            height, width, _ = image_HWC.shape
            stored = container.add(f"{number:06d}.png", encode_png(image_HWC, 3))
            rows.append(
                Cropped(
                    index=2 * number,
                    file=f"{number:06d}.jpg",
                    photograph=stored,
                    width=width,
                    height=height,
                    split="train",
                    attributes=(1, -1),
                    landmarks=None,
                    quad=(0.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 0.0),
                    zoom=2.5,
                    pixels=None,
                    region_md5=hashlib.md5(image_HWC.tobytes()).hexdigest(),
                    left=0,
                    upper=0,
                    crop_width=width,
                    crop_height=height,
                    shrink=1,
                    border=0,
                )
            )
    manifest.write_rows(DATA / "crop" / "crop.parquet", Cropped, rows)


def _crop(number: int) -> np.ndarray:
    if number == FACES - 1:
        return scene(number, 260)  # much larger, also in a tar's blocks of 10 KB
    return scene(number)[: 90 + 10 * number, :130]


def _network(folder: Path) -> None:
    spec = NetworkSpec(architecture="arresnet", channels=4, blocks=2)
    save_network(folder / "network.safetensors", randomize(spec.build()), spec)
    digest = digest_of_file(folder / "network.safetensors")
    atomic.write_json(folder / "network.json", {"kind": "train", "sha256": digest})


def _published() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((DATA / "denoise").iterdir())}


def test_pixels_are_those_of_the_network_and_other_columns_stay(address: str) -> None:
    _network(DATA / "fit_denoise")
    choose(address, denoise={"method": "network", "faces_per_chunk": 2, "tile_pixels": 64})
    denoise()
    assert list(_published()) == [
        "SHA256SUMS",
        *(f"denoise-{row:06d}.tar" for row in (0, 2, 4)),
        "denoise.parquet",
        RECORD,
    ]
    before = manifest.read_kept(DATA / "crop" / "crop.parquet", Cropped)
    after = manifest.read_kept(TABLE, Denoised)
    restorer = Restorer.load(DATA / "fit_denoise", tile_pixels=64)
    for number, (was, row) in enumerate(zip(before, after, strict=True)):
        assert row.denoised
        assert manifest.extend(was, Denoised, pixels=row.pixels, denoised=True) == row
        assert row.pixels is not None
        restored_HWC = decode_png(read_stored(DATA, row.pixels))
        assert np.array_equal(restored_HWC, restorer(_crop(number)))
        assert not np.array_equal(restored_HWC, _crop(number))
    report = json.loads(Path("data/denoise", RECORD).read_text())["report"]
    assert report == {"given": FACES, "kept": FACES, "dropped": {}}


def test_two_runs_give_the_same_bytes_on_any_number_of_threads(address: str) -> None:
    _network(DATA / "fit_denoise")
    choose(address, denoise={"method": "network", "faces_per_chunk": 2, "tile_pixels": 64})
    denoise()
    first = _published()
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - threads if threads < 3 else 1)
    denoise()
    torch.set_num_threads(threads)
    assert _published() == first


def test_without_a_network_only_the_table_is_written_and_no_worker_is_needed() -> None:
    atomic.write_json(DATA / "fit_denoise" / "network.json", {"kind": "none"})
    choose("tcp://127.0.0.1:1", denoise={"method": "none"}, fit_denoise={"network": {"kind": "none"}})
    denoise()
    assert list(_published()) == ["SHA256SUMS", "denoise.parquet", RECORD]
    for number, row in enumerate(manifest.read_kept(TABLE, Denoised)):
        assert not row.denoised
        assert row.pixels is None
        assert np.array_equal(read_region(DATA, row, read_params().photographs).image_HWC, _crop(number))


def test_a_missing_network_ends_the_stage(address: str) -> None:
    atomic.write_json(DATA / "fit_denoise" / "network.json", {"kind": "none"})
    choose(address, denoise={"method": "network"})
    with pytest.raises(NetworkError, match="no network was made"):
        denoise()
    assert not TABLE.exists()


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(address: str) -> None:
    _network(DATA / "fit_denoise")
    choose(address, denoise={"method": "network", "faces_per_chunk": 1, "tile_pixels": 64})
    denoise()
    whole = _published()
    largest = max(len(content) for name, content in whole.items() if name.endswith(".tar"))
    shutil.rmtree(TABLE.parent)
    with (
        file_size_limit(largest - 1),
        pytest.raises(
            DiskFullError, match=r"denoise-\d+\.tar: no file may grow larger .* run this again; what is finished"
        ),
    ):
        denoise()
    assert not TABLE.exists()
    done = {path: path.stat().st_mtime_ns for path in DATA.glob(".work/denoise-*/*.chunks/*/*.tar")}
    assert done
    denoise()
    assert _published() == whole
    assert {TABLE.with_name(path.name).stat().st_mtime_ns for path in done} == set(done.values())


def test_a_stage_that_will_not_fit_says_how_much_is_missing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _network(DATA / "fit_denoise")
    choose(address, denoise={"method": "network"})
    pixels = sum(_crop(number)[..., 0].size for number in range(FACES))
    room = sizes.restored(DATA / "crop/crop.parquet")
    assert room == pytest.approx(pixels * sizes.PNG_BYTES_PER_PIXEL * sizes.RESTORED_GROWTH, rel=0.01)
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1000)
    with pytest.raises(
        DiskFullError, match=r"denoise needs about 0\.\d MB below .*denoise-\w+, 0\.0 MB are free: free"
    ):
        denoise()
