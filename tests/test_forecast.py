from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from optimiser.forecast import base_load

STEP = timedelta(minutes=15)
MONDAY = datetime(2023, 2, 6, tzinfo=UTC)
DAY = 96


def office(days: int, *, start: datetime, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """Load from `start`: 5 kW always, 15 kW more from 8 to 18 on weekdays."""
    times = [start + n * STEP for n in range(days * DAY)]
    busy = np.array([time.weekday() < 5 and 8 <= time.hour < 18 for time in times])
    return 5.0 + 15.0 * busy + np.random.default_rng(seed).normal(0, noise, len(times))


def forecast(past: np.ndarray, start: datetime, steps: int = 2 * DAY) -> np.ndarray:
    return base_load(past, start=start, step=STEP, steps=steps)


def test_a_weekly_pattern_is_foreseen_over_the_weekend() -> None:
    friday_noon = MONDAY + timedelta(days=4, hours=12)
    past = office(28, start=friday_noon - timedelta(days=28))
    truth = office(4, start=friday_noon)
    assert forecast(past, friday_noon, 4 * DAY) == pytest.approx(truth, abs=0.01)


def test_noise_is_averaged_out() -> None:
    past = office(28, start=MONDAY - timedelta(days=28), noise=2.0)
    truth = office(2, start=MONDAY)
    week_ago = past[-7 * DAY :][: 2 * DAY]
    error = np.abs(forecast(past, MONDAY) - truth).mean()
    assert error < 0.6 * np.abs(week_ago - truth).mean()


def test_an_unusual_day_is_followed_for_some_hours() -> None:
    noon = MONDAY + timedelta(hours=12)
    past = office(28, start=noon - timedelta(days=28), noise=0.3)
    past[-12:] *= 1.5
    found = forecast(past, noon)
    assert found[0] > 1.3 * 20.0
    assert found[DAY] == pytest.approx(20.0, rel=0.1)


def test_a_week_that_repeats_itself_oddly_is_taken_from_the_week_before() -> None:
    random = np.random.default_rng(3)
    week = random.uniform(5.0, 20.0, 7 * DAY)
    assert forecast(np.tile(week, 4), MONDAY) == pytest.approx(week[: 2 * DAY])


def test_holes_are_no_matter() -> None:
    past = office(28, start=MONDAY - timedelta(days=28))
    past[np.random.default_rng(4).random(len(past)) < 0.3] = np.nan
    past[-200:] = np.nan
    assert forecast(past, MONDAY) == pytest.approx(office(2, start=MONDAY), abs=0.5)


@pytest.mark.parametrize("steps", [1, 7, 95])
def test_a_short_past_gives_something_sensible(steps: int) -> None:
    assert forecast(np.full(steps, 8.0), MONDAY) == pytest.approx(np.full(2 * DAY, 8.0))


def test_no_past_gives_nothing() -> None:
    assert forecast(np.empty(0), MONDAY).tolist() == [0.0] * (2 * DAY)
    assert forecast(np.full(10, np.nan), MONDAY).tolist() == [0.0] * (2 * DAY)


def test_kinds_of_day_may_be_told() -> None:
    """A holiday on a Monday is known to be like a Sunday."""
    past = office(28, start=MONDAY - timedelta(days=28))
    steps = len(past) + DAY
    weekday = (np.arange(steps) // DAY) % 7
    kind = (weekday >= 5).astype(np.int64)
    kind[-DAY:] = 1
    found = base_load(
        past, start=MONDAY, step=STEP, steps=DAY, day_kind=kind, day_step=np.arange(steps, dtype=np.int64) % DAY
    )
    assert found == pytest.approx(np.full(DAY, 5.0), abs=0.1)
