"""Golden vectors of losses, their gradients, the optimiser, and whole training steps."""

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.training.pggan import Case, discriminator, generator, loss_options, optimizer_options
from tests.training.pggan_compare import Compared, compare, compare_gradients
from tests.training.small import make_run
from training import schedule
from training.data.device_loader import process_reals
from training.distributed.process_group import SINGLE_PROCESS
from training.interop.tf_variables import to_original
from training.losses import DiscriminatorBatch, GeneratorBatch, discriminator_loss, generator_loss
from training.networks import Discriminator, Generator
from training.networks.progressive import FadeLod
from training.optim.adam import Adam
from training.train_step import OptimizedNetwork, TrainStep

FLOAT, DOUBLE = torch.float32, torch.float64
CPU = torch.device("cpu")


def losses(case: Case) -> Iterator[Compared]:
    single, double = loss_values(case, FLOAT), loss_values(case, DOUBLE)
    assert single.keys() == double.keys()
    for name, value in single.items():
        noise = case.noise(name.partition("/")[0])
        if name.startswith("grad_"):
            yield compare_gradients(name, value, double[name], case.arrays[name], allowed=1e-4, noise=noise)
        elif name == "mixed_norms" or name.startswith("D_loss"):
            yield compare_gradients(name, value, double[name], case.reference(name), allowed=1e-5, noise=noise)
        else:
            yield compare(name, value, case.reference(name), allowed=1e-5, noise=noise)


def loss_values(case: Case, dtype: torch.dtype) -> dict[str, NDArray[Any]]:
    about, lod = case.about, case.about["lod"]
    g = generator(about["G_kwargs"], case.below("G/")).to(dtype)
    d = discriminator(about["D_kwargs"], case.below("D/")).to(dtype)
    d_loss, values = loss_of_d(case, g, d, "", lod)
    g_loss = loss_of_g(case, g, d, "", lod)
    values["G_loss_mean"] = g_loss.detach().numpy()
    if about["gradients"]:
        values |= gradients(g_loss, g, "grad_G/") | gradients(d_loss, d, "grad_D/")
    return values


def loss_of_d(
    case: Case, g: Generator, d: Discriminator, prefix: str, lod: float
) -> tuple[torch.Tensor, dict[str, NDArray[Any]]]:
    """The discriminator's loss from the stored draws, and what it consists of by the names of the vectors."""
    dtype = next(d.parameters()).dtype
    batch = discriminator_batch(case, prefix, lod, dtype)
    loss, terms = discriminator_loss(loss_options(case.about, "D"), g, d, batch, lod)
    values = {
        "D_loss_mean": loss.detach(),
        "D_loss": terms["loss/discriminator"],
        "real_scores": terms["score/real"],
        "fake_scores": terms["score/fake"],
        "mixed_scores": terms["score/interpolated"],
        "mixed_norms": terms["gradient_norm"],
        "label_penalty_reals": terms.get("loss/labels_real"),
        "label_penalty_fakes": terms.get("loss/labels_fake"),
    }
    return loss, {name: value.numpy() for name, value in values.items() if value is not None}


def loss_of_g(case: Case, g: Generator, d: Discriminator, prefix: str, lod: float) -> torch.Tensor:
    batch = generator_batch(case, prefix, next(d.parameters()).dtype)
    loss, terms = generator_loss(loss_options(case.about, "G"), g, d, batch, lod)
    assert torch.equal(terms["loss/generator"].mean(), loss.detach())
    return loss


def discriminator_batch(case: Case, prefix: str, lod: float, dtype: torch.dtype) -> DiscriminatorBatch:
    """The stored draws of the discriminator."""
    return DiscriminatorBatch(
        reals_NCHW=process_reals(case.tensor(f"{prefix}reals_uint8"), None, lod).to(dtype),
        labels_NC=case.labels(f"{prefix}real_labels", dtype),
        latents_NL=case.tensor(f"{prefix}D_latents").to(dtype),
        interpolation_weights_N=case.tensor(f"{prefix}mixing_factors").to(dtype),
    )


def generator_batch(case: Case, prefix: str, dtype: torch.dtype) -> GeneratorBatch:
    """The stored draws of the generator."""
    return GeneratorBatch(case.tensor(f"{prefix}G_latents").to(dtype), case.labels(f"{prefix}G_labels", dtype))


def gradients(loss: torch.Tensor, network: torch.nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
    """Gradients in the layouts of the original; zero for layers that are inactive."""
    parameters = list(network.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    holder = copy.deepcopy(network)
    with torch.no_grad():
        for parameter, gradient in zip(holder.parameters(), found, strict=True):
            parameter.copy_(gradient)
    return {prefix + name: value for name, value in to_original(holder).items()}


def adam(case: Case) -> Iterator[Compared]:
    about = case.about
    names = sorted(name.removeprefix("init_") for name in case.arrays if name.startswith("init_"))
    parameters = [case.tensor(f"init_{name}").clone() for name in names]
    optimizer = Adam(parameters, optimizer_options(about["adam"]))
    steps = list(zip(*(case.tensor(f"grads_{name}") for name in names), strict=True))
    for number, step_gradients in enumerate(steps, start=1):
        if number == about["optimizer_reset_before_step"]:
            optimizer.reset()
        taken = optimizer.step(step_gradients, about["adam"]["learning_rate"])
        assert taken == all(gradient.isfinite().all() for gradient in step_gradients)
        assert taken == (number != about["step_with_non_finite_gradient"])
        for name, parameter in zip(names, parameters, strict=True):
            yield compare(
                f"{name} after {number}", parameter, case.arrays[f"values_{name}"][number - 1], allowed=5e-7
            )  # 4 float32 epsilons
    assert optimizer.skipped == (about["step_with_non_finite_gradient"] in range(1, len(steps) + 1))


def trajectory(case: Case) -> Iterator[Compared]:
    yield from steps_of(case, DOUBLE)
    yield from steps_of(case, FLOAT)


def steps_of(case: Case, dtype: torch.dtype) -> Iterator[Compared]:
    about, previous_lod = case.about, None
    g = generator(about["G_kwargs"], case.below("init/G/")).to(dtype)
    d = discriminator(about["D_kwargs"], case.below("init/D/")).to(dtype)
    average = copy.deepcopy(g)
    assert loss_options(about, "G") == loss_options(about, "D")
    run = make_run(
        Path("unread"),
        loss=loss_options(about, "D").model_dump(),
        optimizer=optimizer_options(about["adam"]).model_dump(),
        ema_decay=about["Gs_beta"],
    )
    optimized_g, optimized_d = OptimizedNetwork(g, run, CPU), OptimizedNetwork(d, run, CPU)
    train_step = TrainStep(run, optimized_g, optimized_d, average, SINGLE_PROCESS)
    for step in about["steps"]:
        number, lod, rate = step["step"], step["lod"], torch.tensor(step["lr"], dtype=DOUBLE)
        assert schedule.resets(previous_lod, lod) == step["optimizer_reset_before"]
        if schedule.resets(previous_lod, lod):
            optimized_g.optimizer.reset()
            optimized_d.optimizer.reset()
        previous_lod = lod
        level = math.floor(lod)
        device_lod = FadeLod(level, torch.tensor(lod - level, dtype=dtype)) if lod > level else float(level)
        d_loss, values = loss_of_d(case, g, d, f"step{number}/", lod)
        grads = gradients(d_loss, d, "grad_D/") if number == 1 else {}
        d_batch = discriminator_batch(case, f"step{number}/", lod, dtype)
        figures = train_step.update_discriminator([d_batch], device_lod, rate)
        yield compare(f"step{number}: reported loss", figures["loss/discriminator"], d_loss.detach(), allowed=1e-6)
        g_loss = loss_of_g(case, g, d, f"step{number}/", lod)
        grads |= gradients(g_loss, g, "grad_G/") if number == 1 else {}
        train_step.update_generator([generator_batch(case, f"step{number}/", dtype)], device_lod, rate)
        values["G_loss_mean"] = g_loss.detach().numpy()
        yield from compare_step(case, number, values, grads, dtype)
        for name, network in (("G", g), ("D", d), ("Gs", average)):
            yield from compare_weights(case, f"after{number}/{name}", network, dtype)


def compare_step(
    case: Case, number: int, values: Mapping[str, Any], grads: Mapping[str, Any], dtype: torch.dtype
) -> Iterator[Compared]:
    recorded = [name for name in values if f"step{number}/{name}" in case.arrays]
    assert len(recorded) >= 5
    for name in recorded:
        full, loose = f"step{number}/{name}", 5e-2 if name == "mixed_norms" else 1e-2
        allowed = 1e-5 if dtype == DOUBLE else loose
        yield compare(f"{full} ({dtype})", values[name], case.arrays[full], allowed=allowed, noise=case.noise(full))
    if dtype == DOUBLE:
        stored = {name: value for name, value in grads.items() if f"step{number}/{name}" in case.arrays}
        for name, value in stored.items():
            full, noise = f"step{number}/{name}", case.noise(f"step{number}/{name.partition('/')[0]}")
            yield compare(full, value, case.arrays[full], allowed=1e-4, noise=noise)


def compare_weights(case: Case, name: str, network: torch.nn.Module, dtype: torch.dtype) -> Iterator[Compared]:
    theirs = case.below(f"{name}/")
    if not theirs:
        return
    ours = to_original(network)
    assert ours.keys() == theirs.keys()
    if dtype == DOUBLE:
        for variable, value in theirs.items():
            largest = float(np.abs(value).max())
            allowed = 1e-5 / largest
            yield compare(f"{name}/{variable}", ours[variable], value, allowed=allowed, noise=case.noise(name))
        return
    start = case.below(f"init/{name.partition('/')[2].removesuffix('s')}/")
    travelled = np.concatenate([(theirs[key] - start[key]).ravel() for key in theirs])
    apart = np.concatenate([(theirs[key] - ours[key]).ravel() for key in theirs])
    way = float(np.linalg.norm(travelled))
    if way == 0:
        yield Compared(f"{name}: still as it was", float(np.abs(apart).max()), 0.0)
    else:
        yield Compared(f"{name}: distance, in the way travelled", float(np.linalg.norm(apart)) / way, 0.2)
