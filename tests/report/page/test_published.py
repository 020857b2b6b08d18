"""Figures of the paper stand next to ours only where data set, resolution and protocol are the paper's."""

from statistics import fmean

import pytest

from pipeline.report.page import published
from stages import load_yaml, profiles

PROTOCOL = published.SWD_PROTOCOL | {"msssim_pairs": 10000}


def test_each_profile_of_the_ladder_is_its_row_of_table_1() -> None:
    known: dict[str, str] = {}
    for letter in published.LADDER["celeba"]:
        params = load_yaml(profiles.content_of(f"celeba-128-{letter.replace('*', '-star')}", known=known))
        (run,) = params["train"]["runs"].values()
        assert published.configuration(run) == letter
        figures = published.figures("celeba-128", 128, run, params["evaluate"])
        found = {figure.name: figure.value for figure in figures}
        assert found["swd16k_mean"] == published.LADDER["celeba"][letter][4]
        assert found["msssim10k"] == published.LADDER["celeba"][letter][5]


def test_every_mean_of_the_paper_is_that_of_its_levels() -> None:
    for rows in published.LADDER.values():
        for *levels, mean, _ in rows.values():
            assert fmean(levels) == pytest.approx(mean, abs=0.0101)
    assert fmean(published.CELEBAHQ_SWD.values()) == pytest.approx(published.CELEBAHQ_MEAN, abs=0.0101)


@pytest.mark.parametrize(
    ("kind", "resolution", "change", "expected"),
    [
        ("celebahq", 1024, {}, {"swd16k_mean": 5.44, "fid50k": 7.30}),
        ("celebahq", 1024, {"swd_images": 1024}, {"fid50k": 7.30}),
        ("celebahq", 512, {}, {}),
        ("synthetic", 1024, {}, {}),
        ("lsun/cat", 256, {}, {"fid50k": 37.52}),
        ("synthetic scenes", 256, {}, {}),
        ("cifar10", 32, {}, {"is50k": 8.80}),
    ],
)
def test_another_data_set_or_protocol_has_no_published_figure(
    kind: str, resolution: int, change: dict[str, int], expected: dict[str, float]
) -> None:
    found = {figure.name: figure.value for figure in published.figures(kind, resolution, {}, PROTOCOL | change)}
    assert {name: found.get(name) for name in expected} == expected
    assert bool(found) == bool(expected)


def test_the_reason_names_the_value_that_differs() -> None:
    assert "evaluate.swd_images 256 (the paper: 16384)" in published.why_none(["swd256_mean"], {"swd_images": 256})


def test_modes_are_compared_by_the_share_of_the_discriminator() -> None:
    run = {"networks": {"discriminator_fmap_scale": 0.25}}
    found = {figure.name: figure.value for figure in published.figures("mnist-rgb", 32, run, PROTOCOL)}
    assert found == {"modes25600": 860, "modes25600_kl": 1.05}
