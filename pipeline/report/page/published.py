"""The figures of the paper, and which of them stand for a run: the same data set, resolution, and protocol.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation, ICLR 2018.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAPER = "Karras et al., Progressive Growing of GANs (ICLR 2018)"
SWD, MSSSIM = "swd16k", "msssim10k"
SWD_PROTOCOL = {"swd_images": 16384, "swd_patches_per_image": 128, "swd_directions": 128, "swd_repeats": 4}
LADDER_LEVELS = (128, 64, 32, 16)

LADDER: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "celeba": {
        "a": (12.99, 7.79, 7.62, 8.73, 9.28, 0.2854),
        "b": (4.62, 2.64, 3.78, 6.06, 4.28, 0.2838),
        "c": (75.42, 41.33, 41.62, 26.57, 46.23, 0.4065),
        "d": (9.20, 6.53, 4.71, 11.84, 8.07, 0.3027),
        "e*": (10.76, 6.28, 6.04, 16.29, 9.84, 0.3057),
        "e": (13.94, 5.67, 2.82, 5.71, 7.04, 0.2950),
        "f": (4.42, 3.28, 2.32, 7.52, 4.39, 0.2902),
        "g": (4.06, 3.04, 2.02, 5.13, 3.56, 0.2845),
        "h": (2.42, 2.17, 2.24, 4.99, 2.96, 0.2828),
    },
    "bedroom": {
        "a": (11.97, 10.51, 8.03, 14.48, 11.25, 0.0587),
        "b": (7.09, 6.27, 7.40, 9.64, 7.60, 0.0615),
        "c": (72.73, 40.16, 42.75, 42.46, 49.52, 0.1061),
        "d": (7.39, 5.51, 3.65, 9.63, 6.54, 0.0662),
        "e*": (10.29, 6.22, 5.32, 11.88, 8.43, 0.0648),
        "e": (7.77, 5.23, 3.27, 9.64, 6.48, 0.0671),
        "f": (3.61, 3.32, 2.71, 6.44, 4.02, 0.0668),
        "g": (3.89, 3.05, 3.24, 5.87, 4.01, 0.0640),
        "h": (3.47, 2.60, 2.30, 4.87, 3.31, 0.0636),
    },
}
"""Table 1 by data set and configuration: SWD x 1,000 at 128, 64, 32 and 16 pixels, their mean, MS-SSIM."""

CELEBAHQ_SWD = {1024: 7.48, 512: 7.24, 256: 6.08, 128: 3.51, 64: 3.55, 32: 3.02, 16: 7.22}
CELEBAHQ_MEAN, CELEBAHQ_FID50K = 5.44, 7.30
LSUN_FID50K = {"bedroom": 8.34, "church_outdoor": 6.42, "churchoutdoor": 6.42, "cat": 37.52}
CIFAR10_SCORE = 8.80
MNIST_MODES: Mapping[float, tuple[float, float]] = {0.25: (860, 1.05), 0.5: (920, 0.82)}
"""By the discriminator's share of the generator's features: modes of 1,000, and their divergence from uniform."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure: the metric's name in our tables, its value, where it stands."""

    name: str
    value: float
    source: str


def figures(kind: str, resolution: int, run: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[Figure]:
    """The published figures to which those of a run may be compared; none where data set or protocol differ.

    `kind` is what the data set was made from: a kind of `download.source`, or `lsun/CATEGORY`; `run` the params of the
    run, `evaluation` those of its evaluation.
    """
    found: list[Figure] = []
    category = kind.removeprefix("lsun/") if kind.startswith("lsun/") else None
    if all(evaluation.get(key) == value for key, value in SWD_PROTOCOL.items()):
        if kind == "celebahq" and resolution == 1024:
            found += [Figure(f"{SWD}_{level}", value, f"{PAPER}, CelebA-HQ") for level, value in CELEBAHQ_SWD.items()]
            found.append(Figure(f"{SWD}_mean", CELEBAHQ_MEAN, f"{PAPER}, CelebA-HQ"))
        ladder = LADDER.get({"celeba-128": "celeba", "lsun/bedroom": "bedroom"}.get(kind, ""), {})
        row = ladder.get(configuration(run) or "", ()) if resolution == 128 else ()
        names = [*(f"{SWD}_{level}" for level in (*LADDER_LEVELS, "mean")), MSSSIM]
        source = f"{PAPER}, table 1 ({configuration(run)})"
        if row and evaluation.get("msssim_pairs") != 10000:
            names = names[:-1]
        found += [Figure(name, value, source) for name, value in zip(names, row, strict=False)]
    if kind == "celebahq" and resolution == 1024:
        found.append(Figure("fid50k", CELEBAHQ_FID50K, f"{PAPER}, CelebA-HQ"))
    if category in LSUN_FID50K and resolution == 256:
        found.append(Figure("fid50k", LSUN_FID50K[category], f"{PAPER}, LSUN"))
    if kind == "cifar10":
        found.append(Figure("is50k", CIFAR10_SCORE, f"{PAPER}, CIFAR-10, best run without labels"))
    modes = MNIST_MODES.get(run.get("networks", {}).get("discriminator_fmap_scale", 0))
    if kind == "mnist-rgb" and modes:
        source = f"{PAPER}, appendix E (progressive)"
        found += [Figure("modes25600", modes[0], source), Figure("modes25600_kl", modes[1], source)]
    return found


def configuration(run: Mapping[str, Any]) -> str | None:
    """The row of table 1 that a run's params describe, by what each row adds to the one before."""
    networks, schedule = run.get("networks", {}), run.get("schedule", {})
    if not networks or not schedule:
        return None
    if networks.get("use_batchnorm"):
        growing = schedule.get("initial_resolution") != run.get("resolution")
        return "a" if not growing else "b" if schedule.get("minibatch") == 64 else "c"
    for missing, without in (("use_wscale", "d"), ("use_pixelnorm", "f")):
        if not networks.get(missing):
            more = {"d": "e*" if networks.get("mbdisc_kernels") else "e" if networks.get("mbstd_group_size") else "d"}
            return more.get(without, without)
    return {2048: "g", 8192: "h"}.get(networks.get("fmap_base", 0))


def why_none(names: Sequence[str], evaluation: Mapping[str, Any]) -> str:
    """Why the figures of the paper are not set next to ours, as a sentence."""
    differing = [
        f"evaluate.{key} {evaluation.get(key)} (the paper: {value})"
        for key, value in SWD_PROTOCOL.items()
        if key in evaluation and evaluation[key] != value
    ]
    if differing and names:
        return f"The protocol is not that of the paper, whose figures are therefore not shown: {', '.join(differing)}."
    return "The paper has no figures for this data set at this resolution."
