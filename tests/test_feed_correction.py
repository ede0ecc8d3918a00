"""Errors by lead: what is learned, when it is used, and that it never makes things worse than it was."""

import random

import pytest

from config.intensity import Kind
from drivers.feeds.correction import LEADS, LEAST, LeadErrors
from drivers.feeds.series import Said

HALF_S, HOUR_S = 1800, 3600


def live(errors: LeadErrors, days: int, error: object, *, kind: Kind = Kind.ACTUAL, seed: int = 1) -> LeadErrors:
    """Ask every half-hour; what comes true is 200, what is said is off by error(lead in hours, chance)."""
    chance = random.Random(seed)
    for now in range(0, days * 86_400, HALF_S):
        values = tuple(200.0 - error((n * HALF_S) // HOUR_S, chance) for n in range(96))  # type: ignore[operator]
        errors.score(
            Said(start_s=now - 48 * HALF_S, step_s=HALF_S, values=(200.0,) * 48, kinds=(kind,) * 48), now_s=now
        )
        errors.hear(Said(start_s=now, step_s=HALF_S, values=values, kinds=(Kind.FORECAST,) * 96), asked_s=now)
    return errors


def said(now: int) -> Said:
    return Said(start_s=now, step_s=HALF_S, values=(150.0,) * 96, kinds=(Kind.FORECAST,) * 96)


def test_a_bias_that_grows_with_the_lead_is_learned_and_taken_off() -> None:
    errors = live(LeadErrors(), 10, lambda lead, chance: lead + chance.gauss(0, 5))
    corrected = errors.correct(said(0), asked_s=0, low=1, high=1000)
    expected = errors.expected(said(0), asked_s=0)
    assert expected is not None
    for lead in (12, 24, 40):
        assert corrected[2 * lead] == pytest.approx(150 + lead, abs=2.0)
        assert expected[2 * lead] == pytest.approx(4.0, abs=1.2), "5 g of chance is 4 g of mean absolute error"
        assert errors.plain[lead] == pytest.approx(lead, abs=3.0)


def test_errors_without_a_bias_correct_nothing() -> None:
    errors = live(LeadErrors(), 10, lambda _, chance: chance.gauss(0, 20))
    assert errors.correct(said(0), asked_s=0, low=1, high=1000) == said(0).values
    expected = errors.expected(said(0), asked_s=0)
    assert expected is not None
    assert expected[30] == pytest.approx(16.0, abs=3.0)


def test_a_bias_that_comes_and_goes_is_not_trusted() -> None:
    errors = LeadErrors()
    for n in range(600):
        errors._take(5, 30.0 if n // 20 % 2 else -30.0)
    assert not errors.helps(5)


def test_little_is_not_enough() -> None:
    errors = LeadErrors()
    for n in range(LEAST):
        assert not errors.helps(3), f"after {n}"
        errors._take(3, 25.0)
    assert errors.helps(3)


def test_a_substitute_proves_nothing() -> None:
    errors = live(LeadErrors(), 3, lambda _, __: 50.0, kind=Kind.SUBSTITUTED)
    assert errors.expected(said(0), asked_s=0) is None
    assert sum(errors.count) == 0


def test_every_half_hour_counts_once_however_often_it_is_told() -> None:
    errors = live(LeadErrors(), 4, lambda _, __: 10.0)
    told = sum(errors.count)
    now = 4 * 86_400
    for _ in range(5):
        errors.score(
            Said(start_s=now - 48 * HALF_S, step_s=HALF_S, values=(200.0,) * 48, kinds=(Kind.ACTUAL,) * 48), now_s=now
        )
    assert sum(errors.count) - told <= LEADS, "one more half-hour at most"


def test_what_may_still_be_revised_waits() -> None:
    errors = LeadErrors()
    errors.hear(said(0), asked_s=0)
    actual = Said(start_s=0, step_s=HALF_S, values=(160.0,), kinds=(Kind.ACTUAL,))
    errors.score(actual, now_s=HALF_S)
    assert sum(errors.count) == 0
    errors.score(actual, now_s=HALF_S + HOUR_S)
    assert (errors.count[0], errors.bias[0]) == (1, 10.0)


def test_a_correction_stays_within_what_can_be() -> None:
    errors = LeadErrors()
    for _ in range(LEAST):
        errors._take(0, -500.0)
    assert errors.correct(said(0), asked_s=0, low=1, high=1000)[:2] == (1.0, 1.0)


def test_what_is_over_is_not_corrected_and_has_no_error() -> None:
    errors = LeadErrors()
    for _ in range(LEAST):
        errors._take(0, 30.0)
    found = errors.correct(said(0), asked_s=5 * HALF_S, low=1, high=1000)
    expected = errors.expected(said(0), asked_s=5 * HALF_S)
    assert expected is not None
    assert (found[4], found[5]) == (150.0, 180.0)
    assert expected[4] == 0.0


def test_memory_is_bounded() -> None:
    errors = live(LeadErrors(), 5, lambda _, __: 1.0)
    assert len(errors.told) <= LEADS
