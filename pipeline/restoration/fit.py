"""Training a restoration network.

Equal photographs and params give equal bytes, whether the fit is resumed or not, and whatever the number of processes
that make patches: a step's minibatch and learning rate depend only on its number, the initial weights on a seed, and
the checkpoint holds everything else. The network is the moving average of the trained weights.
"""

import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam
from torch.utils.data import DataLoader

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.params import AdversarialPhase, PhotographParams, TrainedNetwork
from pipeline.progress import progress
from pipeline.restoration.adversary import discriminator_loss, feature_loss, restorer_loss
from pipeline.restoration.apply import to_tensor
from pipeline.restoration.checkpoint import FitCheckpoint
from pipeline.restoration.clean_images import read_clean
from pipeline.restoration.degradations import CONTEXT, Degradation, Pixels, inner
from pipeline.restoration.device import reproducible, select_device
from pipeline.restoration.evaluation import OCTAVES, Figures, Pairs, figures, with_network, without_network, write_sheet
from pipeline.restoration.networks import Architecture, NetworkSpec
from pipeline.restoration.patches import PatchSampler, held_out_pairs
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, save_network

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"
SHEET = "before_after.png"
SHEET_ROWS = 8
CHECKPOINT_SECONDS = 120.0
"""Between two checkpoints; without influence on the result."""
HISTORY_ROWS = 10
HISTORY_STEPS_MAX = 1000
HELD_OUT_PIXELS = 256

_WARM_UP = 0.05  # of all steps
_LARGEST_GRADIENT = 1.0  # norm; reached only by a step that would do harm

Restore = Callable[[Sequence[Pixels]], Sequence[Pixels]]


class Fitting(TypedDict):
    """What `fit` reads, and how.

    Attributes
    ----------
    photographs, data
        A folder of photographs; or the table with rows of `Photograph`, and the folder of their containers.
    how
        How photographs are decoded (by Pillow), and the JPEGs that are made of them (by `how.decoder`).
    workers
        Processes that make patches; with 0 this one does.
    before
        The restoration that comes before this one, of several images: the network sees what it makes of the degraded
        patches. None: nothing comes before.
    """

    photographs: Path
    data: Path
    how: PhotographParams
    workers: int
    before: Restore | None


def fit(
    architecture: Architecture, params: TrainedNetwork, *, work: Path, **fitting: Unpack[Fitting]
) -> dict[str, Any]:
    """Train a network; write its weights, description, history and sheet to `work`.

    A checkpoint that a killed fit left in `work` is resumed, and removed at the end.

    Returns
    -------
    dict
        Mean PSNR in dB over held-out photographs without the network (`psnr_before`) and with it (`psnr_after`),
        `psnr_gain`; the power of the `octaves` relative to that of the photographs, before and after (`Figures`); and
        the numbers of used and left out photographs.

    Raises
    ------
    SourceError
        Too few usable photographs.
    NetworkError
        The training diverges.
    """
    spec = NetworkSpec(architecture=architecture, channels=params.channels, blocks=params.blocks)
    how, before = fitting["how"], fitting["before"]
    degradation = Degradation(scale=spec.scale, params=params, how=how)
    side = degradation.square_side(params.patch_pixels)
    images = read_clean(fitting["photographs"], fitting["data"], params, how, side=side)
    pairs = [
        (inner(degraded if before is None else before([degraded])[0]), clean)
        for degraded, clean in held_out_pairs(images.held_out, degradation, pixels=HELD_OUT_PIXELS, seed=params.seed)
    ]
    with reproducible(params.threads):
        checkpoint = FitCheckpoint.initial(spec, params)
        if (work / CHECKPOINT).exists():
            checkpoint.load(work / CHECKPOINT)
        sampler = PatchSampler(images.training, degradation, params)
        _train(checkpoint, params, _minibatches(sampler, checkpoint.step, fitting["workers"], before), pairs, work)
        report = _write_results(checkpoint, pairs, work)
    report["photographs"] = {
        "training": images.photographs,
        "regions": len(images.training),
        "held_out": len(images.held_out),
        "skipped": images.skipped,
    }
    save_network(work / WEIGHTS, checkpoint.average, spec)
    description = {
        "kind": "train",
        **asdict(spec),
        "scale": spec.scale,
        "params": params.model_dump(mode="json"),
        "sha256": provenance.digest_of_file(work / WEIGHTS),
        "report": report,
    }
    atomic.write_json(work / DESCRIPTION, description)
    (work / CHECKPOINT).unlink(missing_ok=True)
    return report


def charbonnier(image_NCHW: Tensor, clean_NCHW: Tensor, epsilon: float) -> Tensor:
    """Charbonnier loss of images in [-1, 1]: L2 for errors below `epsilon` levels, L1 for larger ones."""
    smooth = epsilon / 127.5
    return ((image_NCHW - clean_NCHW).square() + smooth**2).sqrt().mean() - smooth


def learning_rate(params: TrainedNetwork, step: int) -> float:
    """Linear warm-up over the first twentieth of the steps, times a half cosine that ends at zero."""
    warm_up = min(1.0, (step + 1) / (_WARM_UP * params.steps))
    return params.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / params.steps))


def _minibatches(
    sampler: PatchSampler, first: int, workers: int, before: Restore | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The input and target of each step from `first` on, as tensors of the device."""
    device = select_device()
    steps = range(first, len(sampler))
    pin = device.type == "cuda"  # else a copy would wait for the steps before it
    loader = DataLoader(sampler, batch_size=None, sampler=steps, num_workers=workers, pin_memory=pin)
    for degraded, clean in loader:
        inputs = degraded if before is None else torch.from_numpy(np.stack(before([*degraded.numpy()])))
        yield to_tensor(inputs, device)[..., CONTEXT:-CONTEXT, CONTEXT:-CONTEXT], to_tensor(clean, device)


def _train(
    checkpoint: FitCheckpoint,
    params: TrainedNetwork,
    minibatches: Iterator[tuple[Tensor, Tensor]],
    pairs: Pairs,
    work: Path,
) -> None:
    every = min(math.ceil(params.steps / HISTORY_ROWS), HISTORY_STEPS_MAX)
    steps = range(checkpoint.step, params.steps)
    saved = time.monotonic()
    for step in progress(steps, initial=checkpoint.step, total=params.steps, unit="step"):
        checkpoint.loss += _update(checkpoint, params, *next(minibatches))
        checkpoint.losses += 1
        checkpoint.step = step + 1
        checkpoint.update_average(params.ema_decay)
        last = checkpoint.step == params.steps
        if checkpoint.step % every == 0 or last:
            loss = _mean_loss(checkpoint, params)
            found = figures(pairs, partial(with_network, network=checkpoint.average))
            checkpoint.history.append((checkpoint.step, loss, found.psnr, *found.octaves))
            checkpoint.loss.zero_()
            checkpoint.losses = 0
        if last or time.monotonic() - saved >= CHECKPOINT_SECONDS:
            _mean_loss(checkpoint, params)
            checkpoint.save(work / CHECKPOINT)
            saved = time.monotonic()


def _mean_loss(checkpoint: FitCheckpoint, params: TrainedNetwork) -> float:
    """The mean loss since the last row of the history; waits for the device."""
    value = checkpoint.loss.item() / max(checkpoint.losses, 1)
    if not math.isfinite(value):
        raise NetworkError(
            f"the fit diverged: its loss is {value} at step {checkpoint.step}. Lower learning_rate (now "
            f"{params.learning_rate}) or the weights of adversarial (now {params.adversarial}) in params.yaml."
        )
    return value


def _update(checkpoint: FitCheckpoint, params: TrainedNetwork, degraded_NCHW: Tensor, clean_NCHW: Tensor) -> Tensor:
    """One step of the network, in the adversarial phase after one of the discriminator; returns the loss of pixels."""
    rate = learning_rate(params, checkpoint.step)
    with _autocast(params, degraded_NCHW):
        restored_NCHW = checkpoint.network(degraded_NCHW)
    loss = objective = charbonnier(restored_NCHW.float(), clean_NCHW, params.loss_epsilon)
    if params.adversarial is not None and checkpoint.step >= params.adversarial.begin * params.steps:
        images = (degraded_NCHW, clean_NCHW, restored_NCHW)
        objective = loss + _adversarial_loss(checkpoint, params, params.adversarial, images, rate)
    _descend(checkpoint.optimizer, checkpoint.network, objective, rate)
    return loss.detach()


def _adversarial_loss(
    checkpoint: FitCheckpoint,
    params: TrainedNetwork,
    phase: AdversarialPhase,
    images: tuple[Tensor, Tensor, Tensor],
    rate: float,
) -> Tensor:
    """Update the discriminator; what the network is to lower. `images`: degraded, clean and restored."""
    degraded_NCHW, clean_NCHW, restored_NCHW = images
    discriminator = checkpoint.discriminator
    with _autocast(params, degraded_NCHW):
        true, _ = discriminator(degraded_NCHW, clean_NCHW)
        false, _ = discriminator(degraded_NCHW, restored_NCHW.detach())
    _descend(checkpoint.discriminator_optimizer, discriminator, discriminator_loss(true, false), rate)
    discriminator.requires_grad_(False)
    with _autocast(params, degraded_NCHW):
        true, true_features = discriminator(degraded_NCHW, clean_NCHW)
        false, false_features = discriminator(degraded_NCHW, restored_NCHW)
    discriminator.requires_grad_(True)
    return phase.weight * restorer_loss(true, false) + phase.feature_weight * feature_loss(
        true_features, false_features
    )


def _autocast(params: TrainedNetwork, images: Tensor) -> torch.autocast:
    device = images.device.type
    return torch.autocast(device, torch.bfloat16, enabled=params.precision == "bfloat16" and device != "cpu")


def _descend(optimizer: Adam, network: torch.nn.Module, loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    optimizer.step()


def _write_results(checkpoint: FitCheckpoint, pairs: Pairs, work: Path) -> dict[str, Any]:
    before = figures(pairs, partial(without_network, scale=checkpoint.network.scale))
    after = Figures(checkpoint.history[-1][2], tuple(checkpoint.history[-1][3:]))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["step", "loss", "psnr", "psnr_before", *(f"octave_{number + 1}" for number in range(OCTAVES))])
    for step, loss, value, *octaves in checkpoint.history:
        octaves_text = [f"{octave:.3f}" for octave in octaves]
        rows.writerow([step, f"{loss:.6f}", f"{value:.4f}", f"{before.psnr:.4f}", *octaves_text])
    atomic.write_bytes(work / HISTORY, text.getvalue().encode())
    write_sheet(work / SHEET, pairs[:SHEET_ROWS], checkpoint.average)
    return {
        "psnr_before": before.psnr,
        "psnr_after": after.psnr,
        "psnr_gain": after.psnr - before.psnr,
        "octaves_before": [round(octave, 3) for octave in before.octaves],
        "octaves_after": [round(octave, 3) for octave in after.octaves],
    }
