"""What is believed of an answer, what is mended and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.intensity import Basis, Boundary, Gas, Kind
from drivers.feeds.gate import Implausible, Limits, judged, one_basis
from drivers.feeds.series import Issue, Said, is_news, laid_out
from tests.conftest import EPOCH

HALF_S = 1800
GRAMS = Limits(low=1.0, high=1000.0, lone=100.0)
F, S = Kind.FORECAST, Kind.SUBSTITUTED


def said(*values: float | None, start_s: int = 0) -> Said:
    return Said(start_s=start_s, step_s=HALF_S, values=values, kinds=(F,) * len(values))


def test_a_sound_answer_passes_as_it_is() -> None:
    answer = said(*(100.0 + n for n in range(96)))
    assert judged(answer, GRAMS) == answer


@pytest.mark.parametrize("wrong", [0.0, -5.0, 1500.0, 150_000.0, float("nan"), float("inf")])
def test_a_value_that_cannot_be_is_replaced_and_says_so(wrong: float) -> None:
    found = judged(said(*[100.0] * 5, wrong, *[110.0] * 5), GRAMS)
    assert (found.values[5], found.kinds[5]) == (105.0, S)
    assert {found.kinds[n] for n in range(11) if n != 5} == {F}


@pytest.mark.parametrize("lone", [350.0, 40.0])
def test_a_lone_outlier_is_replaced_and_says_so(lone: float) -> None:
    found = judged(said(*[180.0] * 5, lone, *[182.0] * 5), GRAMS)
    assert (found.values[5], found.kinds[5]) == (181.0, S)


def test_two_that_agree_are_no_outlier_and_a_slope_is_none() -> None:
    twice = said(*[180.0] * 5, 350.0, 350.0, *[180.0] * 5)
    slope = said(100.0, 250.0, 400.0, 550.0)
    assert judged(twice, GRAMS) == twice
    assert judged(slope, GRAMS) == slope


def test_short_gaps_are_bridged_and_long_ones_stay() -> None:
    found = judged(said(*[100.0] * 15, None, None, None, *[140.0] * 15, None, None, None, None, *[140.0] * 15), GRAMS)
    assert found.values[15:18] == (110.0, 120.0, 130.0)
    assert set(found.kinds[15:18]) == {S}
    assert found.values[33:37] == (None,) * 4


def test_money_is_never_made_up() -> None:
    found = judged(said(0.2, None, 0.3, 0.3, 0.3), Limits(low=-2, high=5, bridged=False))
    assert found.values[1] is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([None] * 10, "no value"),
        ([0.0] * 10, "no value"),
        ([100.0] * 7 + [None] * 3, "3 of 10"),
        ([100.0, 0.0] * 20, "20 of 40"),
    ],
)
def test_an_answer_with_too_much_wrong_is_refused_whole(values: list[float | None], why: str) -> None:
    with pytest.raises(Implausible, match=why):
        judged(said(*values), GRAMS)


def test_an_answer_that_is_too_short_is_refused() -> None:
    with pytest.raises(Implausible, match="only 11"):
        judged(said(*[100.0] * 11), replace(GRAMS, least_s=12 * HALF_S))


def test_a_day_without_sun_is_refused() -> None:
    sun = Limits(low=0, high=1400, dark_for_ever=True)
    night, noon = [0.0] * 36, [400.0] * 12
    assert judged(said(*night, *noon, *night, *noon), sun).values[36] == 400.0
    with pytest.raises(Implausible, match="whole day"):
        judged(said(*night, *noon, *night, *night), sun)


def test_different_boundaries_are_never_mixed() -> None:
    one_basis(Basis(), Basis())
    for other in (Basis(boundary=Boundary.LIFECYCLE), Basis(gas=Gas.CO2E), None):
        with pytest.raises(Implausible, match="counts"):
            one_basis(Basis(), other)


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(50, 300)),
        min_size=1,
        max_size=60,
    )
)
def test_nothing_outside_the_limits_ever_passes_and_nothing_changes_silently(values: list[float | None]) -> None:
    answer = said(*values)
    try:
        found = judged(answer, GRAMS)
    except Implausible:
        return
    assert all(value is None or GRAMS.low <= value <= GRAMS.high for value in found.values)
    for before, after, kind in zip(answer.values, found.values, found.kinds, strict=True):
        assert kind is S or after == before or after is None


def test_a_series_is_laid_out_with_its_holes() -> None:
    assert laid_out({3600: 2.0, 0: 1.0}, step_s=HALF_S, kind=F).values == (1.0, None, 2.0)


def test_news_is_another_value_or_a_longer_reach_and_not_the_passing_of_time() -> None:
    before = said(*[100.0] * 96)
    assert not is_news(before, said(*[100.0] * 96, start_s=HALF_S))
    assert is_news(before, said(*[100.0] * 95, 101.0))
    assert is_news(said(*[0.2] * 20), said(*[0.2] * 68)), "tomorrow's prices came out"
    assert is_news(before, said(*[100.0] * 4, start_s=200 * HALF_S)), "after a long silence"
    assert is_news(before, replace(before, basis=Basis()))


def test_intervals_are_found_by_an_instant() -> None:
    start = int(EPOCH.timestamp())
    issue = Issue(said=said(1.0, 2.0, None, None, start_s=start), issued_at=EPOCH, checked_at=EPOCH)
    at = [EPOCH.replace(minute=m) for m in (0, 29, 30)]
    assert [issue.index(when) for when in at] == [0, 0, 1]
    assert issue.index(EPOCH.replace(hour=2)) is None
    assert issue.newest(EPOCH.replace(hour=5)) == 1
    assert issue.newest(EPOCH.replace(year=2022)) is None
