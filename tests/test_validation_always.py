"""Whatever comes: nothing is lost, nothing raised, and what goes on sensibly is believed in the end."""

from datetime import timedelta
from itertools import pairwise
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Flags, Quality, Reading
from tests.gate_bench import BAD, ENERGY, EXCHANGED, FAST, GOOD, HALL, NONE, ROLLING, SITE, Bench, reading

VALUES = st.one_of(
    st.floats(),
    st.sampled_from([0.0, 20.0, 20.1, 68.0, 20_000.0, 99_999.9, 1e308, -1e308, 5e-324]),
    st.none(),
    st.integers(-(2**70), 2**70),
)
POINTS = [*SITE.points, "b.nobody.knows"]
READINGS = st.builds(
    reading,
    st.sampled_from(POINTS),
    VALUES,
    st.floats(-1e4, 1e6),
    late_s=st.sampled_from([0.0, 0.0, 0.0, 5.0, 1e5, -30.0, -61.0, -1e6]),
    quality=st.sampled_from(list(Quality)),
    flags=st.sampled_from([NONE, Flags.PUSHED, Flags.FAULT | Flags.IN_ALARM, Flags.FUTURE_TIME]),
)


@given(st.lists(st.lists(READINGS, max_size=8), max_size=30))
def test_no_reading_is_lost_whatever_comes(batches: list[list[Reading]]) -> None:
    bench = Bench()
    with bench.hub.subscribe(size=1000) as buffer:
        for batch in batches:
            bench.gate.publish(*batch)
        found = buffer.take()
    given_in = [each for batch in batches for each in batch]
    assert [(r.point, r.received) for r in found] == [(r.point, r.received) for r in given_in]
    for before, after in zip(given_in, found, strict=True):
        assert (after.value is None) == (after.quality is BAD)
        assert after.flags & before.flags == before.flags, "what the driver said stays said"
        assert after.time <= after.received + timedelta(seconds=60)
        if after.value is not None:
            assert isfinite(after.value)
            assert after.value == before.value
        if after.quality is GOOD:
            assert before.quality is GOOD
        elif after.quality is not before.quality:
            assert after.flags & ~before.flags, "a doubt has its reason"


@given(st.lists(st.floats(-19.9, 59.9), min_size=1, max_size=60))
def test_a_temperature_is_believed_again_when_it_stays_where_it_is(wild: list[float]) -> None:
    bench = Bench()
    bench.shown(HALL, wild)
    settled = bench.shown(HALL, [21.0] * 4, first=len(wild))
    assert settled[-1][0] is GOOD


@given(st.lists(st.floats(0, 1e6), max_size=40), st.sampled_from([ENERGY, ROLLING, FAST, EXCHANGED]))
def test_a_register_is_believed_again_when_it_goes_on(wild: list[float], meter: str) -> None:
    bench = Bench()
    bench.shown(meter, wild)
    settled = bench.shown(meter, [5_000.0 + 0.1 * n for n in range(6)], first=len(wild))
    assert settled[-1][0] is GOOD


@given(st.lists(st.floats(0.0, 1.6), min_size=2, max_size=200))
def test_a_register_that_rises_as_it_may_is_always_good(rises: list[float]) -> None:
    values = [1000.0]
    for rise in rises:
        values.append(values[-1] + rise)
    assert all(b >= a for a, b in pairwise(values))
    assert set(Bench().shown(FAST, values)) == {(GOOD, NONE)}
