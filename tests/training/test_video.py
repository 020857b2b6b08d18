"""Videos, read back with PyAV."""

import re
from importlib import util
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from pipeline.errors import NetworkError, ParamsError
from tests.training.small import make_network
from training import generate, progress_video, video
from training.image_grid import Pixels, write_png
from training.progress_video import CAPTION_PIXELS
from training.sampling import Grid

CPU = torch.device("cpu")


def frames_of(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()  # pyright: ignore[reportArgumentType]
            for frame in container.decode(video=0)
        ]


def test_latents_are_unit_and_move_evenly_also_from_the_last_frame_to_the_first() -> None:
    latents_TNL = video.interpolation_latents(3, 300, 2, 32, sigma=45)
    assert latents_TNL.shape == (300, 2, 32)
    np.testing.assert_allclose(np.square(latents_TNL).mean(axis=2), 1, atol=1e-5)
    moves_TN = np.linalg.norm(np.roll(latents_TNL, -1, axis=0) - latents_TNL, axis=2)
    assert np.abs(moves_TN[-1] - moves_TN[[-2, 0]]).max() < 0.02 * moves_TN.mean(), "the loop has a seam"
    assert moves_TN.min() > 0
    # the mean over 45 frames of noise is as smooth as a Gaussian of that deviation says: d = 1 / (sigma * sqrt(2))
    assert moves_TN.mean() / np.sqrt(32) == pytest.approx(1 / (45 * np.sqrt(2)), rel=0.15)
    assert np.array_equal(latents_TNL, video.interpolation_latents(3, 300, 2, 32, sigma=45))
    assert not np.array_equal(latents_TNL, video.interpolation_latents(4, 300, 2, 32, sigma=45))


def test_an_interpolation_shows_the_images_of_its_latents(tmp_path: Path) -> None:
    snapshot = generate.load(make_network(tmp_path, lod=1.0, label_size=2), CPU)
    label = np.array([0, 1], np.float32)
    options: dict[str, Any] = {"seconds": 0.5, "fps": 20, "seed": 4, "label": label}
    count, frames = video.interpolation(snapshot, Grid(2, 1), **options)
    pictures = list(frames)
    assert (count, len(pictures)) == (10, 10)
    latents = video.interpolation_latents(4, 10, 2, 8, sigma=0.75 * 20)
    expected = snapshot.images(latents[7], np.stack([label, label]), 2)
    shown = pictures[7][::8, ::8].transpose(2, 0, 1)  # cells of 128 pixels show images of 16
    assert np.abs(np.concatenate(list(expected), axis=2).astype(int) - shown).max() <= 1
    for name in ("a.mp4", "b.mp4"):
        made = video.encode(tmp_path / name, iter(pictures), count=count, fps=20)
    assert (made.frames, made.width, made.height) == (10, 256, 128)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(ParamsError, match="makes no frame"):
        video.interpolation(snapshot, Grid(2, 1), **(options | {"seconds": 0.01}))


def test_frames_come_back_with_their_colours_and_odd_sides_padded(tmp_path: Path) -> None:
    row = np.linspace(0, 255, 65)
    ramp = np.rint(np.stack([np.tile(row, (33, 1)), np.full((33, 65), 200), np.full((33, 65), 40)], axis=2))
    pictures = [np.roll(ramp, 8 * n, axis=1).astype(np.uint8) for n in range(4)]
    made = video.encode(tmp_path / "odd.mp4", pictures, count=4, fps=25, crf=4)
    assert (made.frames, made.fps, made.width, made.height) == (4, 25, 66, 34)
    read = frames_of(tmp_path / "odd.mp4")
    assert len(read) == 4
    for picture, frame in zip(pictures, read, strict=True):
        assert frame.shape == (34, 66, 3)
        assert np.abs(frame[:33, :65].astype(int) - picture).mean() < 4
        assert np.abs(frame[33, :65].astype(int) - picture[32]).mean() < 5, "the last row once more"
    with av.open(str(tmp_path / "odd.mp4")) as container:
        context: Any = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, container.streams.video[0].average_rate) == ("h264", "yuv420p", 25)
        assert (context.colorspace, context.color_range) == (1, 1), "BT.709, limited range"
    boxes = re.findall(rb"(moov|mdat)", (tmp_path / "odd.mp4").read_bytes())
    assert boxes.index(b"moov") < boxes.index(b"mdat"), "a browser shows it while it loads"


def test_a_failed_video_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> Any:
        yield np.zeros((32, 32, 3), np.uint8)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        video.encode(tmp_path / "x.mp4", failing(), count=2, fps=25)
    monkeypatch.setattr(video, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(ParamsError, match=r"pip install 'celebahq\[video\]'"):
        video.encode(tmp_path / "x.mp4", [], count=0, fps=25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.avi", "x"])
def test_another_kind_of_video_is_refused_before_any_frame(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"written as MP4. Name the file x\.mp4"):
        video.encode(tmp_path / name, (pytest.fail("a frame was made") for _ in range(2)), count=2, fps=25)
    assert util.find_spec("av")


def make_run_of_sheets(folder: Path) -> None:
    """Sheets of red, green and blue, and one of another size; the second is in a fade."""
    for shown, colour in ((240, (255, 0, 0)), (480, (0, 255, 0)), (720, (0, 0, 255))):
        write_png(folder / f"grids/samples-{shown:09d}.png", np.full((64, 96, 3), colour, np.uint8))
    write_png(folder / "grids/samples-000000001.png", np.zeros((32, 32, 3), np.uint8))
    for name, values in {"resolution": (4, 8, 8), "lod": (1.0, 0.5, 0.0)}.items():
        path = folder / f"live/plots/metrics/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (f"{shown}\t{value}\n" for shown, value in zip((240, 480, 720), values, strict=True))
        path.write_text(f"step\t{name}\n" + "".join(rows))


def test_progress_goes_through_the_sheets_of_a_run(tmp_path: Path) -> None:
    make_run_of_sheets(tmp_path)
    sheets = progress_video.sheets_of_run(tmp_path, 1920)
    captions = [sheet.caption() for sheet in sheets]
    assert captions == ["0.2 kimg   4x4", "0.5 kimg   8x8, fading in from 4x4", "0.7 kimg   8x8"]
    count, frames = progress_video.frames(tmp_path, sheets, seconds=0.6, fps=10)
    video.encode(tmp_path / "p.mp4", frames, count=count, fps=10, crf=4)
    read = frames_of(tmp_path / "p.mp4")
    assert len(read) == count == 6 + 6 + 20
    assert read[0].shape == (64 + CAPTION_PIXELS, 96, 3)
    colours = [frame[CAPTION_PIXELS + 8 :].mean(axis=(0, 1)).argmax() for frame in read]
    assert colours[:4] == [0] * 4
    assert colours[6:10] == [1] * 4
    assert colours[12:] == [2] * 20
    strips = [frame[:CAPTION_PIXELS].astype(int) for frame in read]
    assert strips[0].max() > 150, "the caption is written"
    assert np.abs(strips[0] - strips[8]).max() > 100, "and says something else later"


def test_progress_of_networks_shows_the_same_latents_at_their_levels(tmp_path: Path) -> None:
    for shown, lod in ((240, 2.0), (480, 0.5)):
        make_network(tmp_path, lod=lod, images_shown=shown)
    options: dict[str, Any] = {"seed": 2, "device": CPU, "label": "", "attributes": None}
    sheets = progress_video.sheets_of_networks(tmp_path, Grid(3, 2), 200, **options)
    assert [sheet.caption() for sheet in sheets] == ["0.2 kimg   8x8", "0.5 kimg   32x32, fading in from 16x16"]
    assert sheets[0].picture_HWC.shape == (128, 192, 3), "384 pixels wide, halved to fit"
    snapshot = generate.load(tmp_path / "network-000000480.safetensors", CPU)
    expected = snapshot.images(snapshot.latents(2, 6), None, 8)[4]
    assert np.array_equal(sheets[1].picture_HWC[64:128:2, 64:128:2], expected.transpose(1, 2, 0))


def test_a_folder_without_sheets_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="has neither grids/samples"):
        progress_video.frames(tmp_path, progress_video.sheets_of_run(tmp_path, 100), seconds=1, fps=10)
