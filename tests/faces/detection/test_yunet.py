"""OpenCV's FaceDetectorYN with a made-up network that takes red squares for faces: sizes, order, channels, scores."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import NetworkError
from pipeline.faces.detection.detector import find_faces
from pipeline.faces.detection.yunet import LARGEST_FACE, Yunet
from tests.faces.detection.drawn import detect_params

RED_SQUARE = Path(__file__).parents[2] / "golden/yunet/red_square.onnx"
POINTS = np.array([(8, 10), (24, 11), (16, 18), (10, 25), (22, 26)], float)
"""Of the face in its square of 32 pixels; left eye, right eye, nose, left and right mouth corner for the viewer."""


def blue(width: int, height: int, *squares: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A blue picture with red squares: x, y, side."""
    picture_HWC = np.full((height, width, 3), (0, 0, 255), np.uint8)
    for x, y, side in squares:
        picture_HWC[y : y + side, x : x + side] = (255, 0, 0)
    return picture_HWC


def test_a_face_has_its_place_its_order_of_points_and_its_score() -> None:
    (face,) = Yunet(RED_SQUARE, 0.7).detect(blue(256, 192, (96, 64, 32)))
    np.testing.assert_allclose(face.box_4, [96, 64, 32, 32], atol=1e-3)
    np.testing.assert_allclose(face.landmarks_52, POINTS + np.array([96, 64]), atol=1e-3)
    assert face.score == pytest.approx(1, abs=1e-3)
    assert Yunet(RED_SQUARE, 0.7).detect(blue(256, 192)) == []


def test_one_detector_takes_pictures_of_all_sizes() -> None:
    detector = Yunet(RED_SQUARE, 0.7)
    for width, height in ((64, 64), (257, 190), (33, 65), (1, 1), (256, 192)):
        fits = min(width, height) >= 64
        assert len(detector.detect(blue(width, height, (32, 32, 32)))) == fits, (width, height)


def test_a_large_face_is_found_in_a_reduced_picture() -> None:
    side = 4 * LARGEST_FACE // 32 * 32  # a cell of the picture of 300 pixels has 4 x 32 pixels here
    (face,) = find_faces(
        blue(side, side, (0, 128, 128)), detect_params(engine="yunet", min_face_pixels=100), RED_SQUARE
    )
    np.testing.assert_allclose(face.box_4, [0, 128, 128, 128], atol=4)
    np.testing.assert_allclose(face.landmarks_52, 4 * POINTS + np.array([0, 128]), atol=4)


def test_what_is_no_network_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(NetworkError, match=r"other\.onnx: OpenCV .* cannot read"):
        Yunet(tmp_path / "other.onnx", 0.7)


def test_threads_of_one_worker_do_not_disturb_each_other() -> None:
    detector = Yunet(RED_SQUARE, 0.7)
    pictures = [blue(256 + 32 * (n % 5), 192 + 32 * (n % 3), (32 * (n % 4), 64, 32)) for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for number, faces in enumerate(pool.map(detector.detect, pictures)):
            assert [face.box_4[0] for face in faces] == pytest.approx([32 * (number % 4)], abs=1e-3)
