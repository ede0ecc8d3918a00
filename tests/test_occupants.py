"""Hours of the site file and real attendance."""

from datetime import UTC, datetime

import numpy as np

from site_sims.occupants import Occupants, Timetable
from site_sims.weather import minute_of
from tests.town_hall import town_hall_site

HALL, COUNCIL, OFFICE = 0, 1, 6


def occupants(seed: int = 1) -> Occupants:
    site = town_hall_site()
    return Occupants(Timetable(site.buildings[0], timezone=site.timezone, calendar=site.calendar), seed=seed)


def minute(*args: int) -> int:
    return minute_of(datetime(*args, tzinfo=UTC))  # type: ignore[misc, arg-type]  # year to minute


def test_scheduled_hours_are_those_of_the_site_file_in_local_time() -> None:
    people = occupants()
    winter, summer = minute(2023, 2, 6, 8, 0), minute(2023, 4, 24, 7, 0)  # both 08:00 in London
    for at in (winter, summer):
        assert people.scheduled(at)[OFFICE]
        assert not people.scheduled(at - 1)[OFFICE]
    assert not people.scheduled(winter)[COUNCIL]
    assert people.scheduled(minute(2023, 2, 7, 20, 59))[COUNCIL]
    assert not people.scheduled(minute(2023, 2, 7, 21, 0))[COUNCIL]


def test_nobody_is_scheduled_on_a_public_holiday() -> None:
    assert not occupants().day(minute(2023, 4, 10) // 1440)[0].any()  # Easter Monday


def test_attendance_differs_from_the_timetable_but_not_wildly() -> None:
    people = occupants()
    days = [people.day(minute(2023, 1, 9) // 1440 + n) for n in range(28)]
    scheduled = np.vstack([day[0] for day in days])
    there = np.vstack([day[1] for day in days])
    assert np.array_equal(there, np.round(there))
    assert (there >= 0).all()
    assert there[~scheduled].sum() > 0  # early, late, overrun
    assert (there[scheduled] == 0).any()
    office = there[scheduled[:, OFFICE], OFFICE]
    assert 10 < office.mean() < 16  # 16 by the timetable
    starts = [int(np.argmax(day[1][:, OFFICE] > 3)) for day in days[:5]]
    assert len(set(starts)) > 2


def test_attendance_repeats_by_seed_and_not_by_order_of_asking() -> None:
    one, other = occupants(), occupants()
    day = minute(2023, 2, 7) // 1440
    other.day(day + 3)
    assert np.array_equal(one.day(day)[1], other.day(day)[1])
    assert not np.array_equal(one.day(day)[1], occupants(seed=2).day(day)[1])


def test_an_evening_meeting_runs_on_past_midnight_of_the_block() -> None:
    people = occupants()
    late = [people.people(minute(2023, 1, 10 + 7 * week, 21, 10))[COUNCIL] for week in range(3)]
    assert max(late) > 0
