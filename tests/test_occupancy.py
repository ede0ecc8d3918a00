"""The timetable of the zones: the cache never tells otherwise than the calendar, and clocks may change."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.calendar import next_occupied, occupied
from controller.occupancy import Occupancy
from tests.town_hall import town_hall_site

SITE = town_hall_site()
ZONES = {zone.id: zone for zone in SITE.buildings[0].zones}
QUARTER = timedelta(minutes=15)
SPRING, AUTUMN = datetime(2023, 3, 26, 1, tzinfo=UTC), datetime(2023, 10, 29, 1, tzinfo=UTC)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(ZONES)),
    st.sampled_from([datetime(2023, 2, 6, tzinfo=UTC), SPRING, AUTUMN, datetime(2023, 12, 24, tzinfo=UTC)]),
    st.lists(st.integers(-3 * 1440, 3 * 1440), min_size=1, max_size=30),
)
def test_answers_are_the_calendars_in_whatever_order_they_are_asked(
    zone: str, around: datetime, minutes: list[int]
) -> None:
    table = Occupancy(SITE)
    for minute in minutes:
        when = around + timedelta(minutes=minute)
        spec = ZONES[zone]
        assert table.occupied(zone, when) == occupied(spec, when, SITE.timezone, SITE.calendar)
        assert table.next_start(zone, when) == next_occupied(spec, when, SITE.timezone, SITE.calendar)


def test_the_day_begins_by_the_local_clock_on_both_sides_of_a_change() -> None:
    table = Occupancy(SITE)
    friday, monday = SPRING - timedelta(days=2), SPRING + timedelta(days=1)
    assert table.next_start("hall", friday.replace(hour=0)) == friday.replace(hour=8)
    assert table.next_start("hall", monday.replace(hour=0)) == monday.replace(hour=7)
    assert table.local(monday.replace(hour=7)).hour == 8


def test_series_agree_with_instants() -> None:
    table, start = Occupancy(SITE), SPRING - timedelta(days=1)
    due = table.scheduled("hall", start, QUARTER, 3 * 96)
    people = table.people("hall", start, QUARTER, 3 * 96)
    instants = [table.occupied("hall", start + n * QUARTER) for n in range(3 * 96)]
    assert due.tolist() == instants
    assert ((people > 0) == due).all()
    assert due.sum() == 24 + 40  # Saturday 10 to 16, Monday 8 to 18


@pytest.mark.parametrize(("change", "steps_a_day"), [(SPRING, 92), (AUTUMN, 100)])
def test_steps_of_the_local_day_follow_the_local_clock_over_a_change(change: datetime, steps_a_day: int) -> None:
    table = Occupancy(SITE)
    start = change - timedelta(hours=30)
    found = table.local_steps(start, QUARTER, 240)
    local = [table.local(start + n * QUARTER) for n in range(240)]
    np.testing.assert_array_equal(found, [when.hour * 4 + when.minute // 15 for when in local])
    midnights = np.flatnonzero(found == 0)
    assert steps_a_day in np.diff(midnights)
    assert found.min() == 0
    assert found.max() == 95


def test_steps_without_a_change_are_the_same_by_the_short_way() -> None:
    table = Occupancy(SITE)
    start = datetime(2023, 7, 3, 22, 30, tzinfo=UTC)
    assert table.local_steps(start, QUARTER, 4).tolist() == [94, 95, 0, 1]
