"""Which days and half-hours a report covers."""

from datetime import UTC, date, datetime

import pytest

from controller.carbon.slots import edges_s
from controller.report.period import Period, day, days, month

LONDON = "Europe/London"


def half_hours(period: Period) -> int:
    return len(edges_s(int(period.start.timestamp()), int(period.end.timestamp()))) - 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2023-02", 28 * 48),
        ("2024-02", 29 * 48),  # a leap year
        ("2023-03", 31 * 48 - 2),  # the clock goes forward
        ("2023-10", 31 * 48 + 2),  # and back
        ("2023-12", 31 * 48),
    ],
)
def test_a_month_has_its_own_number_of_half_hours(text: str, number: int) -> None:
    assert half_hours(month(text, LONDON)) == number


def test_a_month_begins_and_ends_at_local_midnight() -> None:
    july = month("2023-07", LONDON)
    assert (july.first, july.last) == (date(2023, 7, 1), date(2023, 7, 31))
    assert july.start == datetime(2023, 6, 30, 23, tzinfo=UTC)
    assert july.end == datetime(2023, 7, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2023-13", "2023-00", "0000-01", "2023", "23-02", "2023-2", "February", "2023-02-01", ""]
)
def test_what_is_no_month_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2023-02"):
        month(text, LONDON)


def test_days_include_both_ends_and_come_in_order() -> None:
    assert half_hours(days(date(2023, 2, 6), date(2023, 2, 6), LONDON)) == 48
    with pytest.raises(ValueError, match="earlier day as --from"):
        days(date(2023, 2, 7), date(2023, 2, 6), LONDON)


def test_a_wrong_day_names_its_option() -> None:
    assert day("2024-02-29", "--from") == date(2024, 2, 29)
    with pytest.raises(ValueError, match=r"--to '2023-02-29' is not a day"):
        day("2023-02-29", "--to")


def test_a_period_that_is_not_over_ends_at_the_last_whole_half_hour() -> None:
    february = month("2023-02", LONDON)
    assert february.until(datetime(2023, 2, 6, 10, 44, tzinfo=UTC)).end == datetime(2023, 2, 6, 10, 30, tzinfo=UTC)
    assert february.until(datetime(2023, 5, 1, tzinfo=UTC)) == february
    with pytest.raises(ValueError, match="has not begun"):
        february.until(datetime(2023, 2, 1, 0, 29, tzinfo=UTC))
