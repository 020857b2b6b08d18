"""Golden vectors of the metrics. What the smaller golden set leaves out is passed over."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.shards.pyramid import pyramid as averaged_down
from tests.training.pggan import Case
from tests.training.pggan_compare import Compared, compare
from training.metrics import msssim_gpu
from training.metrics.compute import ONE_THREAD, Compute
from training.metrics.features import frechet_distance, inception_score
from training.metrics.msssim import msssim, msssim_of_pairs, ssim
from training.metrics.swd import PatchSet, collect, distance, draw_directions, level_sides, sliced_wasserstein
from training.metrics.swd_patches import LENGTH, DescriptorFile, cut, laplacian_pyramid

Images = NDArray[np.uint8]


def swd(case: Case) -> Iterator[Compared]:
    about = case.about
    sides = level_sides(about["resolution"])
    assert len(sides) == about["levels"]
    assert about["nhood_size"] == 7
    yield from _images_averaged_down(case)
    with tempfile.TemporaryDirectory() as folder:
        yield from _pyramid_and_patches(case, sides)
        yield from _stored_directions(case, sides, Path(folder))
        yield from _distances(case, Path(folder))
        yield from _protocol(case, Path(folder))


def _images_averaged_down(case: Case) -> Iterator[Compared]:
    levels = averaged_down(case.arrays["images_a"])
    for name, theirs in case.below("downscale_minibatch/lod").items():
        yield compare(f"averaged down {name} times", levels[int(name)], theirs, allowed=0.0)


def _pyramid_and_patches(case: Case, sides: tuple[int, ...]) -> Iterator[Compared]:
    pyramids = [laplacian_pyramid(_wide(image_CHW), len(sides)) for image_CHW in case.arrays["images_a"]]
    if "reconstructed_a" in case.arrays:
        rebuilt = [reconstruct(parts).transpose(2, 0, 1) for parts in pyramids]
        yield compare("rebuilt images", rebuilt, case.arrays["reconstructed_a"], allowed=1e-6)
    for level in range(len(sides)):
        if f"pyramid_a/level{level}" in case.arrays:
            ours = [parts[level].transpose(2, 0, 1) for parts in pyramids]
            yield compare(f"pyramid level {level}", ours, case.arrays[f"pyramid_a/level{level}"], allowed=1e-6)
        if f"descriptors_a/level{level}" in case.arrays:
            patches = _cut_at(case, "a", level)
            yield compare(
                f"patches of level {level}", patches, case.arrays[f"descriptors_a/level{level}"], allowed=1e-6
            )


def reconstruct(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The image of a Laplacian pyramid."""
    image_HWC = parts[-1]
    for detail_HWC in reversed(parts[:-1]):
        image_HWC = detail_HWC + np.asarray(cv2.pyrUp(image_HWC), np.float32)
    return image_HWC


def _cut_at(case: Case, name: str, level: int) -> NDArray[np.float32]:
    """The patches of one level at the stored places."""
    images = case.arrays[f"images_{name}"]
    places = case.arrays[f"coords_{name}/level{level}"].astype(np.int64).reshape(len(images), -1, 2)
    levels = [laplacian_pyramid(_wide(image_CHW), case.about["levels"])[level] for image_CHW in images]
    return np.concatenate([cut(level_HWC, own) for level_HWC, own in zip(levels, places, strict=True)])


def _wide(image_CHW: Images) -> NDArray[np.float32]:
    return image_CHW.transpose(1, 2, 0).astype(np.float32)


def _stored_directions(case: Case, sides: tuple[int, ...], folder: Path) -> Iterator[Compared]:
    for level in range(len(sides)):
        if f"directions/level{level}" not in case.arrays or f"coords_b/level{level}" not in case.arrays:
            continue
        files = {name: DescriptorFile(folder / f"{name}{level}.f32") for name in "ab"}
        for name, file in files.items():
            file.append(_cut_at(case, name, level))
            file.normalise()
        raw_RLD = case.arrays[f"directions/level{level}"]
        unit_RLD = raw_RLD / np.linalg.norm(raw_RLD, axis=1, keepdims=True)
        directions_DL = np.ascontiguousarray(unit_RLD.transpose(0, 2, 1).reshape(-1, LENGTH))
        theirs = case.about["values"][f"swd_level{level}_from_stored_directions"]
        yield compare(
            f"distance of level {level}, stored directions", distance(*files.values(), directions_DL), theirs,
            allowed=1e-6,
        )  # fmt: skip


def _distances(case: Case, folder: Path) -> Iterator[Compared]:
    """From images and a seed to distances, with every draw in the original's order."""
    about = case.about
    rng, for_gpu = (np.random.RandomState(about["numpy_seed"]) for _ in range(2))
    patches_per_image, gpu = about["nhoods_per_image"], Compute()
    gpu.on_gpu = True
    sets, gpu_sets = (
        [
            _patch_set(case, folder / f"{form}_{name}", [case.arrays[f"images_{name}"]], patches_per_image, draws, use)
            for name in "ab"
        ]
        for form, draws, use in (("set", rng, ONE_THREAD), ("gpu", for_gpu, gpu))
    )
    if "finalized_a/level0" in case.arrays:
        finest = next(iter(sets[0].levels.values()))
        theirs = case.arrays["finalized_a/level0"]
        yield compare("normalised patches", np.concatenate(list(finest.blocks())), theirs, allowed=1e-6)
    state = rng.get_state()
    repeats, count = about["dir_repeats"], about["dirs_per_repeat"]
    for level in range(about["levels"]):
        drawn_DL = draw_directions(rng, repeats, count)
        if f"directions/level{level}" in case.arrays:
            raw_RLD = case.arrays[f"directions/level{level}"]
            unit_RLD = raw_RLD / np.linalg.norm(raw_RLD, axis=1, keepdims=True)
            theirs = unit_RLD.transpose(0, 2, 1).reshape(-1, LENGTH)
            yield compare(f"directions of level {level}", drawn_DL, theirs, allowed=1e-6)
    rng.set_state(state)
    levels = sliced_wasserstein(*sets, repeats=repeats, directions=count, rng=rng)
    for level, value in enumerate(levels.values()):
        theirs = 1000 * about["values"][f"swd_level{level}"]
        yield compare(f"distance of level {level}", value, theirs, allowed=1e-6)
    levels = sliced_wasserstein(*gpu_sets, repeats=repeats, directions=count, rng=for_gpu, compute=gpu)
    for level, value in enumerate(levels.values()):
        theirs = 1000 * about["values"][f"swd_level{level}"]
        yield compare(f"GPU form, distance of level {level}", value, theirs, allowed=1e-6)


def _protocol(case: Case, folder: Path) -> Iterator[Compared]:
    """The full metric, fed minibatch by minibatch: reals first, then fakes."""
    api = case.about["api"]
    rng = np.random.RandomState(api["numpy_seed"])
    reals: PatchSet | None = None
    for mode, images in (("reals", case.arrays["images_a"]), ("fakes", case.arrays["images_b"])):
        fed = _patch_set(case, folder / mode, [images, images[::-1]], 128, rng)
        reals = reals or fed
        levels = sliced_wasserstein(reals, fed, repeats=4, directions=128, rng=rng)
        figures = [*levels.values(), sum(levels.values()) / len(levels)]
        yield compare(f"the metric's {mode}", figures, api[mode], allowed=1e-6)


def _patch_set(
    case: Case,
    folder: Path,
    batches: list[Images],
    patches_per_image: int,
    rng: np.random.RandomState,
    compute: Compute = ONE_THREAD,
) -> PatchSet:
    return collect(batches, PatchSet(folder, case.about["resolution"], patches_per_image, rng, compute))


def ms_ssim(case: Case) -> Iterator[Compared]:
    values = case.about["values"]
    for name in sorted(name for name in case.arrays if name.startswith("a_")):
        size = int(name.removeprefix("a_"))
        pairs = list(zip(case.arrays[f"a_{size}"], case.arrays[f"b_{size}"], strict=True))
        each = [msssim(*pair) for pair in pairs]
        yield compare(f"pairs of {size}", each, values[f"msssim_{size}_each"], allowed=1e-5)
        neighbours = np.concatenate([np.stack(pair) for pair in pairs])
        for form, fast in (("fast", msssim_of_pairs), ("GPU", msssim_gpu.msssim_of_pairs)):
            found = fast(neighbours, ONE_THREAD)
            yield compare(f"{form} form, pairs of {size}", found, values[f"msssim_{size}_each"], allowed=1e-5)
        wide = [tuple(_wide(image_CHW).astype(np.float64) for image_CHW in pair) for pair in pairs]
        scales = np.transpose([ssim(*pair) for pair in wide])
        for part, ours in zip(("ssim", "cs"), scales, strict=True):
            # the original sums in float32
            yield compare(f"{part} of {size}", ours, values[f"{part}_level0_{size}"], allowed=3e-5)
        for what, ours in (
            (f"msssim_{size}", np.mean(each)),
            (f"msssim_self_{size}", np.mean([msssim(a, a) for a, _ in pairs])),
            (f"msssim_vs_inverted_{size}", np.mean([msssim(a, 255 - a) for a, _ in pairs])),
            (f"api_interleaved_{size}", np.mean(msssim_of_pairs(neighbours))),
        ):
            if what in values:
                yield compare(what, ours, values[what], allowed=1e-5)


def fid_is(case: Case) -> Iterator[Compared]:
    values = case.about["values"]
    for name in sorted({name.partition("/")[0] for name in case.arrays}):
        if name.startswith("is_"):
            mean, deviation = inception_score(case.arrays[f"{name}/probs"], case.about["splits"])
            yield compare(f"{name}: mean", mean, values[f"{name}_mean"], allowed=1e-5)
            # a difference of scores near 1, which the original computes in float32
            yield compare(f"{name}: deviation", deviation, values[f"{name}_std"], allowed=1e-4)
        else:
            real_NF, fake_NF = case.arrays[f"{name}/real"], case.arrays[f"{name}/fake"]
            yield compare(name, frechet_distance(real_NF, fake_NF), values[name], allowed=1e-5)
            scale = float(np.trace(np.cov(real_NF.astype(np.float64), rowvar=False)))
            itself = abs(frechet_distance(real_NF, real_NF) - values[f"{name}_self"]) / scale
            yield Compared(f"{name}: distance to itself, in its variance", itself, 1e-6)
