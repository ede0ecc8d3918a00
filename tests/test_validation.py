"""What is strange about readings: every defect once, nothing lost, nothing raised, and honest sensors left alone."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf, isfinite, nan, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.site import Site
from controller.hub import Hub
from controller.validation.gate import Gate, words
from drivers.base import Flags, Quality, Reading
from tests.conftest import EPOCH
from tests.controlled import small_site

MINUTE = timedelta(minutes=1)
GOOD, SUSPECT, BAD = Quality.GOOD, Quality.SUSPECT, Quality.BAD
NONE = Flags.NONE

HALL, NEXT, THIRD, OUTDOOR = "b.hall.temperature", "b.next.temperature", "b.third.temperature", "b.outdoor.temperature"
CO2, FLOW, BOILER_KW, VALVE, FAN = "b.hall.co2", "b.circuit.flow", "b.boiler.heat", "b.hall.valve", "b.ahu.fan_speed"
ENERGY, ROLLING, EXCHANGED, FAST = "b.grid.kwh", "b.rolling.kwh", "b.exchanged.kwh", "b.fast.kwh"
EXCHANGED_AT = EPOCH + 30.5 * MINUTE


def _temperature(point: str, role: str = "zone_temperature") -> dict[str, object]:
    return {"id": point, "role": role, "unit": "degC", "address": "ai,1"}


def _meter(point: str) -> dict[str, object]:
    return {"id": point, "role": "electricity_meter", "unit": "kWh", "address": "ai,9"}


SITE = small_site(
    {
        "all": [
            *(_temperature(point) for point in (HALL, NEXT, THIRD)),
            _temperature(OUTDOOR, "outdoor_temperature"),
            _temperature(FLOW, "flow_temperature"),
            {"id": CO2, "role": "co2", "unit": "ppm", "address": "ai,2"},
            {"id": BOILER_KW, "role": "heat_output", "unit": "kW", "address": "ai,3"},
            {"id": VALVE, "role": "valve_position", "unit": "%", "address": "ai,4"},
            {"id": FAN, "role": "fan_speed", "unit": "%", "address": "ao,1", "writable": True, "low": 0, "high": 100},
            *(_meter(point) for point in (ENERGY, ROLLING, EXCHANGED, FAST)),
        ]
    },
    meters=[
        {"id": "plain", "fuel": "electricity", "point": ENERGY},
        {"id": "rolling", "fuel": "electricity", "point": ROLLING, "digits": 5},
        {
            "id": "exchanged",
            "fuel": "electricity",
            "point": EXCHANGED,
            "exchanges": [{"time": EXCHANGED_AT.isoformat(), "closing": 5000.0, "opening": 20.0}],
        },
        {"id": "fast", "fuel": "electricity", "point": FAST, "capacity_kw": 100},
    ],
)


def reading(point: str, value: float | None, minute: float = 0.0, *, late_s: float = 0.0, **more: object) -> Reading:
    """A reading of that minute, had `late_s` after it was true."""
    when = EPOCH + minute * MINUTE
    received = when if late_s == 0.0 else when + timedelta(seconds=late_s)
    return Reading(point=point, time=when, received=received, value=value, **more)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A gate with somebody who listens behind it."""

    site: Site = SITE
    forgotten: list[tuple[str, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub: Hub[Reading] = Hub()
        self.gate = Gate(self.site, self.hub, forget=lambda point, since: self.forgotten.append((point, since)))

    def passed(self, readings: Iterable[Reading]) -> list[Reading]:
        """What comes out when the readings come one by one."""
        with self.hub.subscribe(size=100_000) as buffer:
            for each in readings:
                self.gate.publish(each)
            return buffer.take()

    def shown(self, point: str, values: Sequence[float | None], *, first: float = 0.0) -> list[tuple[Quality, Flags]]:
        """The verdicts on a value each minute."""
        found = self.passed(reading(point, value, first + n) for n, value in enumerate(values))
        return [(each.quality, each.flags) for each in found]


def calm(level: float, *, by: float = 0.1, count: int = 20) -> list[float]:
    """A sensor that moves a little, in steps of its resolution."""
    return [round(level + by * (n % 3), 6) for n in range(count)]


def rising(start: float, *, by: float = 0.5, count: int = 20) -> list[float]:
    return [round(start + by * n, 6) for n in range(count)]


@dataclass(frozen=True, kw_only=True)
class Defect:
    """Values before, the strange ones, those after, and what is said of the strange and the later ones."""

    point: str
    before: Sequence[float]
    strange: Sequence[float]
    said: Sequence[tuple[Quality, Flags]]
    after: Sequence[float] = ()
    said_after: Sequence[tuple[Quality, Flags]] = ()  # of the first of them; the others are good


DEFECTS = {
    "too hot for a room": Defect(
        point=HALL, before=calm(20), strange=[85.0], said=[(SUSPECT, Flags.OUT_OF_RANGE)], after=calm(20)
    ),
    "an open circuit": Defect(
        point=HALL, before=[], strange=[-273.0] * 5, said=[(SUSPECT, Flags.OUT_OF_RANGE)] * 5, after=calm(20)
    ),
    "no air has so little CO2": Defect(
        point=CO2, before=calm(600, by=5), strange=[0.0], said=[(SUSPECT, Flags.OUT_OF_RANGE)], after=calm(600, by=5)
    ),
    "a boiler cannot give that": Defect(
        point=BOILER_KW, before=calm(40, by=3), strange=[75.0], said=[(SUSPECT, Flags.OUT_OF_RANGE)], after=calm(0)
    ),
    "a valve is not open by a half more": Defect(
        point=VALVE, before=[0, 50, 100], strange=[150.0], said=[(SUSPECT, Flags.OUT_OF_RANGE)], after=[100, 100.5]
    ),
    "one spike": Defect(point=HALL, before=calm(20), strange=[31.0], said=[(SUSPECT, Flags.SPIKE)], after=calm(20)),
    "a step that is confirmed at once": Defect(
        point=HALL, before=calm(20), strange=[26.0], said=[(SUSPECT, Flags.SPIKE)], after=calm(26)
    ),
    "a step that two of three confirm": Defect(
        point=HALL,
        before=calm(20),
        strange=[26.0, 20.1, 26.2],
        said=[(SUSPECT, Flags.SPIKE), (GOOD, NONE), (GOOD, NONE)],
        after=calm(26),
    ),
    "two spikes that have nothing in common": Defect(
        point=HALL, before=calm(20), strange=[31.0, 5.0], said=[(SUSPECT, Flags.SPIKE)] * 2, after=calm(20)
    ),
    "degrees Fahrenheit within the range": Defect(
        point=HALL,
        before=calm(14),
        strange=[57.4, 57.6, 58.0, 59.2],  # 14.1 to 15.1 degC
        said=[(SUSPECT, Flags.UNIT_JUMP)] * 4,
        after=calm(15),
    ),
    "degrees Fahrenheit outside the range": Defect(
        point=HALL,
        before=calm(20),
        strange=[68.0, 69.8, 71.6],
        said=[(SUSPECT, Flags.UNIT_JUMP | Flags.OUT_OF_RANGE)] * 3,
        after=calm(22),
    ),
    "degrees Celsius taken for Fahrenheit": Defect(
        point=OUTDOOR, before=calm(10), strange=[-12.2, -12.1], said=[(SUSPECT, Flags.UNIT_JUMP)] * 2, after=calm(10)
    ),
    "thousandths": Defect(
        point=HALL, before=calm(20), strange=[0.0201, 0.0203], said=[(SUSPECT, Flags.UNIT_JUMP)] * 2, after=calm(20)
    ),
    "watts for kilowatts": Defect(
        point=BOILER_KW,
        before=calm(40, by=3),
        strange=[41_000.0, 38_000.0],
        said=[(SUSPECT, Flags.UNIT_JUMP | Flags.OUT_OF_RANGE)] * 2,
        after=calm(40),
    ),
    "a register that shows nought once": Defect(
        point=ENERGY,
        before=rising(12_000),
        strange=[0.0],
        said=[(SUSPECT, Flags.BACKWARDS)],
        after=rising(12_010),
    ),
    "a register that was reset": Defect(
        point=ENERGY,
        before=rising(12_000),
        strange=[0.0],
        said=[(SUSPECT, Flags.BACKWARDS)],
        after=rising(0.5),
        said_after=[(GOOD, Flags.RESET)],
    ),
    "another meter": Defect(
        point=ENERGY,
        before=rising(12_000),
        strange=[4_300.0],
        said=[(SUSPECT, Flags.BACKWARDS)],
        after=rising(4_300.5),
        said_after=[(GOOD, Flags.REPLACED)],
    ),
    "another meter that stands higher": Defect(
        point=FAST,
        before=rising(12_000),
        strange=[43_000.0],
        said=[(SUSPECT, Flags.SPIKE)],
        after=rising(43_000.5),
        said_after=[(GOOD, Flags.REPLACED)],
    ),
    "a register that once rises too fast": Defect(
        point=FAST, before=rising(12_000), strange=[12_300.0], said=[(SUSPECT, Flags.SPIKE)], after=rising(12_010)
    ),
    "a register that rolls over": Defect(
        point=ROLLING, before=rising(99_990), strange=[0.3], said=[(GOOD, Flags.ROLLED_OVER)], after=rising(0.5)
    ),
    "a register that rolls over, though nobody said where": Defect(
        point=ENERGY, before=rising(9_990), strange=[0.0], said=[(GOOD, Flags.ROLLED_OVER)], after=rising(0.5)
    ),
    "an exchange that the site file tells of": Defect(
        point=EXCHANGED,
        before=rising(4_985, count=31),
        strange=[20.5],
        said=[(GOOD, Flags.REPLACED)],
        after=rising(21),
    ),
    "watt hours for kilowatt hours": Defect(
        point=ENERGY,
        before=rising(12_000),
        strange=[12_010_000.0, 12_010_500.0],
        said=[(SUSPECT, Flags.UNIT_JUMP)] * 2,
        after=rising(12_011),
    ),
    "a register that is rounded down": Defect(
        point=ENERGY,
        before=rising(12_000),
        strange=[12_009.4],
        said=[(SUSPECT, Flags.BACKWARDS)],
        after=[12_009.4, 12_009.6],
        said_after=[(GOOD, Flags.BACKWARDS)],
    ),
    "not a number": Defect(
        point=HALL, before=calm(20), strange=[nan, inf, -inf], said=[(BAD, Flags.NOT_A_NUMBER)] * 3, after=calm(20)
    ),
    "not a number on an output": Defect(
        point=FAN, before=[0, 100], strange=[inf, nan], said=[(BAD, Flags.NOT_A_NUMBER)] * 2, after=[150.0]
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_flagged_and_only_it(name: str) -> None:
    defect, bench = DEFECTS[name], Bench()
    said = bench.shown(defect.point, [*defect.before, *defect.strange, *defect.after])
    expected = [(GOOD, NONE)] * len(defect.before) + [*defect.said, *defect.said_after]
    expected += [(GOOD, NONE)] * (len(said) - len(expected))
    assert said == expected


def test_the_value_is_kept_beside_the_flags() -> None:
    (*_, doubted) = Bench().passed([*(reading(HALL, v, n) for n, v in enumerate(calm(20))), reading(HALL, 31.0, 20)])
    assert (doubted.value, doubted.quality, doubted.flags) == (31.0, SUSPECT, Flags.SPIKE)


@pytest.mark.parametrize("flag", [Flags.OVERRIDDEN, Flags.OUT_OF_SERVICE])
def test_what_the_device_doubts_stays_doubted_and_teaches_nothing(flag: Flags) -> None:
    bench = Bench()
    bench.shown(HALL, calm(20))
    given = [reading(HALL, 45.0, 20 + n, quality=SUSPECT, flags=flag) for n in range(5)]
    assert bench.passed(given) == given
    assert bench.shown(HALL, calm(20), first=25) == [(GOOD, NONE)] * 20


def test_a_fault_at_the_device_stays_bad() -> None:
    given = reading(HALL, None, quality=BAD, flags=Flags.FAULT)
    assert Bench().passed([given]) == [given]


def test_a_time_in_the_future_is_replaced_and_flagged() -> None:
    near, far = reading(HALL, 20.0, 0, late_s=-60), reading(HALL, 20.1, 2, late_s=-61)
    found = Bench().passed([near, far])
    assert found[0] == near
    assert found[1] == replace(far, time=far.received, flags=Flags.FUTURE_TIME)


def test_a_late_reading_is_good_but_not_current() -> None:
    punctual, late = reading(HALL, 20.0, 0, late_s=300), reading(HALL, 20.0, 1, late_s=301)
    found = Bench().passed([punctual, late])
    assert found == [punctual, replace(late, flags=Flags.LATE)]
    assert [each.is_current for each in found] == [True, False]


def test_what_comes_out_of_order_is_kept_at_its_time_and_changes_nothing() -> None:
    bench = Bench()
    bench.shown(ENERGY, rising(100))
    (old,) = bench.passed([reading(ENERGY, 101.2, 15.5, late_s=240)])
    assert (old.quality, old.flags, old.time) == (GOOD, Flags.OUT_OF_ORDER, EPOCH + 15.5 * MINUTE)
    assert not old.is_current
    (wild,) = bench.passed([reading(HALL, 20.0, 9), reading(HALL, 99.0, 8, late_s=90)])[1:]
    assert (wild.quality, wild.flags) == (SUSPECT, Flags.OUT_OF_ORDER | Flags.OUT_OF_RANGE)
    assert bench.shown(ENERGY, rising(110), first=20) == [(GOOD, NONE)] * 20


def test_another_value_of_the_same_time_is_flagged_and_the_same_again_is_not() -> None:
    bench, first = Bench(), reading(HALL, 20.0, 0)
    again, other = bench.passed([first, first, reading(HALL, 20.2, 0)])[1:]
    assert again == first
    assert (other.quality, other.flags) == (GOOD, Flags.SAME_TIME)


def test_a_reading_that_comes_again_is_judged_as_it_was() -> None:
    bench = Bench()
    bench.shown(HALL, calm(20))
    spike, late = reading(HALL, 31.0, 20), reading(CO2, 600.0, 0, late_s=600)
    assert [r.flags for r in bench.passed([spike, spike, spike])] == [Flags.SPIKE] * 3, "two of three are one"
    assert [r.flags for r in bench.passed([late, late])] == [Flags.LATE] * 2


def test_a_poll_beside_a_push_does_not_confirm_it() -> None:
    bench = Bench()
    bench.shown(HALL, calm(20))
    polled = reading(HALL, 31.0, 20)
    pushed = replace(polled, flags=Flags.PUSHED)
    found = bench.passed([pushed, polled, reading(HALL, 31.1, 20)])
    assert [(r.quality, r.flags & ~Flags.PUSHED) for r in found] == [
        (SUSPECT, Flags.SPIKE),
        (SUSPECT, Flags.SPIKE),
        (SUSPECT, Flags.SAME_TIME),
    ]


def test_after_our_clock_was_set_back_readings_are_current_again() -> None:
    bench = Bench()
    bench.shown(HALL, calm(20), first=100)
    assert bench.shown(HALL, calm(20), first=10) == [(GOOD, NONE)] * 20


def test_a_step_after_a_long_silence_is_no_spike() -> None:
    bench = Bench()
    bench.shown(HALL, calm(20))
    assert bench.shown(HALL, calm(12), first=20 + 61) == [(GOOD, NONE)] * 20


def test_a_restless_sensor_is_allowed_what_is_usual_for_it() -> None:
    restless = [20.0 + 4.0 * sin(n) for n in range(60)]
    said = Bench().shown(HALL, restless)
    assert all(verdict == (GOOD, NONE) for verdict in said[20:])


# --- stuck ---------------------------------------------------------------------------------------------------------

HOURS = 60


def half_days(bench: Bench, minutes: int, *, first: int = 0, **frozen: float) -> dict[str, list[Reading]]:
    """Three rooms that warm up and cool down; those in `frozen` by their zone's name show that value all the time."""
    found: dict[str, list[Reading]] = {}
    for minute in range(first, first + minutes, 5):
        for n, point in enumerate((HALL, NEXT, THIRD)):
            true = round(20.0 + 2.0 * sin(minute / 200 + n), 1)
            value = frozen.get(point.split(".")[1], true)
            (out,) = bench.passed([reading(point, value, minute)])
            found.setdefault(point, []).append(out)
    return found


def test_a_sensor_that_has_stuck_is_found_while_its_siblings_move(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    half_days(bench, 2 * HOURS)
    stood = half_days(bench, 13 * HOURS, first=2 * HOURS, hall=20.3)
    said = [(r.quality, r.flags) for r in stood[HALL]]
    assert said[0] == (GOOD, NONE)
    assert said[-1] == (SUSPECT, Flags.STUCK)
    begun = said.index((SUSPECT, Flags.STUCK)) * 5
    assert 12 * HOURS < begun <= 12 * HOURS + 20
    assert bench.forgotten == [(HALL, EPOCH + 2 * HOURS * MINUTE)]
    assert {r.quality for point in (NEXT, THIRD) for r in stood[point]} == {GOOD}
    moving = half_days(bench, 1 * HOURS, first=15 * HOURS)
    assert {r.quality for r in moving[HALL][1:]} == {GOOD}
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert lines == [f"{HALL} shows 20.3, which is not believed: it has stuck"]


def test_a_sensor_that_never_moved_since_we_began_is_found_by_its_siblings_resolution() -> None:
    stood = half_days(Bench(), 13 * HOURS, hall=20.3)
    assert stood[HALL][-1].flags is Flags.STUCK


def test_a_quiet_building_has_no_stuck_sensor() -> None:
    bench = Bench()
    found = half_days(bench, 30 * HOURS, hall=20.3, next=20.4, third=20.5)
    assert {r.quality for rs in found.values() for r in rs} == {GOOD}
    assert bench.forgotten == []


def test_a_coarse_sensor_beside_fine_ones_has_not_stuck() -> None:
    bench = Bench()
    for minute in range(0, 30 * HOURS, 5):
        rough = 20.0 if minute > 2 * HOURS else float(20 + minute // 5 % 2)  # whole degrees, in a steady room
        said = bench.passed(
            [
                reading(HALL, rough, minute),
                reading(NEXT, round(20.0 + 0.9 * sin(minute / 200), 1), minute),
                reading(THIRD, round(20.0 + 0.9 * sin(minute / 220), 1), minute),
            ]
        )
        assert {r.quality for r in said} == {GOOD}


def test_a_sensor_that_falls_silent_has_not_stuck() -> None:
    bench = Bench()
    half_days(bench, 2 * HOURS)
    for minute in range(2 * HOURS, 15 * HOURS, 5):
        bench.passed(reading(p, round(20.0 + 2.0 * sin(minute / 200), 1), minute) for p in (NEXT, THIRD))
    assert bench.shown(HALL, [20.3], first=15 * HOURS) == [(GOOD, NONE)]
    assert bench.forgotten == []


# --- a restart -----------------------------------------------------------------------------------------------------


def test_a_meter_that_was_exchanged_while_we_were_away_is_noticed() -> None:
    bench = Bench()
    bench.gate.remember([reading(ENERGY, 12_000.0, 0), reading(HALL, None, 0, quality=BAD)])
    said = bench.shown(ENERGY, rising(300), first=60)
    assert said[:2] == [(SUSPECT, Flags.BACKWARDS), (GOOD, Flags.REPLACED)]
    assert set(said[2:]) == {(GOOD, NONE)}


def test_what_goes_on_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.shown(HALL, [*calm(20), *[85.0] * 30])
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert line == f"{HALL} shows 85.0, which is not believed: outside its range"


def test_reasons_have_words() -> None:
    assert words(Flags.STUCK | Flags.PUSHED) == "it has stuck"
    assert words(Flags.PUSHED) == ""
    assert all(words(flag) for flag in Flags if flag not in Flags.IN_ALARM | Flags.PUSHED)


# --- whatever comes ------------------------------------------------------------------------------------------------

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


def test_the_epoch_is_aware() -> None:
    assert EPOCH.tzinfo is UTC
