"""The arbiter: rank, expiry, bounds, and indifference to order."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.arbiter import Request, Source, decide

NOW = datetime(2023, 2, 6, 12, tzinfo=UTC)


def wish(source: Source, value: float | None, **more: object) -> Request:
    minutes = more.pop("minutes", 30)
    assert isinstance(minutes, int | float)
    fields = {"point": "b.hall.setpoint", "reason": "why", "decision": "d1"} | more
    return Request(source=source, value=value, expires=NOW + timedelta(minutes=minutes), **fields)  # type: ignore[arg-type]  # fields of mixed type


def test_ranks_are_emergency_manual_demand_limit_optimiser_rules() -> None:
    wishes = [wish(source, float(source.rank)) for source in reversed(Source)]
    for strongest in Source:
        winner = decide(wishes, NOW)["b.hall.setpoint"]
        assert winner.request.source is strongest
        assert winner.value == strongest.rank
        wishes = [w for w in wishes if w.source is not strongest]
    assert decide(wishes, NOW) == {}


def test_an_expired_request_is_ignored_from_its_very_instant() -> None:
    wishes = [wish(Source.MANUAL, 23.0, minutes=0), wish(Source.OPTIMISER, 20.0, minutes=0.001)]
    assert decide(wishes, NOW)["b.hall.setpoint"].value == 20.0


def test_a_weaker_source_chooses_inside_the_bounds_of_a_stronger_one() -> None:
    limit = wish(Source.DEMAND_LIMIT, 50.0, high=50.0)
    assert decide([limit], NOW)["b.hall.setpoint"].value == 50.0
    below = decide([limit, wish(Source.OPTIMISER, 30.0)], NOW)["b.hall.setpoint"]
    assert (below.value, below.bounded_by, below.request.source) == (30.0, None, Source.OPTIMISER)
    above = decide([limit, wish(Source.OPTIMISER, 80.0)], NOW)["b.hall.setpoint"]
    assert (above.value, above.bounded_by) == (50.0, Source.DEMAND_LIMIT)


def test_bounds_alone_put_nothing_on_the_wire() -> None:
    assert decide([wish(Source.EMERGENCY, None, low=12.0)], NOW) == {}


def test_a_bound_binds_every_weaker_source() -> None:
    wishes = [wish(Source.EMERGENCY, None, low=16.0), wish(Source.MANUAL, 12.0), wish(Source.RULES, 19.0)]
    winner = decide(wishes, NOW)["b.hall.setpoint"]
    assert (winner.value, winner.bounded_by, winner.request.source) == (16.0, Source.EMERGENCY, Source.MANUAL)


def test_contradicting_bounds_are_settled_for_the_stronger() -> None:
    wishes = [wish(Source.EMERGENCY, None, low=20.0), wish(Source.DEMAND_LIMIT, 15.0, high=15.0)]
    assert decide(wishes, NOW)["b.hall.setpoint"].value == 20.0
    wishes.append(wish(Source.OPTIMISER, 25.0))
    assert decide(wishes, NOW)["b.hall.setpoint"].value == 20.0


def test_a_request_that_is_not_a_number_never_wins() -> None:
    wishes = [wish(Source.MANUAL, math.nan), wish(Source.DEMAND_LIMIT, 3.0, high=math.inf), wish(Source.RULES, 19.0)]
    assert decide(wishes, NOW)["b.hall.setpoint"].value == 19.0


def test_a_request_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a value or a bound"):
        wish(Source.MANUAL, None)


NUMBER = st.one_of(st.none(), st.floats())
WISHES = st.lists(
    st.builds(
        lambda source, point, value, low, high, minutes: wish(
            source, 1.0 if value is low is high is None else value, point=point, low=low, high=high, minutes=minutes
        ),
        st.sampled_from(Source),
        st.sampled_from(["b.a.x", "b.b.x"]),
        NUMBER,
        NUMBER,
        NUMBER,
        st.integers(-5, 5),
    ),
    max_size=8,
)


@given(WISHES, st.randoms(use_true_random=False))
def test_arrival_order_does_not_matter(wishes: list[Request], random: object) -> None:
    before = decide(wishes, NOW)
    random.shuffle(wishes)  # type: ignore[attr-defined]  # a random.Random
    assert decide(wishes, NOW) == before
    assert list(decide(wishes, NOW)) == list(before)


@given(WISHES)
def test_the_strongest_bounds_always_hold(wishes: list[Request]) -> None:
    for point, winner in decide(wishes, NOW).items():
        assert math.isfinite(winner.value)
        live = [w for w in wishes if w.point == point and w.expires > NOW and w.finite]
        bounding = [w for w in live if w.source.rank < winner.request.source.rank]
        assert not [w for w in bounding if w.value is not None and w.low is None and w.high is None]
        if bounding:
            strongest = min(w.source.rank for w in bounding)
            first = [w for w in bounding if w.source.rank == strongest]
            if len(first) == 1:
                low, high = first[0].low, first[0].high
                assert low is None or winner.value >= low or (high is not None and high < low)
                assert high is None or winner.value <= high or (low is not None and high < low)


@given(WISHES)
def test_a_wish_of_the_winners_rank_or_stronger_was_never_passed_over(wishes: list[Request]) -> None:
    winners = decide(wishes, NOW)
    for wish_ in wishes:
        if wish_.value is not None and wish_.finite and wish_.expires > NOW:
            winner = winners[wish_.point]
            if wish_.low is None and wish_.high is None:
                assert winner.request.source.rank <= wish_.source.rank
