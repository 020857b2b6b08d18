"""The generator of a network file for other programs: TorchScript, and ONNX.

Both are made of one graph of ATen operations (`torch.export`), in which nothing of this project is left: the custom
functions of `training.ops`, which are there for derivatives, are traced through.

N = images, L = latent size, C = label size or channels, H = W = resolution of the snapshot.
"""

import io
import json
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile, ZipInfo

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pipeline import atomic
from pipeline.errors import NetworkError, ParamsError
from training.checkpoint import METADATA
from training.choices import Format
from training.generate import Snapshot, to_uint8
from training.networks import Generator

TOLERANCE = 1e-4
"""The largest allowed difference between the exported generator and ours, of a range of -1...1."""
ONNX_PACKAGES = "onnx", "onnxscript", "onnxruntime"
EXTRA = "pip install 'celebahq[onnx]'"
NOTES = ".debug_pkl", "traced_inputs.pkl", "traced_inputs/0"
"""Parts of a TorchScript file that hold notes on its making, such as paths of this machine, and are not needed."""


class _AtLod(nn.Module):
    """A generator at one level of detail: latents (N, L), and labels (N, C) if it has any, to images (N, C, H, W)."""

    def __init__(self, generator: Generator, lod: float, uint8: bool) -> None:
        super().__init__()
        self.generator = generator
        self._lod = lod
        self._uint8 = uint8

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        images = self.generator(latents, labels, self._lod)
        return to_uint8(images) if self._uint8 else images


def export(snapshot: Snapshot, path: Path, form: Format, *, uint8: bool) -> float:
    """Write the generator at the snapshot's level of detail; return its largest difference to ours (0...2, or 0...255).

    Inputs are `latents` (N, L) float32 from N(0, 1) and, if the network has labels, `labels` (N, C) float32; the output
    is `images` (N, 3, H, W) RGB, float32 of about -1...1 or, with `uint8`, bytes as `celebahq generate` writes them.
    N is free. The written file is read again and compared with the generator before it gets its name.

    Raises
    ------
    ParamsError
        The packages of ONNX are not installed.
    NetworkError
        The exported generator makes other images.
    """
    if form is Format.onnx:
        _require_onnx()
    module = _AtLod(snapshot.generator, snapshot.info.lod, uint8).eval()
    program = _captured(module, _inputs(snapshot, 2))
    about = _about(snapshot, uint8)
    differences: list[float] = []

    def verify(partial: Path) -> None:
        differences.append(_difference(partial, form, module, snapshot))
        if differences[0] > (1 if uint8 else TOLERANCE):  # a byte may be rounded otherwise
            raise NetworkError(
                f"{path}: not written, since the exported network makes other images than its own: they differ by up "
                f"to {differences[0]:.3g}. Report this with the versions of torch and onnx; try the other format."
            )

    with atomic.writing(path, verify) as partial:
        if form is Format.onnx:
            _write_onnx(partial, program, snapshot, about)
        else:
            _write_torchscript(partial, program, _inputs(snapshot, 2), about)
    return differences[0]


def _require_onnx() -> None:
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise ParamsError(
            f"--format onnx needs the package {' and '.join(missing)}, which is not installed: {EXTRA}. "
            f"--format torchscript needs none."
        )


def _inputs(snapshot: Snapshot, count: int) -> tuple[Tensor, ...]:
    latents_NL = torch.from_numpy(snapshot.latents(0, count))
    size = snapshot.info.label_size
    return (latents_NL, torch.eye(size)[torch.arange(count) % size]) if size else (latents_NL,)


def _captured(module: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """The module's graph for any number of images; on the CPU, whose operations every device has."""
    batch = Dim("batch")
    shapes = tuple({0: batch} for _ in inputs)
    with torch.no_grad():
        return torch.export.export(module, inputs, dynamic_shapes=shapes)


def _about(snapshot: Snapshot, uint8: bool) -> str:
    """What the file states of itself, as JSON."""
    info = snapshot.info
    about = {
        "channels": info.channels,
        "images_shown": info.images_shown,
        "label_size": info.label_size,
        "latent_size": info.generator.latent_size,
        "lod": info.lod,
        "output": "uint8 RGB" if uint8 else "float32 RGB, about -1...1",
        "resolution": info.resolution,
    }
    return json.dumps(about, sort_keys=True)


def _write_torchscript(path: Path, program: ExportedProgram, inputs: tuple[Tensor, ...], about: str) -> None:
    with warnings.catch_warnings():
        # the captured module checks its inputs in Python; the checks of the example are no part of the trace
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
        traced: Any = torch.jit.trace(program.module(), inputs, check_trace=False)  # pyright: ignore[reportUnknownMemberType]
    content = io.BytesIO()
    torch.jit.save(traced, content, _extra_files={f"{METADATA}.json": about})  # pyright: ignore[reportUnknownMemberType]
    with ZipFile(content) as whole, ZipFile(path, "w") as without_notes:
        for part in whole.infolist():
            if not part.filename.endswith(NOTES):
                without_notes.writestr(ZipInfo(part.filename), whole.read(part))


def _write_onnx(path: Path, program: ExportedProgram, snapshot: Snapshot, about: str) -> None:
    import onnx  # noqa: PLC0415 - of the extra

    names = ["latents", "labels"][: 2 if snapshot.info.label_size else 1]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages about their own parts
        exported: Any = torch.onnx.export(
            program, dynamo=True, input_names=names, output_names=["images"], optimize=True, verbose=False
        )
    content = io.BytesIO()
    exported.save(content)
    model: Any = onnx.load_model_from_string(content.getvalue())
    _tidy(model.graph)
    model.producer_name, model.doc_string = METADATA, ""
    onnx.helper.set_model_props(model, {METADATA: about})
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def _tidy(graph: Any) -> None:
    """Name the free axis, and remove what the exporter notes of its work, such as paths of this machine."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        axes = value.type.tensor_type.shape.dim
        if len(axes) and axes[0].dim_param:
            axes[0].dim_param = "batch"
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
    del graph.metadata_props[:]


def _difference(path: Path, form: Format, module: nn.Module, snapshot: Snapshot) -> float:
    """The largest difference between the images of the file and of the module, with another minibatch than traced."""
    inputs = _inputs(snapshot, 3)
    with torch.no_grad():
        expected = cast(Tensor, module(*inputs)).numpy()
    return float(np.abs(run(path, form, inputs).astype(np.float32) - expected.astype(np.float32)).max())


def run(path: Path, form: Format, inputs: Sequence[Tensor]) -> NDArray[Any]:
    """The images that an exported file makes on the CPU."""
    if form is Format.torchscript:
        network: Any = torch.jit.load(path, map_location="cpu")  # pyright: ignore[reportUnknownMemberType]
        with torch.no_grad():
            return network(*inputs).numpy()
    import onnxruntime  # noqa: PLC0415 - of the extra

    session: Any = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})[0]
