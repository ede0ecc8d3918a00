"""The envelope: nothing outside reaches the wire, whatever is asked and whatever is known."""

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.roles import Role
from config.site import Comfort, Point, Zone
from config.units import Unit
from controller.envelope import Allowed, Facts, Presence, Refused, check, within_share

ZONE = Zone(
    id="hall",
    area_m2=100,
    comfort=Comfort.model_validate({"occupied": {"low": 20, "high": 23.5}, "unoccupied": {"low": 12, "high": 26}}),
)


def point(role: Role, low: float, high: float, unit: Unit = Unit.DEGC, **more: Any) -> Point:
    return Point(
        id="b.hall.x", role=role, unit=unit, address="av,1", **({"writable": True, "low": low, "high": high} | more)
    )


SETPOINT = point(Role.HEATING_SETPOINT, 5, 26, max_change_per_step=2)
ENABLE = point(Role.ENABLE, 0, 1, Unit.BINARY)
FAN = point(Role.FAN_SPEED, 0, 100, Unit.PERCENT)
FLOW = point(Role.FLOW_SETPOINT, 25, 65, max_change_per_step=5)
BARE = Facts(automatic=False, zone=ZONE)
WARM = Facts(automatic=False, heat_source=True, outdoor_degc=9.0, coldest_degc=19.0)


def value(result: Allowed | Refused) -> float:
    assert isinstance(result, Allowed), result
    return result.value


def refusal(result: Allowed | Refused) -> Refused:
    assert isinstance(result, Refused), result
    return result


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, "21", None, [21], 2 + 3j, 10**400])
def test_what_is_no_finite_number_is_refused(wrong: object) -> None:
    assert not refusal(check(SETPOINT, wrong, BARE)).release


def test_a_binary_is_0_or_1_and_a_count_is_whole() -> None:
    assert value(check(ENABLE, True, WARM)) == 1.0
    refusal(check(ENABLE, 0.5, WARM))
    refusal(check(point(Role.OTHER, 0, 9, Unit.INDEX), 1.5, BARE))
    assert value(check(point(Role.OTHER, 0.5, 2.5, Unit.INDEX), 9, BARE)) == 2.0
    refusal(check(point(Role.OTHER, 0.4, 0.6, Unit.INDEX), 0, BARE))


def test_a_sensor_is_never_written() -> None:
    refusal(check(point(Role.CO2, 0, 1, writable=False), 1.0, BARE))


def test_a_setpoint_stays_within_its_engineering_limits_and_says_so() -> None:
    result = check(FLOW, 80.0, BARE)
    assert isinstance(result, Allowed)
    assert result == Allowed(value=65.0, notes=("held at 65, highest allowed now",))


@pytest.mark.parametrize(
    ("presence", "lowest"), [(Presence.SCHEDULED, 18.0), (Presence.SENSED, 16.0), (Presence.EMPTY, 12.0)]
)
def test_people_are_never_left_in_the_cold(presence: Presence, lowest: float) -> None:
    facts = replace(BARE, presence=presence)
    assert value(check(SETPOINT, 6.0, facts)) == lowest
    assert value(check(SETPOINT, 40.0, facts)) == 23.5  # the site's own band is wider than 23


def test_a_site_with_a_cooler_band_may_use_it() -> None:
    band = {"occupied": {"low": 14, "high": 19}, "unoccupied": {"low": 8, "high": 26}}
    store = ZONE.model_copy(update={"comfort": Comfort.model_validate(band)})
    assert value(check(SETPOINT, 6.0, replace(BARE, zone=store, presence=Presence.SCHEDULED))) == 14.0
    assert value(check(SETPOINT, 6.0, replace(BARE, zone=store))) == 8.0


def test_engineering_limits_beat_comfort_limits() -> None:
    narrow = point(Role.HEATING_SETPOINT, 10, 15)
    assert value(check(narrow, 21.0, replace(BARE, presence=Presence.SCHEDULED))) == 15.0


def test_a_plan_may_change_a_setpoint_only_so_fast_but_a_person_at_once() -> None:
    lately = Facts(zone=ZONE, recent=(20.0, 21.0))
    assert value(check(SETPOINT, 23.0, lately)) == 22.0
    assert value(check(SETPOINT, 15.0, lately)) == 19.0
    assert value(check(SETPOINT, 15.0, replace(lately, automatic=False))) == 15.0


def test_after_a_persons_large_change_a_plan_begins_from_the_present_value() -> None:
    assert value(check(SETPOINT, 13.0, Facts(zone=ZONE, recent=(14.0, 22.0)))) == 22.0


def test_comfort_beats_the_rate_of_change() -> None:
    facts = Facts(zone=ZONE, presence=Presence.SCHEDULED, recent=(12.0,))
    assert value(check(SETPOINT, 12.0, facts)) == 18.0


def test_a_plan_lets_a_machine_stay_as_it_is_for_ten_minutes() -> None:
    switched = replace(WARM, automatic=True, recent=(0.0, 1.0))
    assert value(check(ENABLE, 0.0, switched)) == 1.0
    assert value(check(ENABLE, 0.0, replace(switched, recent=(1.0,)))) == 0.0
    assert value(check(ENABLE, 0.0, replace(switched, automatic=False))) == 0.0


def test_the_last_heat_source_stays_free_in_frost_or_when_frost_cannot_be_excluded() -> None:
    assert value(check(ENABLE, 0.0, WARM)) == 0.0
    for outdoor in (2.9, -20.0, None):
        cold = replace(WARM, outdoor_degc=outdoor)
        assert refusal(check(ENABLE, 0.0, cold)).release
        assert value(check(ENABLE, 1.0, cold)) == 1.0
        assert value(check(ENABLE, 0.0, replace(cold, other_heat=True))) == 0.0
        assert value(check(ENABLE, 0.0, replace(cold, heat_source=False))) == 0.0  # a fan is no heat source


@pytest.mark.parametrize("wish", [(ENABLE, 0.0), (FLOW, 60.0), (SETPOINT, 14.0)])
def test_a_freezing_zone_takes_all_heating_out_of_our_hands(wish: tuple[Point, float]) -> None:
    facts = replace(WARM, coldest_degc=4.9, other_heat=True, zone=ZONE)
    assert refusal(check(*wish, facts)).release
    assert isinstance(check(*wish, replace(facts, coldest_degc=5.0)), Allowed)


def test_a_person_may_ask_for_heat_in_a_freezing_zone() -> None:
    assert value(check(SETPOINT, 21.0, replace(BARE, coldest_degc=2.0))) == 21.0


def test_bad_air_forbids_less_ventilation() -> None:
    facts = Facts(automatic=False, has_co2=True, co2_ppm=1001.0, building_value=60.0)
    assert value(check(FAN, 20.0, facts)) == 60.0
    assert value(check(FAN, 80.0, facts)) == 80.0
    assert value(check(FAN, 20.0, replace(facts, co2_ppm=1000.0))) == 20.0
    assert refusal(check(FAN, 20.0, replace(facts, building_value=None))).release


def test_foul_air_hands_the_fan_back_unless_it_runs_at_full_speed() -> None:
    facts = Facts(has_co2=True, co2_ppm=1501.0, building_value=60.0)
    assert refusal(check(FAN, 80.0, facts)).release
    assert value(check(FAN, 100.0, facts)) == 100.0


def test_a_silent_co2_sensor_counts_as_bad_air_while_people_are_there() -> None:
    facts = Facts(has_co2=True, building_value=60.0, presence=Presence.SENSED)
    assert value(check(FAN, 20.0, facts)) == 60.0
    assert value(check(FAN, 20.0, replace(facts, presence=Presence.EMPTY))) == 20.0
    assert value(check(FAN, 20.0, replace(facts, has_co2=False))) == 20.0


def test_a_cycle_changes_at_most_its_share_of_points() -> None:
    assert within_share("abcdefgh", 10, 0.5) == ("abcde", "fgh")
    assert within_share("ab", 1, 0.1) == ("a", "b")
    assert within_share("", 10, 0.5) == ("", "")


def test_the_limits_themselves_are_still_on_the_safe_side() -> None:
    assert value(check(ENABLE, 0.0, replace(WARM, outdoor_degc=3.0))) == 0.0
    assert value(check(SETPOINT, 16.0, replace(BARE, coldest_degc=2.0))) == 16.0
    assert value(check(FAN, 60.0, Facts(has_co2=True, co2_ppm=1500.0, building_value=60.0))) == 60.0


def test_notes_say_what_moved_a_value_and_nothing_else() -> None:
    lately = Facts(zone=ZONE, recent=(20.0,))
    assert check(SETPOINT, 21.0, lately) == Allowed(value=21.0)
    assert check(SETPOINT, 25.0, lately) == Allowed(value=22.0, notes=("25 approached slowly",))
    scheduled = replace(BARE, presence=Presence.SCHEDULED)
    assert check(SETPOINT, 17.0, scheduled) == Allowed(value=18.0, notes=("held at 18, lowest allowed now",))


def test_zero_has_one_sign_and_a_count_may_lack_limits() -> None:
    assert math.copysign(1.0, value(check(FAN, -0.0, BARE))) == 1.0
    loose = point(Role.OTHER, 0, 9, Unit.COUNT).model_copy(update={"low": None, "high": None})
    assert value(check(loose, 12, BARE)) == 12.0


def test_a_slow_approach_does_not_excuse_from_frost() -> None:
    facts = Facts(zone=ZONE, coldest_degc=4.0, recent=(12.0,))
    assert refusal(check(SETPOINT, 21.0, facts)).release


@pytest.fixture(scope="module")
def writable() -> list[Point]:
    from ruamel.yaml import YAML

    from config.site import Site

    site = Site.model_validate(YAML(typ="safe").load(Path("config/examples/townhall.yaml")))
    return [p for p in site.points.values() if p.writable]


ANY = st.floats() | st.sampled_from([0.0, 1.0, -0.0, 5e-324, -5e-324, 1e308]) | st.integers()
NEAR = st.none() | st.floats(-50, 2000)
FACTS = st.builds(
    Facts,
    automatic=st.booleans(),
    zone=st.sampled_from([None, ZONE]),
    presence=st.sampled_from(Presence),
    heat_source=st.booleans(),
    other_heat=st.booleans(),
    coldest_degc=NEAR,
    outdoor_degc=NEAR,
    has_co2=st.booleans(),
    co2_ppm=NEAR,
    building_value=NEAR,
    recent=st.lists(st.floats(-50, 100), max_size=3).map(tuple),
)
POINTS = st.sampled_from([SETPOINT, ENABLE, FAN, FLOW, point(Role.OTHER, -3, 7, Unit.INDEX)])


@given(POINTS, ANY, FACTS)
def test_whatever_is_asked_only_a_finite_value_within_limits_comes_out_and_stays(
    asked: Point, wish: float, facts: Facts
) -> None:
    result = check(asked, wish, facts)
    if isinstance(result, Allowed):
        assert asked.low is not None
        assert asked.high is not None
        assert asked.low <= result.value <= asked.high
        assert asked.unit is not Unit.BINARY or result.value in (0.0, 1.0)
        again = check(asked, result.value, facts)
        assert isinstance(again, Allowed), again
        assert again.value == result.value


@given(st.floats(-100, 100), st.floats(5, 26), st.floats(5, 26), FACTS)
def test_tighter_limits_never_widen_what_comes_out(wish: float, a: float, b: float, facts: Facts) -> None:
    low, high = min(a, b), max(a, b)
    wide = check(SETPOINT, wish, facts)
    if low == high or isinstance(wide, Refused):
        return
    tight = check(point(Role.HEATING_SETPOINT, low, high, max_change_per_step=2), wish, facts)
    if isinstance(tight, Refused):
        return
    assert low <= tight.value <= high
    if low <= wide.value <= high:
        assert tight.value == wide.value


@given(wish=ANY)
def test_every_point_of_the_town_hall_is_within_its_limits(wish: float, writable: list[Point]) -> None:
    for asked in writable:
        result = check(asked, wish, Facts(zone=ZONE))
        if isinstance(result, Allowed):
            assert asked.low is not None
            assert asked.high is not None
            assert asked.low <= result.value <= asked.high


def test_the_windows_are_shorter_than_a_step() -> None:
    from controller.envelope import RATE_WINDOW, SWITCH_WINDOW

    assert timedelta(minutes=10) <= SWITCH_WINDOW <= RATE_WINDOW < timedelta(minutes=15)
