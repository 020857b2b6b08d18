import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.params import EmaHalfLife, LearningRates, ScheduleOptions
from training import schedule

OPTIONS = ScheduleOptions(
    initial_resolution=4,
    train_kimg=2.0,
    fade_kimg=1.0,
    minibatch=16,
    minibatch_at={16: 10, 32: 8},
    devices=1,
    max_minibatch_per_device_at={32: 4},
    learning_rate=0.001,
    learning_rate_at={32: 0.0015},
    discriminator_rates=None,
    rampup_kimg=0.0,
    reset_optimizers=True,
    tick_kimg=1.0,
    tick_kimg_at={8: 0.5},
    discriminator_repeats=1,
    joint_steps=False,
    minibatch_repeats=4,
    total_kimg=12.0,
)


def _options(**changes: float | dict[int, int]) -> ScheduleOptions:
    return OPTIONS.model_copy(update=changes)


@pytest.mark.parametrize(
    ("images", "lod", "resolution"),
    [
        (0, 3.0, 4), (2000, 3.0, 4), (2001, 2.999, 8), (2500, 2.5, 8), (3000, 2.0, 8), (5000, 2.0, 8),
        (5500, 1.5, 16), (8500, 0.5, 32), (9000, 0.0, 32), (10**9, 0.0, 32),
    ],
)  # fmt: skip
def test_growth(images: int, lod: float, resolution: int) -> None:
    step = schedule.at(OPTIONS, 32, images)
    assert step.lod == pytest.approx(lod, abs=1e-12)
    assert step.resolution == resolution


@given(
    images=st.integers(0, 20_000),
    more=st.integers(0, 5_000),
    levels=st.integers(0, 8),
    first=st.sampled_from([4, 8, 16]),
)
def test_resolution_never_shrinks_and_follows_from_lod(images: int, more: int, levels: int, first: int) -> None:
    options, resolution = _options(initial_resolution=first), first << levels
    before, after = (schedule.at(options, resolution, shown) for shown in (images, images + more))
    assert levels >= before.lod >= after.lod >= 0
    assert first <= before.resolution <= after.resolution <= resolution
    assert resolution / 2**before.lod <= before.resolution < 2 * resolution / 2**before.lod


def test_tables_go_by_the_current_resolution() -> None:
    at_8, at_16, at_32 = (schedule.at(OPTIONS, 32, images) for images in (2500, 5500, 9000))
    assert (at_8.minibatch, at_8.learning_rate, at_8.tick_kimg) == (16, 0.001, 0.5)
    assert (at_16.minibatch, at_16.learning_rate, at_16.tick_kimg) == (10, 0.001, 1.0)
    assert (at_32.minibatch, at_32.learning_rate, at_32.tick_kimg) == (4, 0.0015, 1.0)


@given(minibatch=st.integers(8, 600), devices=st.integers(1, 8), limit=st.integers(1, 64))
def test_devices_share_a_minibatch_evenly_and_within_their_limit(minibatch: int, devices: int, limit: int) -> None:
    options = _options(minibatch=minibatch, devices=devices, max_minibatch_per_device_at={4: limit})
    shared = schedule.at(options, 32, 0).minibatch
    assert shared % devices == 0
    assert shared <= minibatch
    assert shared // devices <= limit
    assert shared // devices == limit or minibatch - shared < devices


@pytest.mark.parametrize(
    ("previous", "lod", "expected"),
    [
        (None, 3.0, True), (3.0, 3.0, False), (3.0, 2.999, True), (2.999, 2.1, False), (2.1, 2.0, True),
        (2.1, 1.9, True), (2.0, 1.0, True), (0.0, 0.0, False),
    ],
)  # fmt: skip
def test_optimisers_reset_where_a_fade_begins_or_ends(previous: float | None, lod: float, expected: bool) -> None:
    assert schedule.resets(previous, lod) == expected


def test_d_has_learning_rates_of_its_own_where_they_are_set() -> None:
    assert schedule.at(OPTIONS, 32, 0).discriminator_learning_rate is None
    rates = LearningRates(learning_rate=0.004, learning_rate_at={8: 0.003})
    options = OPTIONS.model_copy(update={"discriminator_rates": rates, "rampup_kimg": 4.0})
    for images, of_g, of_d in ((2500, 0.001, 0.003), (9000, 0.0015, 0.004)):
        step, rampup = schedule.at(options, 32, images), math.exp(-5 * max(1 - images / 4000, 0) ** 2)
        assert (step.learning_rate, step.discriminator_learning_rate) == pytest.approx((rampup * of_g, rampup * of_d))


def test_a_half_life_in_kimg_does_not_depend_on_the_minibatch() -> None:
    assert schedule.ema_decay(0.999, 4) == schedule.ema_decay(0.999, 64) == 0.999
    for minibatch in (4, 64):
        assert schedule.ema_decay(EmaHalfLife(half_life_kimg=10.0), minibatch) ** (10_000 / minibatch) == pytest.approx(
            0.5
        )


def test_the_learning_rate_rises_to_its_value_and_stays() -> None:
    options = _options(rampup_kimg=2.0)
    rates = [schedule.at(options, 32, images).learning_rate for images in (0, 1000, 1999, 2000, 9000)]
    assert rates == pytest.approx([0.001 * math.exp(-5), 0.001 * math.exp(-1.25), 0.001, 0.001, 0.0015], rel=1e-5)
    assert rates[2] < rates[3]


@pytest.mark.parametrize(("train_kimg", "fade_kimg", "lods"), [(2.0, 0.0, [3, 3, 2, 2]), (0.0, 2.0, [3, 2.5, 2, 1.5])])
def test_either_part_of_a_phase_may_be_absent(train_kimg: float, fade_kimg: float, lods: list[float]) -> None:
    options = _options(train_kimg=train_kimg, fade_kimg=fade_kimg)
    assert [schedule.at(options, 32, images).lod for images in (0, 1000, 2000, 3000)] == lods


def test_phases_are_those_of_the_loop() -> None:
    found = schedule.phases(_options(discriminator_repeats=2, total_kimg=9.5), 32)
    assert [(phase.first.resolution, phase.fades) for phase in found] == [
        (4, False), (8, True), (8, False), (16, True), (16, False), (32, True), (32, False),
    ]  # fmt: skip
    assert [phase.start for phase in found] == [0, *(phase.end for phase in found[:-1])]
    assert found[-1].end >= 9500 > found[-1].end - 4 * 2 * found[-1].first.minibatch
    for phase in found:
        assert phase.end - phase.start == phase.steps * 2 * phase.first.minibatch


@pytest.mark.parametrize(("first", "lod"), [(32, 0.0), (8, 2.0)])
def test_networks_do_not_grow_where_phases_have_no_length(first: int, lod: float) -> None:
    """As the original computes its phase: 0 where both lengths are 0 (its configuration without growing)."""
    changes = {"train_kimg": 0.0, "fade_kimg": 0.0, "initial_resolution": first}
    options = ScheduleOptions.model_validate({**OPTIONS.model_dump(), **changes})
    steps = [schedule.at(options, 32, images) for images in (0, 1, 5000, 12_000)]
    assert [(step.lod, step.resolution) for step in steps] == [(lod, first)] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joint_steps": True, "discriminator_repeats": 5}, "discriminator_repeats is 5 but joint_steps"),
    ],
)
def test_impossible_schedules_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScheduleOptions.model_validate({**OPTIONS.model_dump(), **changes})


def test_a_tick_ends_at_its_length_and_with_the_run() -> None:
    step = schedule.at(OPTIONS, 32, 2500)
    ends = [schedule.tick_ends(OPTIONS, step, tick_start=2500, images=images) for images in (2999, 3000, 12_000)]
    assert ends == [False, True, True]
    assert schedule.tick_ends(OPTIONS, step, tick_start=11_999, images=12_000)
    assert [schedule.run_ends(OPTIONS, images) for images in (11_999, 12_000)] == [False, True]


def test_tables_are_read_from_a_params_file_by_number() -> None:
    written = json.dumps(OPTIONS.model_dump(mode="json"))
    assert ScheduleOptions.model_validate_json(written) == OPTIONS
