"""The newest reading of each point, and when it may no longer be used."""

from datetime import timedelta

import pytest

from controller.state import State
from drivers.base import Flags, Quality, Reading
from tests.conftest import EPOCH
from tests.controlled import small_site

POINT, FAN = "b.hall.temperature", "b.ahu.fan_speed"
SITE = small_site(
    {
        "zones": [
            {"id": POINT, "role": "zone_temperature", "unit": "degC", "address": "ai,1", "max_age": "5 min"},
            {"id": FAN, "unit": "%", "address": "ao,1", "writable": True, "low": 0, "high": 100},
        ]
    }
)


def reading(second: float, value: float | None, quality: Quality = Quality.GOOD, *, late_s: float = 0.0) -> Reading:
    when = EPOCH + timedelta(seconds=second)
    return Reading(point=POINT, time=when, received=when + timedelta(seconds=late_s), value=value, quality=quality)


@pytest.fixture
def state() -> State:
    return State(SITE)


def test_nothing_is_known_at_first(state: State) -> None:
    assert state.value(POINT, EPOCH) is None
    assert state.last_value(POINT) is None
    assert state.age_s(POINT, EPOCH) is None
    assert state.reading(POINT) is None


def test_the_newest_counts_and_an_older_one_of_the_same_batch_does_not(state: State) -> None:
    state.update([reading(10, 21.0), reading(5, 19.0)])
    assert state.value(POINT, EPOCH + timedelta(seconds=10)) == 21.0


def test_a_value_is_given_out_until_its_age_and_no_longer(state: State) -> None:
    state.update([reading(0, 20.0)])
    assert state.value(POINT, EPOCH + timedelta(minutes=5)) == 20.0
    assert state.value(POINT, EPOCH + timedelta(minutes=5, microseconds=1)) is None
    assert state.last_value(POINT) == 20.0
    assert state.age_s(POINT, EPOCH + timedelta(minutes=7)) == 420.0


@pytest.mark.parametrize(
    ("quality", "value", "given_out"),
    [(Quality.GOOD, 20.0, 20.0), (Quality.SUSPECT, 20.0, 18.0), (Quality.STALE, 20.0, None), (Quality.BAD, None, None)],
)
def test_only_good_values_are_given_out(
    quality: Quality, value: float | None, given_out: float | None, state: State
) -> None:
    state.update([reading(0, 18.0), reading(1, value, quality)])
    assert state.value(POINT, EPOCH + timedelta(seconds=1)) == given_out


def test_silence_is_believed_even_of_a_device_whose_clock_is_ahead(state: State) -> None:
    state.update([reading(120, 20.0, late_s=-120)])
    assert state.age_s(POINT, EPOCH) == 0.0
    silent = Reading(
        point=POINT,
        time=EPOCH + timedelta(seconds=60),
        received=EPOCH + timedelta(seconds=60),
        value=None,
        quality=Quality.BAD,
        flags=Flags.NO_ANSWER,
    )
    state.update([silent])
    assert state.value(POINT, EPOCH + timedelta(seconds=60)) is None
    assert state.reading(POINT) is silent


def test_the_last_good_value_stands_for_a_suspect_one_until_it_is_too_old(state: State) -> None:
    state.update([reading(0, 20.0)])
    state.update([reading(60 * minute, 99.0, Quality.SUSPECT) for minute in range(1, 8)])
    assert state.value(POINT, EPOCH + timedelta(minutes=5)) == 20.0
    assert state.value(POINT, EPOCH + timedelta(minutes=6)) is None
    assert state.last_value(POINT) == 20.0
    newest = state.reading(POINT)
    assert newest is not None
    assert (newest.value, newest.quality) == (99.0, Quality.SUSPECT)
    state.update([reading(480, 21.0)])
    assert state.value(POINT, EPOCH + timedelta(minutes=8)) == 21.0


def test_nothing_stands_for_a_value_that_was_never_good(state: State) -> None:
    state.update([reading(0, None, Quality.BAD), reading(1, 99.0, Quality.SUSPECT)])
    assert state.value(POINT, EPOCH + timedelta(seconds=1)) is None
    assert state.last_value(POINT) is None


def test_an_overridden_output_is_given_out_as_it_is(state: State) -> None:
    held = Reading(point=FAN, time=EPOCH, received=EPOCH, value=80.0, quality=Quality.SUSPECT, flags=Flags.OVERRIDDEN)
    state.update([held])
    assert state.value(FAN, EPOCH) == 80.0


def test_a_point_that_is_polled_seldom_is_stale_after_three_polls() -> None:
    device = SITE.devices[0].model_copy(update={"poll": timedelta(minutes=10)})
    state = State(SITE.model_copy(update={"devices": (device,)}))
    state.update([reading(0, 20.0)])
    assert state.value(POINT, EPOCH + timedelta(minutes=30)) == 20.0
    assert state.quality(POINT, EPOCH + timedelta(minutes=30)) is Quality.GOOD
    assert state.value(POINT, EPOCH + timedelta(minutes=31)) is None
    assert state.quality(POINT, EPOCH + timedelta(minutes=31)) is Quality.STALE
