"""The building's own control: schedule, optimal start, changeover, tank, watchdog."""

from datetime import UTC, datetime, timedelta

import pytest

from site_sims.bms import FIRST_RATE
from site_sims.bms_heat import HeatState
from site_sims.bms_points import SLOT
from site_sims.rates import Rates, TariffBand
from site_sims.score import BMS_SLOTS, Scorer
from site_sims.truth import BmsTruth
from site_sims.weather import minute_of
from tests.town_hall import MONDAY, town_hall, town_hall_site

OURS = 13
SETTINGS = BmsTruth(occupied_degc=20.5, setback_degc=15.0, longest_start_h=6.0, night_degc=0.0)


def utc(day: int, hour: int, minute: int = 0, month: int = 2) -> datetime:
    return datetime(2023, month, day, hour, minute, tzinfo=UTC)


def test_it_writes_at_fifteen_and_nowhere_else() -> None:
    building = town_hall()
    building.advance(timedelta(hours=10))
    held = {slot for obj in building.field for slot, value in enumerate(obj.array, 1) if value is not None}
    assert held == {SLOT}


def test_zones_follow_their_own_hours() -> None:
    building = town_hall(start=utc(7, 0), settings=SETTINGS)  # a Tuesday; the council sits from 17:00
    setpoint, council = building.field["office_n1.heating_setpoint"], building.field["council.heating_setpoint"]
    building.advance(timedelta(hours=9))
    assert (setpoint.value, council.value) == (20.5, 15.0)
    building.advance(timedelta(hours=9, minutes=6))
    assert (setpoint.value, council.value) == (15.0, 20.5)
    building.advance(timedelta(hours=4))
    assert council.value == 15.0


def test_local_time_rules_on_both_sides_of_the_clock_change() -> None:
    for start in (utc(24, 6, 50, month=3), utc(27, 5, 50, month=3)):
        building = town_hall(start=start, settings=SETTINGS.model_copy(update={"light_margin_min": 0.0}))
        light = building.field["office_n1.light_level"]
        to_eight = timedelta(hours=1, minutes=9)
        building.advance(to_eight)
        assert light.value == 0.0
        building.advance(timedelta(minutes=7))
        assert light.value == 100.0


def test_optimal_start_begins_earlier_the_colder_the_zone() -> None:
    begun = {}
    for degc in (14.0, 18.0):
        building = town_hall(start=utc(7, 0), settings=SETTINGS)
        building.plant.fabric.temperature[:] = degc
        setpoint = building.field["office_n1.heating_setpoint"]
        building.advance(timedelta(minutes=2))
        while setpoint.value < 20.0:
            building.step()
        begun[degc] = building.time
    assert begun[14.0] < begun[18.0] < utc(7, 8, 6)


def test_optimal_start_learns_from_each_morning() -> None:
    building = town_hall(start=utc(16, 0, month=1), settings=SETTINGS)
    before = [zone.rate for zone in building.bms.state.zones]
    building.advance(timedelta(days=2))
    after = [zone.rate for zone in building.bms.state.zones]
    assert sum(a != b for a, b in zip(after, before, strict=True)) >= 6


def test_an_emptied_zone_is_set_back_early_if_so_programmed() -> None:
    building = town_hall(start=utc(7, 17, 20), settings=SETTINGS.model_copy(update={"stop_early_min": 30.0}))
    building.advance(timedelta(minutes=2))
    assert building.field["office_n1.heating_setpoint"].value == 20.5
    building.advance(timedelta(minutes=15))
    assert building.field["office_n1.heating_setpoint"].value == 15.0


def test_the_heating_curve_rises_in_the_cold() -> None:
    flows = []
    for start in (utc(8, 10), utc(16, 10)):  # about -1 and 10 degC
        building = town_hall(start=start, settings=SETTINGS)
        building.plant.fabric.temperature[:] = 20.4
        building.advance(timedelta(minutes=20))
        flows.append(building.field["circuit.flow_setpoint"].value)
    assert flows[0] > flows[1] + 5


def test_the_cheapest_source_runs() -> None:
    building = town_hall(start=utc(7, 1), settings=SETTINGS)  # -1 degC, electricity at 0.09
    building.plant.fabric.temperature[:] = 13.0
    building.advance(timedelta(minutes=30))
    assert building.field["heat_pump.enable"].value == 1.0
    building = town_hall(start=utc(7, 16, 30), settings=SETTINGS)  # at 0.38 gas is cheaper
    building.plant.fabric.temperature[:] = 18.0
    building.advance(timedelta(minutes=30))
    assert building.field["heat_pump.enable"].value == 0.0
    assert building.field["boiler.enable"].value == 1.0


def test_the_tank_is_charged_in_the_cheap_hours() -> None:
    settings = SETTINGS.model_copy(update={"tank_night_degc": 52.0})
    building = town_hall(start=utc(7, 0, 20), settings=settings)
    building.plant.tank.layers = [35.0, 35.0, 35.0]
    building.plant.fabric.temperature[:] = 20.0  # no zone asks for heat
    building.advance(timedelta(hours=2))
    assert building.plant.tank.mean > 49
    assert building.field["tank.setpoint"].value == 52.0


def test_the_boiler_stands_in_for_a_broken_heat_pump() -> None:
    building = town_hall(start=utc(7, 1), settings=SETTINGS)
    building.plant.fabric.temperature[:] = 13.0
    building.unplug("heat_pump")
    building.advance(timedelta(hours=1))
    assert building.field["boiler.running"].value == 1.0
    assert building.plant.state.power.boiler_heat > 10


def test_a_silent_supervisor_is_cleared_after_five_minutes() -> None:
    building = town_hall()
    heartbeat, setpoint = building.field["bms.heartbeat"], building.field["hall.heating_setpoint"]
    operator = building.field["library.heating_setpoint"]
    operator.write(22.0, 8)
    for beat in range(1, 11):
        heartbeat.write(beat, OURS)
        setpoint.write(19.0, OURS)
        building.step()
    building.advance(timedelta(minutes=4))
    assert setpoint.array[OURS - 1] == 19.0
    building.advance(timedelta(minutes=2))
    assert setpoint.array[OURS - 1] is None
    assert heartbeat.array[OURS - 1] is None
    assert setpoint.value == setpoint.array[SLOT - 1]
    assert operator.array[7] == 22.0
    assert building.bms.state.fallen_back == 1
    heartbeat.write(99, OURS)
    building.step()
    assert building.bms.state.moving


def test_without_a_heartbeat_ever_nobody_is_cleared() -> None:
    building = town_hall()
    building.field["hall.heating_setpoint"].write(19.0, OURS)
    building.advance(timedelta(minutes=30))
    assert building.field["hall.heating_setpoint"].array[OURS - 1] == 19.0
    assert building.bms.state.fallen_back == 0


def test_frost_protection_stands_behind_the_schedule() -> None:
    building = town_hall(start=MONDAY - timedelta(days=1), settings=SETTINGS.model_copy(update={"setback_degc": 12.0}))
    building.plant.fabric.temperature[:] = 6.0
    building.advance(timedelta(minutes=10))
    assert building.field["office_n1.heating_setpoint"].value == 12.0
    assert building.plant.state.valve.max() > 0


def test_the_tuned_building_is_comfortable_on_an_ordinary_winter_day() -> None:
    building = town_hall(start=MONDAY + timedelta(days=2))
    building.plant.fabric.temperature[:] = 18.5
    building.advance(timedelta(hours=6))
    scorer = Scorer(building, slots=BMS_SLOTS)
    building.advance(timedelta(hours=18))
    score = scorer.score()
    assert score.discomfort_kh["below"] + score.discomfort_kh["above"] < 8.0  # of about 95 zone-hours
    assert 19.8 < score.mean_occupied_degc < 22.0
    assert 0 < score.commands < 200


@pytest.mark.parametrize(
    ("hour", "minute", "band"),
    [(0, 29, TariffBand.DAY), (0, 30, TariffBand.NIGHT), (5, 30, TariffBand.DAY), (16, 0, TariffBand.PEAK)],
)
def test_bands_of_the_test_tariff(hour: int, minute: int, band: TariffBand) -> None:
    site = town_hall_site()
    assert Rates(site.tariffs, site.timezone).band(minute_of(utc(7, hour, minute))) is band


def test_summer_comes_with_a_warm_day_and_goes_with_a_cold_one() -> None:
    state = HeatState()
    found = []
    for degc in (10.0, 20.0, 15.4, 10.0):
        for _ in range(3 * 1440):
            state.feel(degc, 16.0)
        found.append(state.summer)
    assert found == [False, True, True, False]  # between 15 and 16 degC it stays as it was
    state.feel(30.0, None)
    assert not state.summer


def test_in_summer_all_heat_rests_and_no_start_is_learnt() -> None:
    settings = SETTINGS.model_copy(update={"heating_limit_degc": -20.0})  # it is always summer
    building = town_hall(start=utc(7, 0), settings=settings)
    building.advance(timedelta(days=1))
    assert (building.registers.boiler_heat, building.registers.heat_pump_heat) == (0, 0)
    assert {(zone.rate, zone.began) for zone in building.bms.state.zones} == {(FIRST_RATE, None)}
