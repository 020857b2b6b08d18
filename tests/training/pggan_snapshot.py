"""Golden vectors of the original's snapshots: read, converted, and used."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tests.training.pggan import Case, at_full_resolution
from tests.training.pggan_compare import Compared, compare
from training import generate, interop
from training.interop.tf_variables import to_original

CPU = torch.device("cpu")


def snapshot(case: Case) -> Iterator[Compared]:
    about = case.about
    original = interop.read(case.folder / about["pickle"])
    yield compare("lod", original.lod, about["lod"], allowed=1e-7)
    networks = {"G": original.generator, "D": original.discriminator, "Gs": original.average}
    for name, described in about["networks"].items():
        shapes = {variable: tuple(shape) for variable, shape in described["variables"] if variable != "lod"}
        ours = {variable: value.shape for variable, value in to_original(networks[name]).items()}
        assert ours == shapes, name
    latents_NL, labels_NC = case.tensor("latents"), case.labels("labels")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "network.safetensors"
        interop.write(path, original)
        converted = generate.load(path, CPU)
        lod = converted.info.lod
        images_NCHW = converted.generator(latents_NL, labels_NC, lod)
        for name, ours in (("Gs", images_NCHW), ("G", original.generator(latents_NL, labels_NC, lod))):
            yield compare(
                f"images of {name}", at_full_resolution(ours, lod), case.arrays[f"{name}_images"], allowed=1e-5,
                noise=case.noise(f"{name}_images"),
            )  # fmt: skip
        yield from _as_bytes(case, images_NCHW, lod)
        scores_N, logits_NC = original.discriminator(images_NCHW, lod)
        for name, ours in (("D_scores_of_Gs_images", scores_N[:, None]), ("D_labels_of_Gs_images", logits_NC)):
            if ours is not None:
                yield compare(name, ours, case.arrays[name], allowed=1e-5, noise=case.noise(name))


def _as_bytes(case: Case, images_NCHW: torch.Tensor, lod: float) -> Iterator[Compared]:
    full_NCHW = torch.from_numpy(at_full_resolution(images_NCHW, lod))
    for name in sorted(name for name in case.arrays if name.startswith("Gs_images_uint8")):
        shrink = int(name.partition("_shrink")[2] or 1)
        ours, theirs = generate.to_uint8(full_NCHW, shrink).numpy().astype(int), case.arrays[name].astype(int)
        yield Compared(f"{name}: largest difference", float(np.abs(ours - theirs).max()), 1.0)
        yield Compared(f"{name}: share of bytes that differ", float((ours != theirs).mean()), 1e-2)
