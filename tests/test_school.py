"""The simulated primary school: its hours and holidays, its boiler alone, its own control, tuned."""

from datetime import UTC, date, datetime, timedelta

import pytest

from config.calendar import spans_of_day
from config.localtime import utc
from config.roles import Role
from config.site import Boiler, HeatPump, Tank
from site_sims.score import BMS_SLOTS, Scorer
from site_sims.tune import knobs_of
from tests.school import school, school_site
from tests.town_hall import town_hall_site

SITE = school_site()
BUILDING = SITE.buildings[0]
ZONES = {zone.id: zone for zone in BUILDING.zones}
DAY = timedelta(days=1)


def hours(zone: str, day: date) -> list[str]:
    """Local hours of a zone on a day, in UTC as they are in winter."""
    found = spans_of_day(ZONES[zone].occupancy, day, SITE.timezone, SITE.calendar)
    return [f"{utc(span.start_s):%H:%M}-{utc(span.end_s):%H:%M}" for span in found]


def test_a_boiler_is_all_that_makes_heat() -> None:
    kinds = [type(item) for item in BUILDING.plant]
    assert Boiler in kinds
    assert HeatPump not in kinds
    assert Tank not in kinds
    assert [point.id for point in SITE.by_role(Role.ENABLE)] == ["school.boiler.enable"]
    for zone in ZONES:
        for role in (Role.ZONE_TEMPERATURE, Role.HEATING_SETPOINT, Role.OCCUPANCY, Role.LIGHT_LEVEL):
            assert len(SITE.by_role(role, zone)) == 1


@pytest.mark.parametrize(
    ("day", "lessons", "office"),
    [
        (date(2023, 2, 10), ["08:45-12:00", "13:00-15:15"], ["07:45-17:00"]),
        (date(2023, 2, 13), [], ["09:00-13:00"]),  # half-term
        (date(2023, 2, 17), [], ["09:00-13:00"]),
        (date(2023, 2, 18), [], []),
        (date(2023, 2, 20), ["08:45-12:00", "13:00-15:15"], ["07:45-17:00"]),
        (date(2023, 12, 25), [], []),
        (date(2023, 12, 28), [], ["09:00-13:00"]),
        (date(2023, 1, 2), [], []),  # a bank holiday within the break
    ],
)
def test_lessons_keep_to_the_terms(day: date, lessons: list[str], office: list[str]) -> None:
    assert hours("years_12", day) == lessons
    assert hours("staff", day) == office


def test_easter_and_summer_are_holidays_by_local_time() -> None:
    assert hours("years_12", date(2023, 4, 5)) == []
    assert hours("years_12", date(2023, 4, 17)) == ["07:45-11:00", "12:00-14:15"]
    assert hours("nursery", date(2023, 8, 15)) == []
    assert hours("hall", date(2023, 5, 1)) == []  # a bank holiday in term


def test_the_same_seed_lives_the_same_life_to_the_bit() -> None:
    lives = []
    for seed in (1, 1, 2):
        building = school(datetime(2023, 2, 6, tzinfo=UTC), seed=seed)
        building.advance(timedelta(hours=14))
        lives.append((building.registers, [(obj.key, obj.value, obj.array) for obj in building.field]))
    assert lives[0] == lives[1]
    assert lives[0] != lives[2]


def test_a_restored_school_lives_on_as_the_first_did() -> None:
    building = school(datetime(2023, 2, 6, tzinfo=UTC))
    building.advance(timedelta(hours=8))
    kept = building.snapshot()
    building.advance(timedelta(hours=4))
    other = school(datetime(2023, 3, 6, tzinfo=UTC))
    other.restore(kept)
    other.advance(timedelta(hours=4))
    assert other.registers == building.registers
    assert other.plant.fabric.temperature.tolist() == building.plant.fabric.temperature.tolist()
    assert other.bms.state == building.bms.state


def test_the_tuned_school_is_warm_in_lessons_on_an_ordinary_winter_day_and_uses_what_such_a_school_uses() -> None:
    building = school(datetime(2023, 1, 21, tzinfo=UTC))
    building.advance(4 * DAY)
    scorer = Scorer(building, slots=BMS_SLOTS)
    building.advance(2 * DAY)  # Wednesday and Thursday
    score = scorer.score()
    assert score.discomfort_kh["below"] < 4.0
    assert 600 < score.energy_kwh["gas"] < 1500
    assert 300 < score.energy_kwh["electricity"] < 600
    assert list(score.starts) == ["boiler"]
    assert score.stored_kwh["tank"] == 0
    assert score.stuffy_ppm_h == 0  # there is no sensor and no fan


def test_in_half_term_only_the_office_is_heated() -> None:
    building = school(datetime(2023, 2, 12, tzinfo=UTC))
    building.advance(3 * DAY + timedelta(hours=12))  # Wednesday, noon
    warmth = dict(zip(ZONES, building.plant.fabric.air.tolist(), strict=True))
    assert warmth["staff"] > 19.0
    assert max(degc for zone, degc in warmth.items() if zone != "staff") < 18.5


def test_on_summer_days_the_boiler_rests() -> None:
    building = school(datetime(2023, 7, 8, tzinfo=UTC))
    building.advance(2 * DAY)
    burnt = building.registers.gas
    building.advance(2 * DAY)
    assert building.bms.state.heat.summer
    assert building.registers.gas == burnt
    assert building.field["boiler.enable"].value == 0


def test_the_hall_is_kept_as_much_cooler_as_its_band_begins_lower() -> None:
    building = school(datetime(2023, 1, 24, 10, tzinfo=UTC))
    building.advance(timedelta(minutes=10))
    hall, nursery = building.field["hall.heating_setpoint"], building.field["nursery.heating_setpoint"]
    assert nursery.value - hall.value == pytest.approx(2.0)


def test_an_unplugged_boiler_leaves_the_school_cold_and_says_so() -> None:
    building = school(datetime(2023, 2, 7, 7, tzinfo=UTC))
    building.unplug("boiler")
    building.advance(timedelta(hours=3))
    assert building.field["boiler.fault"].value == 1
    assert building.registers.boiler_heat == 0
    building.mend("boiler")
    building.advance(timedelta(minutes=30))
    assert building.registers.boiler_heat > 0


def test_only_knobs_that_turn_something_are_tuned() -> None:
    assert {"tank_peak_degc", "fan_percent"} < {name for name, _ in knobs_of(town_hall_site())}
    names = {name for name, _ in knobs_of(SITE)}
    assert {"curve_slope", "setback_degc", "light_margin_min"} <= names
    assert not any(name.startswith(("tank_", "bias_", "fan_", "backup_", "supply_")) for name in names)
