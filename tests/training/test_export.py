"""ONNX and TorchScript files make the images of the network that they are made of."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from pipeline.errors import NetworkError, ParamsError
from stages.__main__ import app
from tests.training.small import make_network
from training import export, generate, interop
from training.export import Format
from training.generate import Snapshot

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[1] / "golden/pggan/snapshot_b.pkl"
EVERY_CASE = "CELEBAHQ_EVERY_CASE"
PLAIN: dict[str, Any] = {  # the options of the first rows of the paper's table 1
    "use_batchnorm": True, "use_leakyrelu": False, "use_tanh": True, "use_pixelnorm": False, "use_wscale": False,
    "normalize_latents": False, "fused_scale": False,
}  # fmt: skip


def snapshot_of(folder: Path, *, lod: float, label_size: int = 0, **networks: Any) -> Snapshot:
    changes = {f"networks__{name}": value for name, value in networks.items()}
    return generate.load(make_network(folder, lod=lod, label_size=label_size, **changes), CPU)


def inputs_of(snapshot: Snapshot, count: int) -> tuple[torch.Tensor, ...]:
    latents = torch.from_numpy(snapshot.latents(3, count))
    size = snapshot.info.label_size
    return (latents, torch.eye(size)[torch.arange(count) % size]) if size else (latents,)


def difference(snapshot: Snapshot, path: Path, form: Format, count: int) -> float:
    inputs = inputs_of(snapshot, count)
    with torch.no_grad():
        own = snapshot.generator(inputs[0], inputs[1] if len(inputs) > 1 else None, snapshot.info.lod).numpy()
    made = export.run(path, form, inputs)
    assert made.shape == own.shape
    assert made.dtype == np.float32
    return float(np.abs(made - own).max())


@pytest.mark.parametrize(
    ("form", "lod", "label_size", "networks"),
    [
        (Format.onnx, 2.5, 0, PLAIN),
        (Format.onnx, 0.5, 3, {}),
        (Format.torchscript, 0.0, 3, PLAIN),
        *((Format.onnx, lod, 0, {}) for lod in (3.0, 2.25, 2.0, 1.5, 1.0, 0.0) if EVERY_CASE in os.environ),
    ],
)
def test_an_exported_network_makes_the_same_images(
    tmp_path: Path, form: Format, lod: float, label_size: int, networks: dict[str, Any]
) -> None:
    snapshot = snapshot_of(tmp_path, lod=lod, label_size=label_size, **networks)
    stated = export.export(snapshot, tmp_path / "g", form, uint8=False)
    assert stated <= 1e-4
    for count in (1, 5):
        assert difference(snapshot, tmp_path / "g", form, count) <= 1e-4


@pytest.mark.parametrize("form", Format)
def test_bytes_are_those_that_generate_writes(tmp_path: Path, form: Format) -> None:
    snapshot = snapshot_of(tmp_path, lod=3.0)
    own = snapshot.images(snapshot.latents(3, 64), None, 64).astype(int)
    export.export(snapshot, tmp_path / "g", form, uint8=True)
    made = export.run(tmp_path / "g", form, inputs_of(snapshot, 64))
    assert made.dtype == np.uint8
    assert np.abs(made - own).max() <= 1
    assert (made != own).mean() < 0.01
    content = (tmp_path / "g").read_bytes()
    assert b"site-packages" not in content, "a path of this machine"
    assert b"training/" not in content
    if form is Format.onnx:
        export.export(snapshot, tmp_path / "again", form, uint8=True)
        assert (tmp_path / "again").read_bytes() == content
        model: Any = onnx.load(tmp_path / "g")
        assert [value.name for value in model.graph.input] == ["latents"]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_snapshot_of_the_original_is_exported(tmp_path: Path) -> None:
    """It fades from 4 to 8 pixels, with three labels."""
    original = interop.read(GOLDEN)
    interop.write(tmp_path / "original.safetensors", original)
    snapshot = generate.load(tmp_path / "original.safetensors", CPU)
    golden = np.load(GOLDEN.with_name("snapshot_b_io.npz"))
    inputs = torch.from_numpy(golden["latents"]), torch.from_numpy(golden["labels"])
    shrink = snapshot.info.full_resolution // snapshot.info.resolution
    expected = golden["Gs_images"][:, :, ::shrink, ::shrink]  # the original enlarges by repeating pixels
    for form in Format:
        export.export(snapshot, tmp_path / form, form, uint8=False)
        assert np.abs(export.run(tmp_path / form, form, inputs) - expected).max() <= 1e-4


def test_a_torchscript_file_runs_without_this_project(tmp_path: Path) -> None:
    network = make_network(tmp_path, lod=3.0, label_size=2)
    result = CliRunner().invoke(app, ["export-network", str(network), str(tmp_path / "g.pt")], catch_exceptions=False)
    assert "g.pt: torchscript, latents (N, 8), labels (N, 2) to images (N, 3, 4, 4) float32, -1...1; " in result.output
    code = (
        "import sys, torch; extra = {'celebahq.json': ''}; g = torch.jit.load('g.pt', _extra_files=extra)\n"
        "print(tuple(g(torch.zeros(3, 8), torch.zeros(3, 2)).shape), extra['celebahq.json'].decode())\n"
        "assert not {'training', 'pipeline'} & set(sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith('(3, 3, 4, 4) {"channels": 3')


def test_an_export_that_makes_other_images_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = snapshot_of(tmp_path, lod=3.0)
    run = export.run
    monkeypatch.setattr(export, "run", lambda *arguments: run(*arguments) + np.float32(0.001))  # pyright: ignore
    with pytest.raises(NetworkError, match="not written, since the exported network makes other images"):
        export.export(snapshot, tmp_path / "g", Format.torchscript, uint8=False)
    assert not (tmp_path / "g").exists()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = util.find_spec
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(ParamsError, match=r"needs the package onnxscript, .*pip install 'celebahq\[onnx\]'"):
        export.export(snapshot_of(tmp_path, lod=3.0), tmp_path / "g", Format.onnx, uint8=False)
