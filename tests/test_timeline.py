"""Windows of the past as people ask for them, on the local clock."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.localtime import day_bounds_s, utc
from controller.web.timeline import MOST_ROWS, STEPS_S, chosen, edges, links, marks, step_s
from controller.web.view import BadRequest

LONDON = "Europe/London"
NOW = datetime(2023, 7, 6, 13, 12, tzinfo=UTC)


@pytest.mark.parametrize(("span", "days"), [("hour", 1 / 24), ("day", 1), ("week", 7), ("month", 30)])
def test_a_span_ends_now(span: str, days: float) -> None:
    found = chosen({"span": span}, LONDON, NOW)
    assert (found.end, found.length, found.present) == (NOW, timedelta(days=days), True)


def test_without_a_word_it_is_the_last_day() -> None:
    assert chosen({}, LONDON, NOW).span == "day"


def test_times_are_local_unless_they_say_otherwise() -> None:
    found = chosen({"from": "2023-07-05T08:00", "to": "2023-07-05T20:00Z"}, LONDON, NOW)
    assert found.start == datetime(2023, 7, 5, 7, tzinfo=UTC)
    assert found.end == datetime(2023, 7, 5, 20, tzinfo=UTC)
    assert (found.span, found.present) == ("", False)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"span": "year"}, "none of hour, day, week, month"),
        ({"from": "yesterday"}, "from: 'yesterday' is no time; write a local time such as"),
        ({"to": "2023-13-01T00:00"}, "to: "),
        ({"from": "2023-07-05T08:00", "to": "2023-07-05T08:00"}, "at least five minutes"),
        ({"from": "2023-07-05T09:00", "to": "2023-07-05T08:00"}, "at least five minutes"),
        ({"from": "1999-01-01T00:00"}, "ten years"),
        ({"to": "0001-01-01T00:00"}, "to: "),
    ],
)
def test_a_window_that_cannot_be_shown_says_what_to_write(query: dict[str, str], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        chosen(query, LONDON, NOW)


def test_one_goes_back_and_forth_without_a_gap() -> None:
    found = chosen({"span": "week", "to": "2023-06-01T00:00Z"}, LONDON, NOW)
    ways = links(found, "a.b.c", NOW)
    assert ways.earlier == "?span=week&to=2023-05-25T00:00:00Z"
    assert ways.later == "?span=week&to=2023-06-08T00:00:00Z"
    assert links(chosen({"span": "week", "to": "2023-07-01T00:00Z"}, LONDON, NOW), "a.b.c", NOW).later == "?span=week"
    assert links(chosen({"span": "week"}, LONDON, NOW), "a.b.c", NOW).later == ""
    own = chosen({"from": "2023-06-01T00:00Z", "to": "2023-06-03T00:00Z"}, LONDON, NOW)
    assert links(own, "a.b.c", NOW).later == "?from=2023-06-03T00:00:00Z&to=2023-06-05T00:00:00Z"


def test_what_programs_are_shown_can_be_answered_in_one_go() -> None:
    month = links(chosen({"span": "month"}, LONDON, NOW), "a.b.c", NOW).data
    assert month.startswith("/api/v1/readings?point=a.b.c&from=2023-06-06T13:12:00Z")
    assert month.endswith("&step=PT21600S")
    assert "step" not in links(chosen({"span": "week"}, LONDON, NOW), "a.b.c", NOW).data


@given(
    start=st.datetimes(datetime(2022, 1, 1), datetime(2025, 1, 1)),  # noqa: DTZ001  made aware below
    length_s=st.integers(300, 3660 * 86_400),
    zone=st.sampled_from([LONDON, "America/New_York", "Asia/Kolkata", "UTC"]),
)
def test_a_table_covers_its_window_in_few_rows(start: datetime, length_s: int, zone: str) -> None:
    begin, length = start.replace(tzinfo=UTC), timedelta(seconds=length_s)
    step = step_s(length)
    found = edges(begin, begin + length, step, zone)
    assert found[0] == begin.timestamp()
    assert found[-1] == (begin + length).timestamp()
    assert (np.diff(found) > 0).all()
    assert (np.diff(found) <= step + 3600).all(), "an hour more where the clock goes back"
    assert len(found) <= MOST_ROWS + 30 if step < STEPS_S[-1] else True


@pytest.mark.parametrize(("on", "rows"), [("2023-03-26", 46), ("2023-10-29", 50), ("2024-02-29", 48)])
def test_half_hours_of_days_that_are_shorter_longer_or_leap(on: str, rows: int) -> None:
    first, last = day_bounds_s(date.fromisoformat(on), LONDON)
    found = edges(utc(first), utc(last), 1800, LONDON)
    assert len(found) - 1 == rows
    assert set(np.diff(found)) == {1800.0}


def test_days_are_local_days_and_weeks_begin_on_monday() -> None:
    begin = datetime(2023, 3, 20, tzinfo=UTC)
    days = edges(begin, begin + timedelta(days=14), 86_400, LONDON)
    assert set(np.diff(days[1:-1])) == {82_800.0, 86_400.0}
    weeks = edges(begin, begin + timedelta(days=140), 7 * 86_400, LONDON)
    assert {utc(at + 3600).weekday() for at in weeks[1:-1]} == {0}


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (timedelta(hours=1), ["12:20", "12:30", "12:40", "12:50", "13:00", "13:10"]),
        (timedelta(days=1), ["15:00", "18:00", "21:00", "Thu 6", "03:00", "06:00", "09:00", "12:00"]),
        (timedelta(days=30), ["12 Jun", "19 Jun", "26 Jun", "3 Jul"]),
        (timedelta(days=365), ["Aug", "Sep", "Oct", "Nov", "Dec", "2023", "Feb", "Mar", "Apr", "May", "Jun", "Jul"]),
    ],
)
def test_lines_stand_at_round_local_times(length: timedelta, labels: list[str]) -> None:
    end = NOW - timedelta(hours=1)  # 13:12 by the clock in London
    found = marks((end - length).timestamp(), end.timestamp(), LONDON, 11)
    assert [mark.label for mark in found if mark.label] == labels


@given(length_s=st.integers(300, 3660 * 86_400), room=st.integers(4, 12))
def test_there_is_room_for_the_labels(length_s: int, room: int) -> None:
    found = marks(NOW.timestamp() - length_s, NOW.timestamp(), LONDON, room)
    assert len([mark for mark in found if mark.label]) <= room + 4
