"""What the optimiser is told: bands, forecasts, plant and tank as they are now, and what is missing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from config.site import Band, Comfort, Site
from controller.estimate import Estimator
from controller.events import Cause, Trigger, Watch
from controller.gather import COMFORT_GUARD_K, EARLY_STEPS, Gathered, Gatherer
from controller.history import STEP
from controller.hub import Hub
from controller.learned import priors
from controller.occupancy import Occupancy
from controller.outlook import Expected, Prices
from controller.state import State
from drivers.base import Quality, Reading
from drivers.clock import Clock
from optimiser.problem import Problem
from site_sims.learning import history_of
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
ZONES = {zone.id: zone for zone in SITE.buildings[0].zones}
NOW = EPOCH + timedelta(hours=6, minutes=7)
START = EPOCH + timedelta(hours=6)
HALL = "townhall.hall.temperature"
TANK = "townhall.tank.temperature"
STEPS = 96


class Sky:
    """A forecast that rises a tenth of a degree a step from 5 degC, made at a time a test may set."""

    made_at = START

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return Expected(values=5.0 + 0.1 * np.arange(steps), made_at=self.made_at, source="the county")

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return Expected(values=np.full(steps, 0.2), made_at=START, source="the county")

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return Expected(values=np.full(steps, 180.0), made_at=START, source="the grid")

    def issued(self) -> Mapping[Cause, datetime]:
        return {}


class Desk:
    """A gatherer over a state that a test fills."""

    def __init__(self, clock: Clock, site: Site = SITE) -> None:
        self.state, self.occupancy, self.sky = State(site), Occupancy(site), Sky()
        self.watch = Watch(site, self.occupancy)
        self.gatherer = Gatherer(
            site,
            state=self.state,
            estimator=Estimator(site, history_of(site), self.occupancy),
            occupancy=self.occupancy,
            outlook=self.sky,
            prices=Prices(site, clock=clock, triggers=Hub()),
            watch=self.watch,
            learned=priors(site),
            gas_kg_per_kwh=0.183,
        )
        self.see({f"townhall.{zone}.temperature": 18.0 for zone in ZONES} | {"townhall.outdoor.temperature": 5.0})

    def see(self, values: Mapping[str, float | None]) -> None:
        batch = [
            Reading(point=p, time=NOW, received=NOW, value=v, quality=Quality.BAD if v is None else Quality.GOOD)
            for p, v in values.items()
        ]
        self.state.update(batch)
        self.watch.look(batch)

    def gather(self, held: Mapping[str, float] | None = None) -> Gathered:
        trigger = Trigger(cause=Cause.SCHEDULE, text="test", time=NOW)
        return self.gatherer.gather(NOW, trigger, held or {})

    def problem(self, held: Mapping[str, float] | None = None) -> Problem:
        return self.gather(held).problem


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk(clock)


def test_a_problem_begins_with_the_quarter_hour_that_runs(desk: Desk) -> None:
    found = desk.problem()
    assert (found.start, found.step, found.made_at, found.steps) == (START, STEP, NOW, STEPS)
    assert found.trigger == "schedule: test"
    assert [zone.id for zone in found.zones] == list(ZONES)
    lengths = {len(zone.low_degc) for zone in found.zones} | {len(found.import_price), len(found.base_load_kw)}
    assert lengths == {STEPS}


def test_the_band_is_that_of_occupancy_shortly_before_people_come(desk: Desk) -> None:
    hall = desk.problem().zones[0]
    comes, goes = 8 - EARLY_STEPS, 48  # steps from 6:00 to 8:00 and 18:00
    warm = 20.0 + COMFORT_GUARD_K
    assert set(hall.low_degc[comes:goes]) == {warm}
    assert set(hall.low_degc[:comes]) == set(hall.low_degc[goes : goes + 40]) == {12.0}
    assert set(hall.high_degc[comes:goes]) == {23.5 - COMFORT_GUARD_K}
    assert hall.people[8] == 15.0
    assert hall.people[7] == 0.0


def test_our_own_sensor_corrects_the_next_hours_of_the_forecast(desk: Desk) -> None:
    desk.see({"townhall.outdoor.temperature": 9.0})
    found = np.array(desk.problem().outdoor_degc)
    error = found - desk.sky.outdoor_degc(START, STEP, STEPS).values
    assert found[0] == 9.0
    assert (np.diff(error) < 0).all()
    assert error[-1] < 0.02
    desk.see({"townhall.outdoor.temperature": None})
    assert desk.problem().outdoor_degc[0] == 5.0


def test_a_zone_that_cannot_be_seen_is_taken_to_be_like_its_neighbours_and_named(desk: Desk) -> None:
    desk.see({HALL: None, "townhall.reception.temperature": 19.0, "townhall.library.temperature": 21.0})
    found = desk.gather()
    assert found.missing == ("hall",)
    assert found.problem.zones[0].temperature_degc == 20.0
    everything = dict.fromkeys((f"townhall.{zone}.temperature" for zone in ZONES), None)
    desk.see(everything)
    blind = desk.gather()
    assert set(blind.missing) == set(ZONES)
    assert blind.problem.zones[0].temperature_degc == 20.0, "its lower bound, if nobody knows anything"


def test_what_is_held_is_fixed(desk: Desk) -> None:
    found = desk.problem({"townhall.hall.heating_setpoint": 22.0})
    assert found.zones[0].held_degc == 22.0
    assert {zone.held_degc for zone in found.zones[1:]} == {None}


@pytest.mark.parametrize("part", ["heat_pump", "boiler"])
def test_a_source_with_a_fault_or_kept_off_cannot_be_planned_with(desk: Desk, part: str) -> None:
    def available(held: Mapping[str, float] | None = None) -> bool:
        problem = desk.problem(held)
        state = problem.heat_pump if part == "heat_pump" else problem.boiler
        assert state is not None
        return state.available

    assert available()
    assert not available({f"townhall.{part}.enable": 0.0})
    assert available({f"townhall.{part}.enable": 1.0})
    desk.see({f"townhall.{part}.fault": 1.0})
    assert not available()
    desk.see({f"townhall.{part}.fault": 0.0})
    assert available()


@pytest.mark.parametrize("degc", [None, 10.0, 30.0, 45.0, 55.0, 90.0])
def test_the_tanks_content_is_between_nothing_and_all(desk: Desk, degc: float | None) -> None:
    desk.see({TANK: degc})
    tank = desk.problem().tank
    assert tank is not None
    assert 0.0 <= tank.energy_kwh <= tank.capacity_kwh
    if degc is None or degc <= 10.0:
        assert tank.energy_kwh == 0.0
    if degc is not None and degc >= 55.0:
        assert tank.energy_kwh == pytest.approx(tank.capacity_kwh)
    assert tank.draw_kw is not None
    assert tank.draw_kw_per_kwh > 0.0


def test_the_tank_serves_the_rooms_that_people_are_in_or_due_in(desk: Desk) -> None:
    tank = desk.problem().tank
    assert tank is not None
    assert len(tank.open_share) == len(desk.problem().outdoor_degc)
    assert max(tank.open_share) <= 1.0
    assert 0.3 <= min(tank.open_share) < max(tank.open_share), "rooms go out of use at different hours"


def test_a_narrow_band_keeps_its_sides_apart(clock: Clock) -> None:
    narrow = Comfort(occupied=Band(low=20.0, high=20.3), unoccupied=Band(low=12.0, high=26.0))
    building = SITE.buildings[0]
    zones = tuple(zone.model_copy(update={"comfort": narrow}) for zone in building.zones)
    site = SITE.model_copy(update={"buildings": (building.model_copy(update={"zones": zones}),)})
    for state in Desk(clock, site).problem().zones:
        assert all(low < high for low, high in zip(state.low_degc, state.high_degc, strict=True))


def test_prices_cap_and_carbon_are_the_sites(desk: Desk) -> None:
    found = desk.problem()
    assert found.import_price[0] == 0.25
    assert found.import_price[40] == 0.38, "four in the afternoon"
    assert found.import_cap_kw == 80.0
    assert (found.carbon_price_per_kg, found.gas_kg_per_kwh) == (SITE.carbon.price_per_kg, 0.183)
    desk.see({"townhall.grid.demand_limit": 30.0})
    assert desk.problem().import_cap_kw == 30.0


def test_old_forecasts_are_named(desk: Desk) -> None:
    assert desk.gather().stale == ()
    desk.sky.made_at = NOW - timedelta(hours=7)
    assert desk.gather().stale == ("weather from the county",)


def test_what_was_learned_is_used(desk: Desk) -> None:
    before = desk.problem()
    begin = desk.gatherer.learned
    hall = replace(begin.zones["hall"], offset_k=tuple(n / 100 for n in range(96)))
    desk.gatherer.learned = replace(
        begin,
        zones={**begin.zones, "hall": hall},
        emitter_scale={"hall": 0.5},
        heat_pump_capacity=0.8,
        heat_pump_cop=0.9,
        boiler_efficiency=0.95,
    )
    after = desk.problem()
    assert after.zones[0].gain_k[:3] == pytest.approx((0.24, 0.25, 0.26)), "by the step of the local day"
    assert after.zones[0].max_heat_kw == pytest.approx(before.zones[0].max_heat_kw / 2)
    assert before.heat_pump is not None
    assert after.heat_pump is not None
    assert before.boiler is not None
    assert after.boiler is not None
    assert after.heat_pump.max_heat_kw[0] == pytest.approx(0.8 * before.heat_pump.max_heat_kw[0])
    assert after.heat_pump.cop[0] == pytest.approx(0.9 * before.heat_pump.cop[0])
    assert after.boiler.efficiency == pytest.approx(0.95 * before.boiler.efficiency)


def test_colder_days_allow_hotter_water(desk: Desk) -> None:
    mild = desk.problem().zones[0].max_heat_kw
    desk.see({"townhall.outdoor.temperature": -15.0})
    assert desk.problem().zones[0].max_heat_kw > mild


def test_a_site_without_plant_is_told_so(clock: Clock) -> None:
    building = SITE.buildings[0].model_copy(update={"plant": ()})
    desk = Desk(clock)
    bare = SITE.model_copy(update={"buildings": (building,)})
    desk.gatherer = Gatherer(
        bare,
        state=desk.state,
        estimator=Estimator(bare, history_of(bare), desk.occupancy),
        occupancy=desk.occupancy,
        outlook=desk.sky,
        prices=Prices(bare, clock=clock, triggers=Hub()),
        watch=desk.watch,
        learned=priors(bare),
        gas_kg_per_kwh=0.183,
    )
    found = desk.problem()
    assert (found.heat_pump, found.boiler, found.tank) == (None, None, None)
    assert set(found.pv_kw) == {0.0}
