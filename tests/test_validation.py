"""What is strange about readings: every defect once, the times, and honest sensors left alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, nan, sin

import pytest

from controller.validation.reasons import reasons
from drivers.base import Flags, Quality
from tests.conftest import EPOCH
from tests.gate_bench import (
    BAD,
    BOILER_KW,
    CO2,
    ENERGY,
    EXCHANGED,
    FAN,
    FAST,
    GOOD,
    HALL,
    MINUTE,
    NONE,
    OUTDOOR,
    ROLLING,
    SUSPECT,
    VALVE,
    Bench,
    calm,
    reading,
    rising,
)


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
    assert reasons(Flags.STUCK | Flags.PUSHED) == "it has stuck"
    assert reasons(Flags.PUSHED) == ""
    assert all(reasons(flag) for flag in Flags if flag not in Flags.IN_ALARM | Flags.PUSHED)


def test_each_reason_has_its_own_words() -> None:
    said = [reasons(flag) for flag in Flags if reasons(flag)]
    assert len(said) == len(set(said))
