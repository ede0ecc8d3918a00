"""The rule schedule: start in time, the cheaper source that works, air and light where people are."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.actuate import Wish
from controller.occupancy import Occupancy
from controller.rules import LONGEST_START, WARM_UP_K_PER_H, Now, Rules, WarmUp, merged
from controller.state import State
from drivers.base import Quality, Reading
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
HALL = "townhall.hall.heating_setpoint"
PUMP, BOILER, TANK = "townhall.heat_pump.enable", "townhall.boiler.enable", "townhall.tank.setpoint"
FAN, LIGHT = "townhall.ahu.fan_speed", "townhall.hall.light_level"
FLOW = "townhall.circuit.flow_setpoint"


class House:
    """State that a test sets, and the rules that look at it."""

    def __init__(self) -> None:
        self.state = State(SITE)
        self.rules = Rules(SITE, self.state, Occupancy(SITE))
        self.known: dict[str, float | None] = {}
        self.see({f"townhall.{z.id}.temperature": 18.0 for z in SITE.buildings[0].zones})
        self.see({"townhall.outdoor.temperature": 5.0, "townhall.heat_pump.fault": 0.0, "townhall.boiler.fault": 0.0})

    def see(self, values: dict[str, float | None]) -> None:
        self.known |= values

    def wishes(self, now: datetime = EPOCH, *, electricity: float = 0.25, gas: float = 0.07) -> dict[str, Wish]:
        """What the rules want at a time, all values being fresh."""
        self.state.update(
            Reading(point=p, time=now, received=now, value=v, quality=Quality.BAD if v is None else Quality.GOOD)
            for p, v in self.known.items()
        )
        look = Now(
            time=now,
            electricity_price=electricity,
            gas_price=gas,
            intensity_g_per_kwh=200.0,
            gas_kg_per_kwh=0.18,
        )
        return {wish.point: wish for wish in self.rules.wishes(look)}


@pytest.fixture
def house() -> House:
    return House()


def at(hour: float, day: int = 0) -> datetime:
    return EPOCH + timedelta(days=day, hours=hour)


def test_the_night_is_set_back_and_the_day_is_warm(house: House) -> None:
    assert house.wishes(at(20))[HALL].value == 15.0
    assert house.wishes(at(12))[HALL].value == 20.2
    assert house.wishes(at(12))[HALL].reason == "occupied by timetable"


def test_a_start_begins_as_early_as_the_warm_up_takes(house: House) -> None:
    kelvin, rate = 2.2, WARM_UP_K_PER_H * 1.2  # at 5 degC outdoors
    begins = at(8) - timedelta(hours=kelvin / rate)
    assert house.wishes(begins - timedelta(minutes=1))[HALL].value == 15.0
    found = house.wishes(begins + timedelta(minutes=1))[HALL]
    assert (found.value, found.reason) == (20.2, "optimal start for 08:00")


def test_no_start_is_longer_than_decent(house: House) -> None:
    house.see({"townhall.hall.temperature": 5.0})
    assert house.wishes(at(8) - LONGEST_START - timedelta(minutes=1))[HALL].value == 15.0
    assert house.wishes(at(8) - LONGEST_START)[HALL].value == 20.2


def test_a_zone_that_cannot_be_seen_is_warm_in_its_hours(house: House) -> None:
    house.see({"townhall.hall.temperature": None})
    assert house.wishes(at(7.9))[HALL].value == 15.0
    assert house.wishes(at(8))[HALL].value == 20.2


def test_warm_up_is_learned_from_starts_and_stays_within_reason() -> None:
    warm = WarmUp()
    assert warm.rate("hall", 0.0) == WARM_UP_K_PER_H
    assert warm.rate("hall", 10.0) > WARM_UP_K_PER_H > warm.rate("hall", -10.0) > 0.0
    for day in range(30):
        warm.saw("hall", 16.0, at(5, day), heating=True, outdoor_degc=0.0)
        warm.saw("hall", 18.0, at(6, day), heating=True, outdoor_degc=0.0)
        warm.saw("hall", 20.0, at(7, day), heating=False, outdoor_degc=0.0)
    assert warm.rate("hall", 0.0) == pytest.approx(2.0, abs=0.01)
    before = warm.rate("hall", 0.0)
    warm.saw("hall", 16.0, at(5, 40), heating=True, outdoor_degc=0.0)
    warm.saw("hall", 20.0, at(5.4, 40), heating=False, outdoor_degc=0.0)
    assert warm.rate("hall", 0.0) == before, "a short start teaches nothing"


@given(st.lists(st.tuples(st.floats(-20, 40), st.booleans(), st.floats(-30, 30)), max_size=60))
def test_no_history_teaches_an_absurd_rate(seen: list[tuple[float, bool, float]]) -> None:
    warm = WarmUp()
    for hour, (degc, heating, outdoor) in enumerate(seen):
        warm.saw("hall", degc, at(hour), heating=heating, outdoor_degc=outdoor)
    assert warm.rate("hall", -30.0) >= 0.15 * 0.4
    assert warm.rate("hall", 0.0) <= 3.0


def test_the_cheaper_source_leads_and_the_boiler_may_top_up(house: House) -> None:
    cheap = house.wishes(electricity=0.09)
    assert (cheap[PUMP].value, cheap[BOILER].value) == (1.0, 1.0)
    assert cheap[TANK].value == 52.0, "cheap heat is stored"
    dear = house.wishes(electricity=0.38)
    assert (dear[PUMP].value, dear[BOILER].value, dear[TANK].value) == (0.0, 1.0, 45.0)


@pytest.mark.parametrize("electricity", [0.01, 0.25, 5.0])
def test_a_broken_boiler_leaves_the_heat_to_the_heat_pump(house: House, electricity: float) -> None:
    house.see({"townhall.boiler.fault": 1.0})
    found = house.wishes(electricity=electricity)
    assert found[PUMP].value == 1.0
    assert "none to be had" in found[PUMP].reason


def test_a_broken_heat_pump_leaves_the_heat_to_the_boiler(house: House) -> None:
    house.see({"townhall.heat_pump.fault": 1.0})
    found = house.wishes(electricity=0.01)
    assert (found[PUMP].value, found[BOILER].value) == (0.0, 1.0)
    assert found[PUMP].reason == "it reports a fault"
    assert found[TANK].value == 45.0


def test_if_everything_is_broken_everything_stays_enabled(house: House) -> None:
    house.see({"townhall.heat_pump.fault": 1.0, "townhall.boiler.fault": 1.0})
    found = house.wishes(electricity=5.0)
    assert (found[PUMP].value, found[BOILER].value) == (1.0, 1.0)


def test_the_flow_follows_the_weather_and_the_worst_zone(house: House) -> None:
    mild = house.wishes(at(20))[FLOW].value
    house.see({"townhall.outdoor.temperature": -5.0})
    cold = house.wishes(at(20))[FLOW].value
    assert mild < cold
    short = house.wishes(at(12))[FLOW].value
    assert cold < short <= 65.0
    assert house.wishes(at(12.1))[FLOW].reason == "outdoor -5 degC, worst zone 2.2 K short"


@pytest.mark.parametrize(
    ("ppm", "people", "speed"), [(400.0, 0.0, 0.0), (400.0, 5.0, 20.0), (800.0, 5.0, 50.0), (1300.0, 0.0, 100.0)]
)
def test_air_follows_co2_and_people(house: House, ppm: float, people: float, speed: float) -> None:
    house.see({"townhall.council.co2": ppm, "townhall.council.people": people})
    assert house.wishes()[FAN].value == speed


def test_without_a_co2_sensor_the_air_is_the_buildings(house: House) -> None:
    house.see({"townhall.council.co2": None, "townhall.council.people": 30.0})
    assert FAN not in house.wishes()


def test_lights_go_out_ten_minutes_after_the_last(house: House) -> None:
    house.see({"townhall.hall.people": 2.0})
    assert LIGHT not in house.wishes(at(12)), "where people are, the light is the building's"
    house.see({"townhall.hall.people": 0.0})
    assert LIGHT not in house.wishes(at(12) + timedelta(minutes=9, seconds=59))
    found = house.wishes(at(12) + timedelta(minutes=10))[LIGHT]
    assert (found.value, found.reason) == (0.0, "nobody there")
    house.see({"townhall.hall.people": None})
    assert LIGHT not in house.wishes(at(13)), "an unknown presence never darkens a room"


def test_the_plan_comes_before_the_rules_where_it_wants_something() -> None:
    rules = [Wish(point=p, value=1.0, reason="rule") for p in ("a", "b")]
    plan = {p: Wish(point=p, value=2.0, reason="plan") for p in ("b", "c")}
    found = {wish.point: wish.reason for wish in merged(rules, plan)}
    assert found == {"a": "rule", "b": "plan", "c": "plan"}
