"""Quarter-hour means: what counts, what is missing, what is kept, and what the store gives back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.history import STEP, History
from controller.store.sqlite import SqliteStore
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock
from tests.conftest import EPOCH

NAN = float("nan")
POINTS = ["b.hall.temperature", "b.hall.people"]
TEMPERATURE, PEOPLE = POINTS


def reading(point: str, minute: float, value: float | None, quality: Quality = Quality.GOOD) -> Reading:
    when = EPOCH + timedelta(minutes=minute)
    return Reading(point=point, time=when, received=when, value=value, quality=quality)


def fed(history: History, *readings: Reading) -> History:
    for item in readings:
        history.add([item], item.time)
    return history


def test_a_step_holds_the_mean_of_what_was_heard_in_it() -> None:
    history = fed(History(POINTS), *(reading(TEMPERATURE, minute, 20.0 + minute) for minute in (0, 5, 10, 16)))
    assert len(history) == 1
    assert history.column(TEMPERATURE).tolist() == [25.0]
    assert history.end == EPOCH + STEP
    assert history.times_s().tolist() == [EPOCH.timestamp()]


def test_before_the_first_reading_there_is_nothing() -> None:
    history = History(POINTS)
    assert history.end is None
    assert len(history) == 0
    assert history.table(POINTS).shape == (0, 2)


def test_only_good_values_count() -> None:
    history = fed(
        History(POINTS),
        reading(TEMPERATURE, 0, 99.0, Quality.SUSPECT),
        reading(TEMPERATURE, 1, 99.0, Quality.STALE),
        reading(TEMPERATURE, 2, None, Quality.BAD),
        reading(TEMPERATURE, 3, 22.0),
        reading("b.hall.unknown", 4, 5.0),
    )
    history.close(EPOCH + STEP)
    assert history.column(TEMPERATURE).tolist() == [22.0]
    assert np.isnan(history.column("b.hall.unknown")).all()


def test_silence_is_unknown_but_what_speaks_on_change_keeps_its_value() -> None:
    history = fed(History(POINTS, held=[PEOPLE]), reading(PEOPLE, 1, 7.0), reading(TEMPERATURE, 1, 20.0))
    assert history.close(EPOCH + 4 * STEP)
    table = history.table(POINTS)
    np.testing.assert_array_equal(table, [[20.0, 7.0], [NAN, 7.0], [NAN, 7.0], [NAN, 7.0]])
    assert not history.close(EPOCH + 4 * STEP + timedelta(minutes=14))


def test_a_clock_that_goes_back_changes_nothing() -> None:
    history = fed(History(POINTS), reading(TEMPERATURE, 20, 20.0))
    assert not history.close(EPOCH)
    assert history.end == EPOCH + STEP


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 600), st.sampled_from(POINTS), st.floats(-50, 50)),
        min_size=1,
        max_size=80,
    )
)
def test_means_are_those_of_the_values_themselves(heard: list[tuple[float, str, float]]) -> None:
    heard = sorted(heard, key=lambda one: one[0])
    history = fed(History(POINTS, held=[PEOPLE]), *(reading(point, minute, value) for minute, point, value in heard))
    history.close(EPOCH + timedelta(minutes=615))
    first = int(heard[0][0] // 15)
    for point in POINTS:
        last = NAN
        for row, found in enumerate(history.column(point).tolist()):
            inside = [value for minute, name, value in heard if name == point and int(minute // 15) == first + row]
            expected = sum(inside) / len(inside) if inside else last if point == PEOPLE else NAN
            last = inside[-1] if inside else last
            assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_the_newest_steps_are_kept_whatever_the_gaps(keep: int, gaps: list[int]) -> None:
    history = History([TEMPERATURE], held=[TEMPERATURE], keep=keep * STEP)
    step, truth = 0, []
    for number, gap in enumerate(gaps):
        history.add([reading(TEMPERATURE, 15 * step, float(number))], EPOCH + step * STEP)
        truth += [float(number)] * gap
        step += gap
    history.close(EPOCH + step * STEP)
    assert history.column(TEMPERATURE).tolist() == truth[-keep:]
    assert history.column(TEMPERATURE, 3).tolist() == truth[-min(3, keep) :]
    assert history.times_s()[-1] == (EPOCH + (step - 1) * STEP).timestamp()


def test_a_copy_goes_on_by_itself() -> None:
    history = fed(History(POINTS), reading(TEMPERATURE, 0, 20.0), reading(TEMPERATURE, 15, 21.0))
    other = history.copy()
    fed(other, reading(TEMPERATURE, 30, 25.0))
    assert len(history) == 1
    assert other.column(TEMPERATURE).tolist() == [20.0, 21.0]


async def test_after_a_restart_it_is_what_it_was(clock: Clock, tmp_path: Path) -> None:
    heard = [reading(TEMPERATURE, minute, 20.0 + minute / 100) for minute in range(0, 300, 3)]
    heard += [reading(PEOPLE, 50, 4.0), reading(PEOPLE, 200, 0.0), reading(TEMPERATURE, 301, None, Quality.BAD)]
    heard.sort(key=lambda one: one.time)
    before = fed(History(POINTS, held=[PEOPLE]), *heard)
    now = EPOCH + timedelta(minutes=330)
    before.close(now)
    async with SqliteStore(tmp_path, clock=clock, synchronous="OFF") as store:
        await store.append(heard)
        after = History(POINTS, held=[PEOPLE])
        await after.load(store, now, timedelta(days=2))
        nothing = History(POINTS)
        await nothing.load(store, datetime(2022, 1, 1, tzinfo=UTC), timedelta(days=2))
    assert after.end == before.end
    np.testing.assert_allclose(after.table(POINTS), before.table(POINTS), equal_nan=True)
    fed(after, reading(TEMPERATURE, 331, 22.0))
    after.close(now + STEP)
    assert after.table(POINTS, 1).tolist() == [[22.0, 0.0]], "what it held is still known"
    assert len(nothing) == 0


def test_what_turned_out_to_be_nonsense_is_forgotten_of_its_point_alone() -> None:
    history = History(POINTS)
    for step in range(6):
        minute = 15 * step
        fed(history, reading(TEMPERATURE, minute, 20.0 + step), reading(PEOPLE, minute, 1.0))
    history.forget(TEMPERATURE, EPOCH + 3.4 * STEP)
    history.close(EPOCH + 6 * STEP)
    assert history.column(TEMPERATURE)[:3].tolist() == [20.0, 21.0, 22.0]
    assert np.isnan(history.column(TEMPERATURE)[3:]).all()
    assert history.column(PEOPLE).tolist() == [1.0] * 6
    history.forget(TEMPERATURE, EPOCH - 100 * STEP)
    assert np.isnan(history.column(TEMPERATURE)).all()
    history.forget("b.nobody.knows", EPOCH)


def test_what_came_late_or_out_of_order_is_not_of_this_quarter_hour() -> None:
    history = History(POINTS)
    late = replace(reading(TEMPERATURE, 5, 90.0), flags=Flags.LATE)
    fed(history, reading(TEMPERATURE, 4, 20.0), late, replace(late, flags=Flags.OUT_OF_ORDER | Flags.PUSHED))
    history.close(EPOCH + STEP)
    assert history.column(TEMPERATURE).tolist() == [20.0]
