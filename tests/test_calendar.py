"""Who is expected when, across clock changes, holidays and leap days."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.calendar import (
    check_holidays,
    in_term,
    is_closed,
    next_occupied,
    next_vacant,
    occupied,
    occupied_series,
    spans_of_day,
)
from config.hours import Calendar, Hours, Season, Term, Weekday
from config.load import draft_of
from config.localtime import day_bounds_s, utc
from config.site import Band, Comfort, Zone

LONDON = "Europe/London"
ENGLAND = Calendar(holidays="GB-ENG", closed=(date(2023, 2, 10),))
NEVER_CLOSED = Calendar(holidays=None)
QUARTER = timedelta(minutes=15)
WORK = tuple(Weekday)[:5]
SPRING, AUTUMN = date(2023, 3, 26), date(2023, 10, 29)


def zone(*occupancy: Hours) -> Zone:
    comfort = Comfort(occupied=Band(low=20, high=23), unoccupied=Band(low=12, high=26))
    return Zone(id="hall", area_m2=100, comfort=comfort, occupancy=occupancy)


def hours(start: str, end: str, *days: Weekday, people: float = 10) -> Hours:
    return Hours(
        days=days or tuple(Weekday), start=time.fromisoformat(start), end=time.fromisoformat(end), people=people
    )


OFFICE = zone(hours("08:00", "18:00", *WORK))


def spans(day: date, *occupancy: Hours) -> list[tuple[str, str]]:
    found = spans_of_day(occupancy, day, LONDON, NEVER_CLOSED)
    return [(f"{utc(span.start_s):%H:%M}", f"{utc(span.end_s):%H:%M}") for span in found]


@pytest.mark.parametrize(
    ("day", "start", "end", "expected"),
    [
        (SPRING, "08:00", "18:00", [("07:00", "17:00")]),
        (SPRING - timedelta(days=1), "08:00", "18:00", [("08:00", "18:00")]),
        (SPRING, "00:30", "01:30", [("00:30", "01:00")]),  # ends in the gap: at the change
        (SPRING, "01:30", "03:00", [("01:00", "02:00")]),  # begins in the gap: at the change, once
        (SPRING, "01:15", "01:45", []),  # lies in the gap
        (AUTUMN, "08:00", "18:00", [("08:00", "18:00")]),
        (AUTUMN, "01:15", "01:45", [("00:15", "00:45")]),  # the first pass, not twice
        (AUTUMN, "00:30", "02:30", [("23:30", "02:30")]),
        (date(2024, 2, 29), "08:00", "18:00", [("08:00", "18:00")]),
    ],
)
def test_hours_in_utc(day: date, start: str, end: str, expected: list[tuple[str, str]]) -> None:
    assert spans(day, hours(start, end)) == expected


def test_adjacent_hours_meet_at_both_changes() -> None:
    for day in (SPRING, AUTUMN):
        first, second = spans_of_day((hours("00:00", "01:30"), hours("01:30", "04:00")), day, LONDON, NEVER_CLOSED)
        assert first.end_s == second.start_s


def test_occupied_is_half_open() -> None:
    at = datetime(2023, 2, 6, 8, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert [occupied(OFFICE, at + d, LONDON, ENGLAND) for d in (-second, timedelta(0))] == [False, True]
    end = datetime(2023, 2, 6, 18, tzinfo=UTC)
    assert [occupied(OFFICE, end + d, LONDON, ENGLAND) for d in (-second, timedelta(0))] == [True, False]


@pytest.mark.parametrize(
    ("day", "closed"),
    [
        (date(2023, 5, 8), True),  # the coronation, in England only by proclamation
        (date(2023, 12, 25), True),
        (date(2023, 2, 10), True),  # this site's own
        (date(2023, 2, 9), False),
        (date(2024, 2, 29), False),
    ],
)
def test_holidays_and_closed_days(day: date, closed: bool) -> None:  # noqa: FBT001  a test's table
    assert is_closed(day, ENGLAND) is closed
    noon = datetime.combine(day, time(12), UTC)
    assert occupied(OFFICE, noon, LONDON, ENGLAND) is not closed


def test_each_part_of_a_country_has_its_own_holidays() -> None:
    assert is_closed(date(2023, 1, 2), Calendar(holidays="GB-SCT"))
    assert is_closed(date(2023, 7, 12), Calendar(holidays="GB-NIR"))
    assert not is_closed(date(2023, 7, 12), ENGLAND)


@pytest.mark.parametrize(("code", "cure"), [("UK", "GB-ENG"), ("GB-XXX", "GB-ENG"), ("", "GB-ENG")])
def test_unknown_holidays_are_refused_with_a_cure(code: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        check_holidays(code)
    check_holidays("GB-ENG")
    check_holidays("DE")


def test_the_series_of_a_day() -> None:
    present, people = occupied_series(
        OFFICE, datetime(2023, 2, 6, tzinfo=UTC), QUARTER, 96, tz=LONDON, calendar=ENGLAND
    )
    assert np.flatnonzero(present).tolist() == list(range(32, 72))
    assert people[32:72].tolist() == [10.0] * 40
    assert people.sum() == 400


def test_a_step_that_is_partly_occupied_counts_and_has_the_mean_number() -> None:
    present, people = occupied_series(
        zone(hours("08:10", "08:40")),
        datetime(2023, 2, 6, 8, tzinfo=UTC),
        timedelta(minutes=30),
        3,
        tz=LONDON,
        calendar=NEVER_CLOSED,
    )
    assert present.tolist() == [True, True, False]
    assert people == pytest.approx([20 / 3, 10 / 3, 0])


def test_a_zone_without_hours_is_never_occupied() -> None:
    nobody = zone()
    present, people = occupied_series(
        nobody, datetime(2023, 2, 6, tzinfo=UTC), QUARTER, 96, tz=LONDON, calendar=ENGLAND
    )
    assert not present.any()
    assert not people.any()
    assert next_occupied(nobody, datetime(2023, 2, 6, tzinfo=UTC), LONDON, ENGLAND) is None


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ("2023-02-06T05:00", "2023-02-06T08:00"),
        ("2023-02-06T12:00", "2023-02-06T12:00"),
        ("2023-02-09T18:00", "2023-02-13T08:00"),  # Friday is closed, then the weekend
        ("2023-03-25T12:00", "2023-03-27T07:00"),  # summer time by then
        ("2022-12-23T18:00", "2022-12-28T08:00"),  # Christmas, with two substitute days
    ],
)
def test_when_people_next_come(after: str, found: str) -> None:
    when = next_occupied(OFFICE, datetime.fromisoformat(after).replace(tzinfo=UTC), LONDON, ENGLAND)
    assert when == datetime.fromisoformat(found).replace(tzinfo=UTC)


def test_when_people_next_leave() -> None:
    two = zone(hours("08:00", "12:00"), hours("12:00", "17:00"))
    assert next_vacant(two, datetime(2023, 2, 6, 9, tzinfo=UTC), LONDON, NEVER_CLOSED) == datetime(
        2023, 2, 6, 17, tzinfo=UTC
    )
    early = datetime(2023, 2, 6, 3, tzinfo=UTC)
    assert next_vacant(two, early, LONDON, NEVER_CLOSED) == early


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, 366 * 24 * 4), n=st.integers(1, 200))
def test_the_series_agrees_with_the_moments(start: int, n: int) -> None:
    begin = datetime(2023, 1, 1, tzinfo=UTC) + start * QUARTER
    present, people = occupied_series(OFFICE, begin, QUARTER, n, tz=LONDON, calendar=ENGLAND)
    moments = [occupied(OFFICE, begin + k * QUARTER, LONDON, ENGLAND) for k in range(n)]
    assert present.tolist() == moments
    assert people.tolist() == [10.0 * moment for moment in moments]


@pytest.mark.parametrize(("day", "count"), [(SPRING, 92), (date(2023, 6, 1), 96), (AUTUMN, 100)])
def test_quarter_hours_of_a_local_day(day: date, count: int) -> None:
    always = zone(hours("00:00", "23:59"))
    first = datetime.combine(day - timedelta(days=1), time(20), UTC)
    present, _ = occupied_series(always, first, QUARTER, 130, tz=LONDON, calendar=NEVER_CLOSED)
    begin, end = day_bounds_s(day, LONDON)
    assert (end - begin) // 900 == count
    inside = [int((begin - first.timestamp()) // 900), int((end - first.timestamp()) // 900)]
    assert present[inside[0] : inside[1]].sum() == count


HALF_TERM = Calendar(
    holidays="GB-ENG",
    terms=(
        Term(first=date(2023, 1, 4), last=date(2023, 2, 10)),
        Term(first=date(2023, 2, 20), last=date(2023, 3, 31)),
    ),
)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2023, 2, 10), True),
        (date(2023, 2, 11), False),
        (date(2023, 2, 15), False),
        (date(2023, 2, 20), True),
        (date(2022, 12, 1), True),  # nobody wrote that term down: better warm than cold
        (date(2023, 9, 12), True),
    ],
)
def test_between_two_terms_there_is_a_break_and_what_is_not_listed_is_term(day: date, *, expected: bool) -> None:
    assert in_term(day, HALF_TERM) is expected
    assert in_term(day, NEVER_CLOSED)


def test_hours_hold_in_term_in_breaks_or_always() -> None:
    lessons = hours("09:00", "15:00", *WORK).model_copy(update={"during": Season.TERM})
    office = hours("10:00", "12:00", *WORK).model_copy(update={"during": Season.BREAK})
    caretaker = hours("06:00", "07:00", *WORK)

    def starts(day: date) -> list[int]:
        return [utc(span.start_s).hour for span in spans_of_day((lessons, office, caretaker), day, LONDON, HALF_TERM)]

    assert starts(date(2023, 2, 9)) == [6, 9]
    assert starts(date(2023, 2, 15)) == [6, 10]
    assert starts(date(2023, 2, 12)) == []  # a Sunday
    classroom = zone(lessons)
    friday_evening = datetime(2023, 2, 10, 16, tzinfo=UTC)
    assert next_occupied(classroom, friday_evening, LONDON, HALF_TERM) == datetime(2023, 2, 20, 9, tzinfo=UTC)


def test_lessons_and_the_break_s_office_may_share_an_hour() -> None:
    text = (Path(__file__).parent / "broken_sites" / "hours_overlap.yaml").read_text(encoding="utf-8")
    text = text.replace("people: 20}", "people: 20, during: term}").replace("people: 25}", "people: 25, during: break}")
    text = text.replace("closed: [2026-12-24]", "terms: [{first: 2026-09-01, last: 2026-10-23}]")
    assert draft_of(text).findings == ()
