"""The simulated library under its own control: comfort, air, free cooling, the dead band, the same life twice."""

from datetime import UTC, datetime, timedelta

import pytest

from config.roles import COMMANDS, Role
from controller.learned import plannable
from site_sims.score import BMS_SLOTS, Scorer
from site_sims.tune import knobs_of
from tests.library import library, library_site
from tests.town_hall import town_hall_site

SITE = library_site()
ZONES = [zone.id for zone in SITE.buildings[0].zones]
DAY = timedelta(days=1)


def test_setpoints_of_a_zone_cannot_come_closer_than_two_kelvin() -> None:
    for zone in ZONES:
        heating, cooling = SITE.by_role(Role.HEATING_SETPOINT, zone)[0], SITE.by_role(Role.COOLING_SETPOINT, zone)[0]
        assert heating.high is not None
        assert cooling.low is not None
        assert cooling.low - heating.high >= 2.0


def test_no_plan_is_made_of_what_no_model_describes() -> None:
    assert not plannable(SITE)
    assert plannable(town_hall_site())


def test_it_is_open_every_day_and_long() -> None:
    building = library(datetime(2023, 2, 6, tzinfo=UTC))
    table = building.timetable
    first = datetime(2023, 2, 6, tzinfo=UTC).date()
    for ahead in range(7):
        spans = table.spans(0, first + timedelta(days=ahead))
        assert sum(end - start for start, end in spans) >= 6 * 60
    assert sum(end - start for start, end in table.spans(0, first)) == 11 * 60


@pytest.mark.parametrize(
    ("start", "gas", "chiller"),
    [(datetime(2023, 1, 21, tzinfo=UTC), (300, 1500), (0, 1)), (datetime(2023, 7, 3, tzinfo=UTC), (0, 60), (5, 300))],
    ids=["winter", "summer"],
)
def test_two_days_under_its_own_control(start: datetime, gas: tuple[int, int], chiller: tuple[int, int]) -> None:
    building = library(start)
    building.advance(3 * DAY)
    before = building.registers.chiller
    scorer = Scorer(building, slots=BMS_SLOTS)
    building.advance(2 * DAY)
    score = scorer.score()
    assert score.discomfort_kh["below"] < 6.0
    assert score.discomfort_kh["above"] < 6.0
    assert gas[0] <= score.energy_kwh["gas"] <= gas[1]
    assert chiller[0] <= building.registers.chiller - before <= chiller[1]
    assert 300 < score.energy_kwh["electricity"] < 1200
    assert score.stuffy_ppm_h < 2500


def test_setpoints_stay_apart_whatever_the_hour() -> None:
    building = library(datetime(2023, 5, 3, tzinfo=UTC))
    for _ in range(24):
        building.advance(timedelta(hours=1))
        for zone in ZONES:
            apart = building.field[f"{zone}.cooling_setpoint"].value - building.field[f"{zone}.heating_setpoint"].value
            assert apart >= 2.0


def test_at_night_the_fan_stands_and_the_damper_is_shut() -> None:
    building = library(datetime(2023, 7, 4, 23, tzinfo=UTC))
    building.advance(timedelta(minutes=30))
    assert building.field["ahu.fan_speed"].value == 0
    assert building.field["ahu.outdoor_damper"].value == 0
    assert building.field["chiller.enable"].value == 0
    assert building.field["reading.cooling_setpoint"].value == 28.0


def test_outdoor_air_is_never_below_its_least_while_people_are_due() -> None:
    building = library(datetime(2023, 1, 25, 10, tzinfo=UTC))
    building.advance(timedelta(minutes=10))
    assert building.field["ahu.outdoor_damper"].value >= building.bms.settings.fresh_percent
    assert building.plant.state.power.fan > 0


def test_all_that_the_control_writes_can_be_commanded() -> None:
    building = library(datetime(2023, 7, 4, 12, tzinfo=UTC))
    building.advance(timedelta(minutes=10))
    written = {obj.key for obj in building.field if obj.commandable and obj.array[14] is not None}
    roles = {SITE.points[f"library.{key}"].role for key in written}
    assert roles <= COMMANDS
    assert {Role.COOLING_SETPOINT, Role.SUPPLY_SETPOINT, Role.OUTDOOR_DAMPER, Role.FAN_SPEED} <= roles


def test_the_same_seed_lives_the_same_life_to_the_bit() -> None:
    lives = []
    for seed in (1, 1, 2):
        building = library(datetime(2023, 7, 5, tzinfo=UTC), seed=seed)
        building.advance(timedelta(hours=14))
        lives.append((building.registers, [(obj.key, obj.value, obj.array) for obj in building.field]))
    assert lives[0] == lives[1]
    assert lives[0] != lives[2]


def test_a_restored_library_lives_on_as_the_first_did() -> None:
    building = library(datetime(2023, 7, 5, tzinfo=UTC))
    building.plant.fabric.temperature[:] = 25.0
    building.advance(timedelta(hours=11))
    kept = building.snapshot()
    building.advance(timedelta(hours=3))
    other = library(datetime(2023, 3, 6, tzinfo=UTC))
    other.restore(kept)
    other.advance(timedelta(hours=3))
    assert other.registers == building.registers
    assert other.registers.chiller > kept["registers"].chiller
    assert other.plant.checkpoint()["air"][1].co2.tolist() == building.plant.checkpoint()["air"][1].co2.tolist()


def test_a_heartbeat_that_stops_gives_the_cooling_back_to_the_building() -> None:
    building = library(datetime(2023, 7, 5, 12, tzinfo=UTC))
    building.advance(timedelta(minutes=5))
    setpoint = building.field["reading.cooling_setpoint"]
    setpoint.write(29.0, 13)
    for beat in range(3):
        building.field["bms.heartbeat"].write(float(beat + 1), 13)
        building.advance(timedelta(minutes=1))
    assert setpoint.value == 29.0
    building.advance(timedelta(minutes=8))
    assert setpoint.value == building.bms.settings.cooling_degc


def test_knobs_of_the_air_side_are_tuned_here() -> None:
    names = {name for name, _ in knobs_of(SITE)}
    assert {"cooling_degc", "supply_low_degc", "fresh_percent", "fan_percent"} <= names
    assert not any(name.startswith(("tank_", "bias_")) for name in names)
