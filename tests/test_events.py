"""What in a batch of readings deserves a new plan, and what does not."""

from datetime import datetime, timedelta

import pytest

from controller.events import COMFORT_CLEAR_K, COMFORT_MARGIN_K, Cause, Trigger, Watch
from controller.occupancy import Occupancy
from drivers.base import Quality, Reading
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
NOON = EPOCH + timedelta(hours=12)
HALL, PEOPLE = "townhall.hall.temperature", "townhall.hall.people"
LIMIT, IMPORT = "townhall.grid.demand_limit", "townhall.grid.electricity_kw"


@pytest.fixture
def watch() -> Watch:
    return Watch(SITE, Occupancy(SITE))


def seen(watch: Watch, point: str, *values: float | None, now: datetime = NOON) -> list[Trigger]:
    quality = {None: Quality.BAD}
    return [
        trigger
        for value in values
        for trigger in watch.look(
            [Reading(point=point, time=now, received=now, value=value, quality=quality.get(value, Quality.GOOD))]
        )
    ]


def test_people_who_come_or_go_are_a_reason_but_how_many_is_not(watch: Watch) -> None:
    assert seen(watch, PEOPLE, 3.0, 4.0, None, 9.0) == []
    (gone,) = seen(watch, PEOPLE, 0.0)
    (back,) = seen(watch, PEOPLE, 0.0, 2.0)
    assert str(gone) == "occupancy: hall: empty now"
    assert (back.cause, back.text, back.time) == (Cause.OCCUPANCY, "hall: people came in", NOON)


def test_a_cold_room_is_told_once_until_it_is_clearly_warm_again(watch: Watch) -> None:
    low = 20.0
    assert seen(watch, HALL, 21.0, low + COMFORT_MARGIN_K) == []
    (cold,) = seen(watch, HALL, 20.1, 19.0, low + COMFORT_CLEAR_K - 0.01, 19.9)
    assert str(cold) == "comfort: hall: 20.1 degC, wanted 20.0"
    assert seen(watch, HALL, low + COMFORT_CLEAR_K) == []
    assert len(seen(watch, HALL, 20.0)) == 1


def test_a_room_is_judged_by_what_is_wanted_within_half_an_hour(watch: Watch) -> None:
    assert seen(watch, HALL, 15.0, now=EPOCH + timedelta(hours=7, minutes=29)) == []
    assert len(seen(watch, HALL, 15.0, now=EPOCH + timedelta(hours=7, minutes=30))) == 1
    assert len(seen(watch, "townhall.office_n1.temperature", 12.0, now=EPOCH)) == 1, "nobody is due, but too cold"


def test_a_demand_limit_counts_when_it_changes_and_the_lower_one_is_in_force(watch: Watch) -> None:
    assert watch.limit_kw == 80.0, "the contract's cap"
    assert seen(watch, LIMIT, 1000.0) == [], "no limit at all is no news"
    (limited,) = seen(watch, LIMIT, 1000.0, 25.0, 25.0)
    assert str(limited) == "demand: import limited to 25 kW"
    assert (watch.limit_kw, watch.demand_limit_kw) == (25.0, 25.0)
    assert len(seen(watch, LIMIT, 1000.0)) == 1
    assert watch.limit_kw == 80.0


def test_a_silent_limit_stays_in_force(watch: Watch) -> None:
    seen(watch, LIMIT, 25.0, None)
    assert watch.limit_kw == 25.0


def test_a_meter_near_its_limit_is_told_once_each_time(watch: Watch) -> None:
    assert seen(watch, IMPORT, 50.0, 72.0) == []
    (near,) = seen(watch, IMPORT, 72.1, 79.0)
    assert str(near) == "meter: import 72 kW of 80 kW"
    assert len(seen(watch, IMPORT, 60.0, 75.0)) == 1


def test_a_machine_that_breaks_or_is_mended_is_a_reason_at_once(watch: Watch) -> None:
    fault = "townhall.boiler.fault"
    assert seen(watch, fault, 0.0, None) == []
    found = seen(watch, fault, 1.0, 1.0, None, 0.0)
    assert [str(trigger) for trigger in found] == ["device: boiler: reports a fault", "device: boiler: works again"]
    assert len(seen(Watch(SITE, Occupancy(SITE)), fault, 1.0)) == 1, "broken from the beginning"


def test_the_import_is_the_main_meters_power(watch: Watch) -> None:
    assert watch.import_point == IMPORT
    assert seen(watch, "townhall.heat_pump.electricity_kw", 500.0) == []


def test_triggers_keep_the_order_of_their_readings(watch: Watch) -> None:
    seen(watch, PEOPLE, 0.0)
    batch = [
        Reading(point=point, time=NOON, received=NOON, value=value)
        for point, value in ((LIMIT, 20.0), (PEOPLE, 1.0), ("townhall.unknown.point", 1.0), (HALL, 18.0))
    ]
    assert [trigger.cause for trigger in watch.look(batch)] == [Cause.DEMAND, Cause.OCCUPANCY, Cause.COMFORT]
