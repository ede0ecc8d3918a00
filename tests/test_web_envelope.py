"""Many values in few columns: nothing that matters is lost on the way."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.web.envelope import Mark, columns, gaps, rises, runs, standing
from controller.web.samples import HistoryView, Samples

START = datetime(2023, 2, 6, tzinfo=UTC)
S = START.timestamp()
NAN = float("nan")
HOUR_S = 3600.0


def past(
    minutes: list[float],
    values: list[float],
    *,
    hours: float = 1,
    quality: list[int] | None = None,
    held: bool = False,
    lasts_min: float = 5,
) -> HistoryView:
    mean = np.array(values, dtype=float)
    samples = Samples(
        time_s=S + 60.0 * np.array(minutes, dtype=float),
        low=mean,
        mean=mean,
        high=mean,
        count=np.ones(len(mean), dtype=np.int64),
        quality=np.array(quality or [3 if np.isnan(value) else 0 for value in values], dtype=np.int8),
        flags=np.zeros(len(mean), dtype=np.int32),
    )
    return HistoryView(
        point="a.b.c", name="Hall: value", unit="degC", role="other", device="d", start=START,
        end=START + timedelta(hours=hours), samples=samples, lasts=timedelta(minutes=lasts_min), held=held,
        counter=False,
    )  # fmt: skip


def cut(view: HistoryView, n: int) -> np.ndarray:
    return np.linspace(view.start.timestamp(), view.end.timestamp(), n + 1)


def late(view: HistoryView) -> float:
    return view.end.timestamp()


@given(
    values=st.lists(st.floats(-50, 50), min_size=60, max_size=60),
    n=st.integers(1, 59),
)
def test_the_extremes_the_sum_and_the_number_survive(values: list[float], n: int) -> None:
    view = past(list(range(60)), values)
    found = columns(view, cut(view, n), late(view))
    assert np.nanmax(found.high) == max(values)
    assert np.nanmin(found.low) == min(values)
    assert found.count.sum() == 60
    assert float((found.mean * found.count).sum()) == pytest.approx(sum(values), abs=1e-6)
    assert (found.low <= found.mean + 1e-9).all()
    assert (found.mean <= found.high + 1e-9).all()
    assert (found.mark == Mark.GOOD).all()


def test_one_peak_in_a_month_stays_as_high_as_it_was() -> None:
    values = [20.0] * (30 * 1440)
    values[12_345] = 41.5
    view = past(list(range(30 * 1440)), values, hours=720)
    found = columns(view, cut(view, 450), late(view))
    assert np.nanmax(found.high) == 41.5
    assert (found.high > 21).sum() == 1
    assert np.nanmax(found.mean) < 20.5


def test_a_silence_longer_than_a_value_stands_is_a_gap_and_a_shorter_one_is_not() -> None:
    view = past([0, 1, 2, 6, 7, 20, 21], [1.0] * 7)
    assert gaps(view, late(view)) == [(S + 7 * 60, S + 20 * 60), (S + 21 * 60, S + 3600)]
    assert gaps(view, S + 22 * 60) == [(S + 7 * 60, S + 20 * 60)], "nothing is missing of the future"
    held = past([0, 20], [1.0, 1.0], held=True)
    assert gaps(held, S + 21 * 60) == [(S + 5 * 60, S + 20 * 60)], "a setpoint stands as long as it lasts"


def test_nothing_at_all_is_one_gap() -> None:
    view = past([], [])
    assert gaps(view, late(view)) == [(S, S + 3600)]
    found = columns(view, cut(view, 6), late(view))
    assert (found.mark == Mark.GAP).all()
    assert np.isnan(found.mean).all()
    assert list(runs(view, late(view))) == []


def test_a_window_may_begin_or_end_in_silence() -> None:
    view = past([30, 31], [1.0, 1.0])
    assert gaps(view, late(view)) == [(S, S + 1800), (S + 31 * 60, S + 3600)]
    entered = past([-3, 1, 2], [1.0, 1.0, 1.0])
    assert gaps(entered, S + 180) == [], "a reading from before the window stands for its beginning"


def test_doubt_is_told_of_every_column_that_it_touches() -> None:
    minutes = list(range(60))
    quality = [0] * 60
    quality[11], quality[25], quality[47] = 1, 2, 3
    values = [20.0] * 60
    values[47] = NAN
    view = past(minutes, values, quality=quality)
    found = columns(view, cut(view, 6), late(view))
    assert found.mark.tolist() == [Mark.GOOD, Mark.SUSPECT, Mark.STALE, Mark.GOOD, Mark.BAD, Mark.GOOD]
    assert found.count.tolist() == [10, 10, 10, 10, 9, 10]


def test_between_seldom_readings_the_value_is_known() -> None:
    view = past([0, 20, 40], [10.0, 30.0, 20.0], lasts_min=30)
    found = columns(view, cut(view, 6), S + 50 * 60)
    assert found.mean.tolist()[:5] == [10.0, 25.0, 30.0, pytest.approx(22.5), 20.0]
    held = past([0, 20, 40], [10.0, 30.0, 20.0], lasts_min=30, held=True)
    assert columns(held, cut(held, 6), S + 50 * 60).mean.tolist()[:5] == [10.0, 10.0, 30.0, 30.0, 20.0]
    assert np.isnan(columns(held, cut(held, 6), S + 50 * 60).mean[5]), "the future is not known"
    assert standing(held, np.array([S - 1, S + 60, S + 65 * 60]), S + 7200)[1:].tolist() == [10.0, 20.0]


def test_a_line_breaks_at_gaps_and_at_bad_readings() -> None:
    view = past([0, 1, 2, 3, 4, 30, 31], [1.0, 2.0, NAN, 4.0, 5.0, 6.0, 7.0])
    found = [[((at - S) / 60, value) for at, value in run] for run in runs(view, late(view))]
    assert found == [[(0, 1), (1, 2)], [(3, 4), (4, 5)], [(30, 6), (31, 7)]]


def test_a_line_comes_in_from_before_the_window() -> None:
    view = past([-2, 2], [10.0, 20.0])
    assert next(runs(view, late(view))) == [(S, 15.0), (S + 120, 20.0)]
    held = past([-2, 2], [10.0, 20.0], held=True)
    assert next(runs(held, S + 240)) == [(S, 10.0), (S + 120, 20.0), (S + 240, 20.0)]


def test_a_held_value_ends_where_it_is_too_old_or_a_bad_one_comes() -> None:
    held = past([0, 20, 23], [1.0, 2.0, NAN], held=True)
    ends = [run[-1] for run in runs(held, late(held))]
    assert ends == [(S + 300, 1.0), (S + 23 * 60, 2.0)]


@given(rise=st.lists(st.floats(0, 5), min_size=61, max_size=61), n=st.integers(1, 60))
def test_what_a_register_rose_in_the_steps_adds_up(rise: list[float], n: int) -> None:
    register = np.cumsum(rise)
    view = past(list(range(61)), register.tolist())
    found = rises(view, cut(view, n), S + 3601)
    assert float(found.sum()) == pytest.approx(float(register[60] - register[0]), abs=1e-6)


def test_a_register_that_falls_rose_by_nothing_meanwhile() -> None:
    view = past([0, 15, 30, 45, 60], [100.0, 110.0, 3.0, 8.0, 9.0], lasts_min=20)
    assert rises(view, cut(view, 4), late(view)).tolist() == [10.0, 0.0, 5.0, 1.0]


def test_where_a_register_was_silent_at_a_border_the_rise_is_unknown() -> None:
    view = past([0, 10, 20], [0.0, 1.0, 2.0], lasts_min=12)
    found = rises(view, cut(view, 3), late(view))
    assert found[0] == 2.0
    assert np.isnan(found[1:]).all()
