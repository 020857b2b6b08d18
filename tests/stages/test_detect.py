"""Stage detect on a small source of drawn photographs, one of them with two people, some without a face."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import manifest
from pipeline.errors import FetchError, NetworkError, SourceError, TermsError, TooManyDroppedError
from pipeline.faces.png import decode_png
from pipeline.manifest import Detected
from stages import detect as detect_module
from stages.detect import detect
from tests.faces.detection.drawn import drawn, needs_mtcnn, pixels
from tests.faces.detection.test_yunet import POINTS, RED_SQUARE, blue
from tests.stages.faces import choose, photograph, write_extract

TABLE = Path("data/detect/detect.parquet")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("manifests").symlink_to(ROOT / "manifests")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Two portraits, two people in one picture, a picture without a face, and a damaged file."""
    two = np.hstack([_square(pixels(drawn(number, side)[0])) for number, side in ((1, 100), (2, 220))])
    stream = io.BytesIO()
    Image.fromarray(two).save(stream, "PNG")
    return {
        "a.jpg": drawn(0)[0],
        "sub/b.jpg": drawn(3)[0],
        "two.png": stream.getvalue(),
        "none.jpg": photograph(1),
        "cut.jpg": drawn(4)[0][:900],
    }


def _square(picture_HWC: np.ndarray) -> np.ndarray:
    side = 900
    return np.pad(picture_HWC, [(0, side - picture_HWC.shape[0]), (0, side - picture_HWC.shape[1]), (0, 0)])


def choose_detector(address: str | None, landmarks: str | None = "detect", **values: Any) -> None:
    choose(address or "", detect={"max_dropped": 0.5, "photographs_per_chunk": 2} | values)
    params = yaml.safe_load(Path("params.yaml").read_text())
    source = {"kind": "folder", "images": "photographs", "landmarks": landmarks, "attributes": None}
    params["download"] = {"watch": "photographs", "source": source}
    params["cluster"]["scheduler"] = address
    Path("params.yaml").write_text(yaml.safe_dump(params))


@needs_mtcnn
def test_each_photograph_has_its_faces_or_a_reason(address: str, files: dict[str, bytes]) -> None:
    write_extract(files, "")
    choose_detector(address)
    detect()
    rows = manifest.read_kept(TABLE, Detected)
    assert [(row.file, row.face) for row in rows] == [("a.jpg", 0), ("sub/b.jpg", 0), ("two.png", 0), ("two.png", 1)]
    assert {row.file: row.reason.name for row in manifest.read_dropped(TABLE)} == {
        "none.jpg": "NO_FACE",
        "cut.jpg": "TRUNCATED",
    }
    first, second = rows[2:]
    assert first.box[0] > 900 > second.box[0]  # the larger one is first
    assert all(row.orientation == 1 and 0.9 <= row.score <= 1 for row in rows)
    assert rows[0].landmarks[0] < rows[0].landmarks[2]  # the left eye for the viewer
    report = json.loads(Path("reports/detect.json").read_text())
    assert (report["given"], report["kept"], report["faces"]) == (5, 3, 4)
    assert report["dropped"] == {"no face found": 1, "truncated image": 1}
    sheet_HWC = decode_png(Path("data/detect/faces.png").read_bytes())
    assert sheet_HWC.shape == (222, 4 * 192, 3)
    assert {path.name for path in TABLE.parent.iterdir()} == {
        "detect.parquet",
        "faces.png",
        "record.json",
        "SHA256SUMS",
    }


@needs_mtcnn
@pytest.mark.parametrize("orientation", ["shown", "stored"])
def test_landmarks_refer_to_the_picture_as_it_is_used(address: str, files: dict[str, bytes], orientation: str) -> None:
    """Of a photograph on its side the tag is right; in the stored pixels its face lies and is not found upright."""
    upright = Image.open(io.BytesIO(files["a.jpg"]))
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(stream, "JPEG", exif=exif, quality=95)
    write_extract({"a.jpg": files["a.jpg"], "turned.jpg": stream.getvalue()}, "")
    choose_detector(address, max_dropped=0.5)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["photographs"]["orientation"] = orientation
    Path("params.yaml").write_text(yaml.safe_dump(params))
    detect()
    first, *others = manifest.read_kept(TABLE, Detected)
    assert first.orientation == 1
    if orientation == "shown":
        (turned,) = others
        assert turned.orientation == 6
        assert np.abs(np.subtract(turned.landmarks, first.landmarks)).max() < 0.1 * first.box[2]
    else:
        (drop,) = manifest.read_dropped(TABLE)
        assert "its Exif orientation 6 is not applied (photographs.orientation)" in drop.detail


@needs_mtcnn
def test_neither_chunks_nor_a_kill_change_a_byte(
    address: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_extract(files, "")
    contents: set[tuple[bytes, ...]] = set()
    for size, stopped in ((1, True), (3, False), (50, False)):
        choose_detector(address, photographs_per_chunk=size)
        if stopped:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr("pipeline.manifest.join_parts", _stop)
                detect()
            left = sorted(Path("data/.work").glob("detect-*/detect.chunks/detect-*"))
            assert len(left) == 5
            shutil.rmtree(left[3])  # of a photograph with two faces and those after it, one chunk is missing
            choose_detector(address, photographs_per_chunk=4)
        detect()
        contents.add(tuple(path.read_bytes() for path in (TABLE, Path("data/detect/faces.png"))))
    assert len(contents) == 1


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


@needs_mtcnn
def test_too_many_without_a_face_end_the_run(address: str, files: dict[str, bytes]) -> None:
    write_extract(files, "")
    choose_detector(address, max_dropped=0.1)
    with pytest.raises(TooManyDroppedError, match=r"detect: [12] of 5 inputs dropped"):
        detect()
    assert not TABLE.exists()


def test_workers_get_the_task_of_a_stage_that_runs_as_a_program() -> None:
    """`python -m stages.detect` is `__main__`, whose functions are sent by value, with the globals that they use."""
    cloudpickle.register_pickle_by_value(detect_module)
    try:
        for function in (detect_module.detect_chunk, detect_module._decode):
            cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(detect_module)


@pytest.mark.parametrize("landmarks", [None, "photographs/landmarks.txt"])
def test_where_landmarks_are_given_the_table_is_empty_and_nothing_is_read(landmarks: str | None) -> None:
    choose_detector(None, landmarks)
    detect()
    assert manifest.account(TABLE).given == 0
    assert manifest.read_kept(TABLE, Detected) == []
    assert json.loads(Path("reports/detect.json").read_text())["faces"] == 0


def test_the_networks_of_yunet_are_the_published_ones_or_an_error(address: str, files: dict[str, bytes]) -> None:
    write_extract(files, "")
    Path("copy.onnx").write_bytes(b"x" * 232589)
    choose_detector(address, engine="yunet", weights="copy.onnx")
    with pytest.raises(SourceError, match=r"copy\.onnx: SHA256 is .* Only that file is used"):
        detect()
    choose_detector(address, engine="yunet", weights="nowhere.onnx")
    with pytest.raises(SourceError, match=r"nowhere\.onnx: no such file"):
        detect()


def test_missing_networks_are_an_error_before_the_workers_start(files: dict[str, bytes], tmp_path: Path) -> None:
    write_extract(files, "")
    choose_detector(None, weights=str(tmp_path))
    with pytest.raises(NetworkError, match=r"pnet\.onnx: no such file"):
        detect()


def test_yunet_is_fetched_under_its_terms_and_finds_faces(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest of this test publishes the made-up network of tests/golden/yunet; `network.local` has a copy."""
    squares, none = io.BytesIO(), io.BytesIO()
    Image.fromarray(blue(64, 64)).save(none, "PNG")
    Image.fromarray(blue(256, 192, (96, 64, 32), (32, 128, 32))).save(squares, "PNG")
    write_extract({"squares.png": squares.getvalue(), "none.png": none.getvalue()}, "")
    content = RED_SQUARE.read_bytes()
    published = yaml.safe_load((ROOT / "manifests/weights.yaml").read_text())
    published["files"][0] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    Path("manifests").unlink()
    Path("manifests").mkdir()
    Path("manifests/weights.yaml").write_text(yaml.safe_dump(published))
    choose_detector(address, engine="yunet", min_face_pixels=20)
    with pytest.raises(TermsError, match="--accept-terms weights"):
        detect()
    monkeypatch.setenv("CELEBAHQ_ACCEPT_TERMS", "weights")
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["network"] |= {"offline": True, "local": "copies"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(FetchError, match=r"weights/yunet/face_detection_yunet_2023mar\.onnx"):
        detect()
    Path("copies").mkdir()
    Path("copies/face_detection_yunet_2023mar.onnx").write_bytes(content)
    detect()
    first, second = manifest.read_kept(TABLE, Detected)
    assert (first.file, first.box, second.box) == ("squares.png", (32, 128, 32, 32), (96, 64, 32, 32))
    assert second.landmarks == pytest.approx([*(POINTS + np.array([96, 64])).ravel()], abs=0.01)
    record = json.loads(Path("data/detect/record.json").read_text())
    assert "weights/yunet/face_detection_yunet_2023mar.onnx" in record["fetched"]
