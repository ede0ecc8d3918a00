"""What the envelope gets to know about a point."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from config.site import Site
from controller.envelope import Facts, Presence
from controller.facts import Surroundings
from controller.state import State
from drivers.base import Quality, Reading
from drivers.clock import Clock
from tests.controlled import small_site


def zone(name: str) -> dict[str, object]:
    comfort = {"occupied": {"low": 20, "high": 23.5}, "unoccupied": {"low": 12, "high": 26}}
    return {"id": name, "area_m2": 50, "comfort": comfort}


def sensor(name: str, role: str, unit: str = "degC") -> dict[str, object]:
    return {"id": f"b.{name}", "role": role, "unit": unit, "address": "x"}


def command(name: str, role: str, unit: str = "degC", high: float = 100) -> dict[str, object]:
    return sensor(name, role, unit) | {"writable": True, "low": 0, "high": high}


SITE = small_site(
    {
        "all": [
            sensor("hall.temperature", "zone_temperature"),
            sensor("attic.temperature", "zone_temperature"),
            sensor("hall.co2", "co2", "ppm"),
            sensor("attic.co2", "co2", "ppm"),
            sensor("hall.people", "occupancy", "people"),
            sensor("outdoor.temperature", "outdoor_temperature"),
            sensor("boiler.fault", "fault", "0/1"),
            command("hall.setpoint", "heating_setpoint"),
            command("attic.setpoint", "heating_setpoint"),
            command("heat_pump.enable", "enable", "0/1", 1),
            command("boiler.enable", "enable", "0/1", 1),
            command("pool.enable", "enable", "0/1", 1),
            command("ahu.fan", "fan_speed", "%"),
            command("roof.fan", "fan_speed", "%"),
        ]
    },
    buildings=[
        {
            "id": "b",
            "name": "B",
            "floor_area_m2": 100,
            "zones": [zone("hall"), zone("attic")],
            "plant": [
                {"id": "heat_pump", "kind": "heat_pump", "heat_kw": 10},
                {"id": "boiler", "kind": "boiler", "heat_kw": 10},
                {"id": "ahu", "kind": "air_handler", "serves": ["hall"], "airflow_m3_per_s": 1, "fan_kw": 1},
                {"id": "roof", "kind": "air_handler", "airflow_m3_per_s": 1, "fan_kw": 1},
            ],
        }
    ],
)
HEAT_PUMP, BOILER = "b.heat_pump.enable", "b.boiler.enable"


class Scene:
    def __init__(self, site: Site, now: datetime) -> None:
        self.site, self.now = site, now
        self.state = State(site)
        self.expected: set[str] = set()
        self.surroundings = Surroundings(site, self.state, lambda zone, _: zone in self.expected)

    def see(self, **values: float | None) -> None:
        for name, value in values.items():
            quality = Quality.BAD if value is None else Quality.GOOD
            point = f"b.{name.replace('__', '.')}"
            self.state.update([Reading(point=point, time=self.now, received=self.now, value=value, quality=quality)])
        self.now += timedelta(seconds=1)

    def facts(self, point: str, **more: Any) -> Facts:
        fields = {"automatic": True, "recent": (), "building_value": None, "asked": {}} | more
        return self.surroundings.facts(self.site.points[point], self.now, **fields)


@pytest.fixture
def scene(clock: Clock) -> Scene:
    return Scene(SITE, clock.epoch)


def test_a_setpoint_knows_its_own_zone(scene: Scene) -> None:
    scene.see(hall__temperature=19.0, attic__temperature=4.0, hall__people=2.0)
    hall, attic = scene.facts("b.hall.setpoint"), scene.facts("b.attic.setpoint")
    assert hall.zone is not None
    assert (hall.zone.id, hall.coldest_degc, hall.presence) == ("hall", 19.0, Presence.SENSED)
    assert (attic.coldest_degc, attic.presence) == (4.0, Presence.EMPTY)
    scene.expected = {"hall"}
    assert scene.facts("b.hall.setpoint").presence is Presence.SCHEDULED


def test_heat_sources_serve_every_zone_and_know_the_outdoors(scene: Scene) -> None:
    scene.see(hall__temperature=19.0, attic__temperature=4.0, outdoor__temperature=1.0)
    facts = scene.facts(HEAT_PUMP)
    assert (facts.heat_source, facts.coldest_degc, facts.outdoor_degc) == (True, 4.0, 1.0)
    assert not scene.facts("b.pool.enable").heat_source


def test_old_and_bad_readings_are_not_known(scene: Scene) -> None:
    scene.see(outdoor__temperature=1.0, hall__temperature=19.0)
    scene.now += timedelta(minutes=6)
    assert scene.facts(HEAT_PUMP).outdoor_degc is None
    scene.see(outdoor__temperature=None)
    assert scene.facts(HEAT_PUMP).outdoor_degc is None


@pytest.mark.parametrize(
    ("asked", "running", "pump_has_other", "boiler_has_other"),
    [
        ({}, {"boiler": 1.0, "heat_pump": 1.0}, True, True),
        ({}, {"boiler": 0.0, "heat_pump": 1.0}, False, True),
        ({HEAT_PUMP: 0.0}, {"boiler": 1.0, "heat_pump": 1.0}, True, False),  # what we ask counts, not what is yet
        ({BOILER: 1.0}, {"boiler": 0.0, "heat_pump": 1.0}, True, True),
        ({HEAT_PUMP: 0.0, BOILER: 0.0}, {"boiler": 1.0, "heat_pump": 1.0}, True, False),  # the last one is freed
        ({}, {}, False, False),  # not known
    ],
)
def test_another_source_counts_if_it_will_be_free_to_heat(
    scene: Scene, asked: dict[str, float], running: dict[str, float], *, pump_has_other: bool, boiler_has_other: bool
) -> None:
    scene.see(boiler__fault=0.0, **{f"{name}__enable": value for name, value in running.items()})
    assert scene.facts(HEAT_PUMP, asked=asked).other_heat is pump_has_other
    assert scene.facts(BOILER, asked=asked).other_heat is boiler_has_other


@pytest.mark.parametrize("fault", [1.0, None])
def test_a_source_with_a_fault_or_a_silent_one_does_not_count(scene: Scene, fault: float | None) -> None:
    scene.see(boiler__fault=fault, boiler__enable=1.0)
    assert not scene.facts(HEAT_PUMP).other_heat
    assert not scene.facts(HEAT_PUMP, asked={HEAT_PUMP: 0.0, BOILER: 0.0}).other_heat


def test_a_fan_knows_the_air_where_it_blows(scene: Scene) -> None:
    scene.see(hall__co2=700.0, attic__co2=900.0, ahu__fan=40.0)
    assert scene.facts("b.ahu.fan").co2_ppm == 700.0
    assert scene.facts("b.roof.fan").co2_ppm == 900.0
    assert scene.facts("b.ahu.fan", building_value=60.0).building_value == 60.0
    assert scene.facts("b.ahu.fan", building_value=20.0).building_value == 40.0
    assert not scene.facts("b.hall.setpoint").has_co2


def test_one_silent_sensor_hides_the_air_unless_another_shows_it_foul(scene: Scene) -> None:
    scene.see(hall__co2=None, attic__co2=900.0)
    assert scene.facts("b.roof.fan").co2_ppm is None
    scene.see(attic__co2=1600.0)
    assert scene.facts("b.roof.fan").co2_ppm == 1600.0
