"""Golden vectors of what happens around the networks: processing of reals, schedule."""

from collections.abc import Iterator
from typing import Any

from pipeline.params import LearningRates, ScheduleOptions
from tests.training.pggan import Case, at_full_resolution, schedule_options
from tests.training.pggan_compare import Compared, compare
from training import schedule
from training.data.device_loader import process_reals


def reals(case: Case) -> Iterator[Compared]:
    for lod in case.about["lods"]:
        ours = at_full_resolution(process_reals(case.tensor(f"in/lod_{lod:.2f}"), None, lod), lod)
        yield compare(f"lod {lod}", ours, case.arrays[f"out/lod_{lod:.2f}"], allowed=0.0)
    if "mirror/in" in case.arrays:
        lod, mirrored_N = float(case.arrays["mirror/lod"]), case.tensor("mirror/mask") >= 0.5
        ours = at_full_resolution(process_reals(case.tensor("mirror/in"), mirrored_N, lod), lod)
        yield compare("mirrored", ours, case.arrays["mirror/out"], allowed=0.0)


def schedules(case: Case) -> Iterator[Compared]:
    for name, about in case.about["tables"].items():
        resolution = about["dataset_resolution"]
        for_g, for_d = schedule_options(about, "G_lrate"), schedule_options(about, "D_lrate")
        rates_of_d = LearningRates(learning_rate=for_d.learning_rate, learning_rate_at=for_d.learning_rate_at)
        options = for_g.model_copy(update={"discriminator_rates": rates_of_d})
        rows = []
        for images in case.arrays[f"{name}/cur_nimg"].tolist():
            step = schedule.at(options, resolution, images)
            rate_of_d = step.discriminator_learning_rate
            rows.append([step.lod, step.resolution, step.minibatch, step.learning_rate, rate_of_d, step.tick_kimg])
        yield compare(f"{name}: table", rows, case.arrays[f"{name}/table"], allowed=0.0)
        resets, ticks, final = whole_run(for_g, resolution)
        yield compare(f"{name}: resets", resets, case.arrays[f"{name}/optimizer_resets"], allowed=0.0)
        yield compare(f"{name}: ticks", ticks[:20], case.arrays[f"{name}/ticks_first20"], allowed=0.0)
        yield compare(f"{name}: end", final, case.arrays[f"{name}/final"], allowed=0.0)


def whole_run(options: ScheduleOptions, resolution: int) -> tuple[list[Any], list[Any], tuple[int, int, int]]:
    """Optimiser resets, ticks, and (images, ticks, evaluations) at the end of a run."""
    images, tick_start, evaluations, previous_lod = 0, 0, 0, None
    resets, ticks = [], []
    while not schedule.run_ends(options, images):
        step = schedule.at(options, resolution, images)
        evaluations += 1
        if schedule.resets(previous_lod, step.lod):
            resets.append((images, step.lod, step.minibatch))
        previous_lod = step.lod
        images += options.minibatch_repeats * step.minibatch
        if schedule.tick_ends(options, step, tick_start=tick_start, images=images):
            ticks.append((images, step.lod))
            tick_start = images
    return resets, ticks, (images, len(ticks), evaluations)
