"""A plan's step as setpoints: what is asked for, and that nothing asked for passes the envelope unlawfully."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.roles import Role
from controller.actuate import BELOW_K, RATED_EXCESS_K, Wish, by_point, emitter_share, flow_needed, wishes
from controller.envelope import Allowed, Facts, check
from controller.learned import priors
from optimiser.problem import Plan, Problem, Reason
from tests.plans import BUILDING, STEPS, cold_house, planned
from tests.problems import START, STEP, zone
from tests.town_hall import town_hall_site

SITE = town_hall_site()
ZONES = [z.id for z in BUILDING.zones]
LEARNED = priors(SITE)
HEAT_PUMP, BOILER = "townhall.heat_pump.enable", "townhall.boiler.enable"
LIMIT, TANK, FLOW = "townhall.heat_pump.capacity_limit", "townhall.tank.setpoint", "townhall.circuit.flow_setpoint"
HALL = "townhall.hall.heating_setpoint"


def asked_for(problem_: Problem, plan: Plan, step: int = 0) -> dict[str, Wish]:
    return dict(by_point(wishes(SITE, problem_, plan, LEARNED, step)))


def test_a_zone_that_is_not_heated_is_left_at_its_floor() -> None:
    found = asked_for(cold_house(), planned(cold_house()))
    assert found[HALL].value == 20.0
    assert "no heat needed" in found[HALL].reason
    assert {f"townhall.{name}.heating_setpoint" for name in ZONES} <= set(found)


def test_a_heated_zone_is_set_at_or_above_what_is_planned() -> None:
    house = cold_house()
    plan = planned(house, heat_hall=15.0, temperature_hall=20.5)
    found = asked_for(house, plan)
    assert 20.5 <= found[HALL].value <= 22.0
    assert "15.0 kW" in found[HALL].reason


def test_the_plans_own_words_come_first() -> None:
    house = cold_house()
    reasons = tuple(
        Reason(time=START + n * STEP, part="hall", cause="price", text=text) for n, text in enumerate(("now", "later"))
    )
    found = asked_for(house, replace(planned(house), reasons=reasons))
    assert found[HALL].reason == "now"


def test_a_zone_that_somebody_holds_is_not_asked_for() -> None:
    house = cold_house()
    held = replace(house.zones[0], held_degc=22.0)
    assert HALL not in asked_for(replace(house, zones=(held, *house.zones[1:])), planned(house))


def test_a_running_heat_pump_is_enabled_as_far_as_planned_and_its_tank_lets_it() -> None:
    house = cold_house()
    found = asked_for(house, planned(house, heat_pump=4.0, tank=10.0))
    assert (found[HEAT_PUMP].value, found[LIMIT].value) == (1.0, 50.0)
    idle = asked_for(house, planned(house, tank=10.0))
    assert found[TANK].value > idle[TANK].value
    assert idle[HEAT_PUMP].value == 0.0
    assert LIMIT not in idle, "who does not run needs no limit"
    assert "waits" in idle[HEAT_PUMP].reason


def test_a_breath_of_heat_in_the_plan_starts_nothing() -> None:
    house = cold_house()
    found = asked_for(house, planned(house, heat_pump=0.9, boiler=0.9))
    assert (found[HEAT_PUMP].value, found[BOILER].value) == (0.0, 0.0)


def test_the_boiler_runs_when_planned() -> None:
    house = cold_house()
    found = asked_for(house, planned(house, boiler=12.0))
    assert found[BOILER].value == 1.0
    assert found[BOILER].reason == "12 kW beside the heat pump"


@pytest.mark.parametrize(("available", "ready"), [(True, HEAT_PUMP), (False, BOILER)])
def test_in_frost_one_source_stays_ready(*, available: bool, ready: str) -> None:
    house = replace(cold_house(), outdoor_degc=(-2.0,) * STEPS)
    assert house.heat_pump is not None
    house = replace(house, heat_pump=replace(house.heat_pump, available=available))
    found = asked_for(house, planned(house))
    assert found[ready].value == 1.0
    assert found[ready].reason == "ready against frost"
    assert {found[HEAT_PUMP].value, found[BOILER].value} == {0.0, 1.0}


def test_a_full_tank_is_its_highest_temperature_and_an_empty_one_its_useful_lowest() -> None:
    house = cold_house()
    full = asked_for(house, planned(house, tank=20.0))[TANK].value
    empty = asked_for(house, planned(house, tank=0.0))[TANK].value
    assert full == 55.0
    assert empty == pytest.approx(55.0 - 20.0 / (3000 * 4.186 / 3600), abs=0.06)


def test_the_flow_is_as_hot_as_the_heated_zones_need() -> None:
    house = cold_house()
    assert asked_for(house, planned(house))[FLOW].value == 25.0
    some = asked_for(house, planned(house, heat_hall=10.0))[FLOW]
    more = asked_for(house, planned(house, heat_hall=18.0))[FLOW]
    assert 25.0 < some.value < more.value <= 65.0
    assert "hall" in some.reason


def test_one_room_that_asks_for_a_little_more_does_not_heat_all_water() -> None:
    house = cold_house()
    alike = asked_for(house, planned(house, **{f"heat:{name}": 5.0 for name in ZONES}))[FLOW]
    worst = asked_for(house, planned(house, **{f"heat:{name}": 5.0 for name in ZONES} | {"heat:reception": 5.9}))[FLOW]
    alone = asked_for(house, planned(house, **{"heat:reception": 5.9}))[FLOW]
    assert alike.value <= worst.value < alone.value
    assert f"and {len(ZONES) - 3} more" in alike.reason


@given(st.floats(25.0, 80.0), st.floats(10.0, 24.0))
def test_what_an_emitter_gives_and_the_flow_it_needs_belong_together(flow: float, room: float) -> None:
    share = emitter_share(flow, room)
    assert share >= 0.0
    if flow > room + 6.0:
        assert flow_needed(share, 1.0, room) == pytest.approx(flow, abs=0.5)


def test_the_boiler_joins_in_for_a_room_in_use_that_the_tank_leaves_cold() -> None:
    house = cold_house()
    assert house.tank is not None
    hall = replace(house.zones[0], temperature_degc=19.0, max_heat_kw=18.0)
    tank = replace(house.tank, energy_kwh=2.0, draw_kw=10.0, draw_kw_per_kwh=0.5)
    cold = replace(house, zones=(hall, *house.zones[1:]), tank=tank)
    assert asked_for(cold, planned(cold, heat_hall=17.0))[BOILER].value == 1.0
    assert asked_for(cold, planned(cold, heat_hall=6.0))[BOILER].value == 0.0, "it was not meant to be heated hard"
    warm = replace(cold, zones=(replace(hall, temperature_degc=20.5), *house.zones[1:]))
    assert asked_for(warm, planned(warm, heat_hall=17.0))[BOILER].value == 0.0
    hot = replace(cold, tank=replace(tank, draw_kw=500.0))
    assert asked_for(hot, planned(hot, heat_hall=17.0))[BOILER].value == 0.0, "the tank is hot enough"
    assert house.boiler is not None
    broken = replace(cold, boiler=replace(house.boiler, available=False))
    assert asked_for(broken, planned(broken, heat_hall=17.0))[BOILER].value == 0.0


def test_the_flow_an_emitter_needs_is_the_standards() -> None:
    assert flow_needed(0.0, 10.0, 20.0) == 20.0
    assert flow_needed(-1.0, 10.0, 20.0) == 20.0
    assert flow_needed(10.0, 10.0, 20.0) >= 20.0 + RATED_EXCESS_K
    flows = [flow_needed(kw, 10.0, 20.0) for kw in range(11)]
    assert flows == sorted(flows)


def test_later_steps_can_be_asked_for_and_beyond_the_end_is_an_error() -> None:
    house = cold_house()
    plan = planned(house, heat_pump=(0.0,) * 4 + (6.0,) * 4)
    assert [asked_for(house, plan, step)[HEAT_PUMP].value for step in (0, 3, 4)] == [0.0, 0.0, 1.0]
    with pytest.raises(IndexError):
        wishes(SITE, house, plan, LEARNED, STEPS)


def test_a_site_without_plant_is_asked_for_zones_only() -> None:
    bare = SITE.model_copy(update={"buildings": (BUILDING.model_copy(update={"plant": ()}),)})
    house = replace(cold_house(), heat_pump=None, boiler=None, tank=None)
    found = wishes(bare, house, planned(house), LEARNED)
    assert {SITE.points[wish.point].role for wish in found} == {Role.HEATING_SETPOINT}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, STEPS - 1))
def test_whatever_is_planned_what_leaves_the_envelope_is_within_limits(seed: int, step: int) -> None:
    random = np.random.default_rng(seed)
    zones = tuple(
        zone(
            name,
            steps=STEPS,
            temperature_degc=random.uniform(5, 30),
            low_degc=tuple(random.choice([12.0, 20.2], STEPS).tolist()),
            max_heat_kw=float(random.choice([0.0, 1e-3, 20.0])),
        )
        for name in ZONES
    )
    house = replace(cold_house(), zones=zones, outdoor_degc=tuple(random.uniform(-20, 20, STEPS).tolist()))

    def row(low: float, high: float) -> tuple[float, ...]:
        return tuple(random.uniform(low, high, STEPS).tolist())

    plan = planned(house, heat_pump=row(0, 80), boiler=row(0, 130), tank=row(-5, 40))
    series = {
        name: replace(one, values=row(0, 40) if name.startswith("heat:") else row(5, 35))
        for name, one in plan.series.items()
        if ":" in name
    }
    plan = replace(plan, series={**plan.series, **series})
    for wish in wishes(SITE, house, plan, LEARNED, step):
        point = SITE.points[wish.point]
        verdict = check(point, wish.value, Facts())
        assert isinstance(verdict, Allowed), verdict
        assert point.low is not None
        assert point.high is not None
        assert point.low <= verdict.value <= point.high
        assert wish.reason
        if point.role is Role.HEATING_SETPOINT:
            floor = next(z.low_degc[step] for z in zones if z.id == point.part)
            assert wish.value >= floor - BELOW_K - 0.05
