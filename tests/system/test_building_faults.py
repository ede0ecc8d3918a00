"""What goes wrong in the building itself, one thing at a time, under the whole program: machines, sensors, people."""

import logging
import math
from datetime import timedelta
from pathlib import Path

import pytest

from controller.outcome import Holder, Result
from site_sims.building import SimulatedBuilding
from site_sims.field import FieldObject
from site_sims.score import Scorer
from tests.system.house import house, house_site, morning
from tests.system.test_faults import START, WELL_KH, plug_in, unplug

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_leases_of_a_device_that_is_gone_run_out_and_it_is_taken_again(tmp_path: Path) -> None:
    async with house(tmp_path, START) as home:
        await home.until("07:31")
        lost = [key for key in home.occupied_slots() if key in home.building.field.devices["zones_a"].objects]
        assert len(lost) == 5
        await unplug(home)
        before = {lease.point: lease.expires for lease in await home.service.leases.all() if lease.device == "zones_a"}
        await home.until("08:02")
        after = {lease.point: lease.expires for lease in await home.service.leases.all() if lease.device == "zones_a"}
        assert after == before, "no lease is prolonged whose value nobody can see"
        assert max(after.values()) < home.clock.now()
        await plug_in(home)
        await home.until("08:04")
        assert not set(home.occupied_slots()) & set(lost), "given back as soon as it can be reached"
        assert {d.id: home.service.links[d.id].up for d in home.building.site.devices}["zones_a"]
        await home.until("08:25")
        assert set(lost) <= set(home.occupied_slots())


async def test_a_boiler_fault_is_planned_around_and_hurts_less_than_under_the_bms(tmp_path: Path) -> None:
    def unplugged(building: SimulatedBuilding) -> None:
        if building.time == START.replace(hour=6, minute=30):
            building.unplug("boiler")
        if building.time == START.replace(hour=9):
            building.mend("boiler")

    alone = morning(START)
    alone.watchers.append(unplugged)
    scorer = Scorer(alone, slots=(15,))
    alone.advance(timedelta(hours=7))
    alone_kh = sum(below for below, _ in scorer.discomfort_by_zone.values())
    async with house(tmp_path, START) as home:
        home.building.watchers.append(unplugged)
        await home.until("06:32")
        problem, plan = home.service.planner.last
        assert not problem.boiler.available
        assert max(plan.series["boiler"].values) < 1e-6
        assert home.level == "0"
        await home.until("09:02")
        assert home.service.planner.last[0].boiler.available
        await home.until("12:00")
        assert home.below_kh() < 0.8 * alone_kh
    assert alone_kh > 10.0  # a fault that matters


@pytest.mark.parametrize("part", ["heat_pump", "boiler"])
async def test_the_rules_never_rely_on_a_broken_source(part: str, tmp_path: Path) -> None:
    other = {"heat_pump": "boiler", "boiler": "heat_pump"}[part]
    async with house(tmp_path, START, optimise=False) as home:
        await home.until("05:31")
        home.building.unplug(part)
        await home.until("05:50")
        assert home[f"{other}.enable"].value == 1.0
        await home.until("07:00")
        assert home.building.field[f"{other}.heat_output"].value > 10.0


async def test_an_operator_is_left_alone_and_planned_around(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    name, key = "townhall.hall.heating_setpoint", "hall.heating_setpoint"
    async with house(tmp_path, START) as home:
        await home.until("07:32")
        home.notary.operate(home[key], 22.5)
        await home.until("07:34")
        status = home.service.dispatch.status[name]
        assert (status.holder, status.result, status.value) == (Holder.OPERATOR, Result.HELD, 22.5)
        hall = home.service.planner.last[0].zones[0]
        assert (hall.id, hall.held_degc) == ("hall", 22.5)
        await home.until("09:00")
        held = [w for w in home.notary.ours(key, since=START.replace(hour=7, minute=34)) if w.value is not None]
        assert held == [], "nothing is written under an operator's hand"
        assert home[key].value == 22.5
        home.notary.operate(home[key], None)
        await home.until("09:02")
        assert home[key].holder == 13
        await home.until("09:16")
        assert home.service.planner.last[0].zones[0].held_degc is None
        assert home.service.dispatch.status[name].source == "optimiser"
        assert home[key].array[7] is None
    about = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert about == [f"{name}: a stronger hand has taken it; we wait", f"{name}: the stronger hand let go"]


@pytest.mark.parametrize("slot", range(1, 9))
async def test_no_slot_of_people_is_ever_touched(slot: int, tmp_path: Path) -> None:
    async with house(tmp_path, START) as home:
        await home.until("05:10")
        home.notary.operate(home["heat_pump.enable"], 0.0, slot)
        await home.until("06:00")
        assert home["heat_pump.enable"].array[slot - 1] == 0.0
        assert not home.service.planner.last[0].heat_pump.available
    assert home["heat_pump.enable"].array[slot - 1] == 0.0


async def test_a_sensor_that_speaks_nonsense_leaves_its_zone_to_the_rules(tmp_path: Path) -> None:
    name, key = "townhall.hall.heating_setpoint", "hall.temperature"
    async with house(tmp_path, START) as home:
        await home.until("07:30")
        instruments = home.building._instruments
        place = instruments._objects.index(home[key])
        instruments._objects[place] = FieldObject(key="unconnected", address="")
        home[key].sense(math.nan)
        await home.until("08:16")
        problem = home.service.planner.last[0]
        beside = [home["reception.temperature"].value, home["library.temperature"].value]
        assert problem.zones[0].temperature_degc == pytest.approx(sum(beside) / 2, abs=0.3)
        status = home.service.dispatch.status[name]
        assert (status.source, status.wanted) == ("rules", 20.2)
        instruments._objects[place] = home[key]
        await home.until("09:01")
        assert home.service.dispatch.status[name].source == "optimiser"
        await home.until("12:00")
        assert home.below_kh() < WELL_KH + 1.0


async def test_a_demand_limit_dims_the_lights_as_far_as_needed_and_gives_them_back(tmp_path: Path) -> None:
    async with house(tmp_path, START.replace(hour=8)) as home:
        await home.until("09:30")
        lights = {p.id.split(".", 1)[1] for p in home.building.site.by_role("light_level")}
        before = {key: home[key].value for key in lights}
        lit = [key for key, level in before.items() if level > 40]
        assert len(lit) > 5
        imported = home["grid.electricity_kw"].sensed
        limit = imported - 3.0
        home["grid.demand_limit"].sense(limit)
        await home.clock.sleep_until(home.clock.now() + timedelta(seconds=30))
        at_once = {key: home[key].value for key in lit}
        assert all(level < before[key] for key, level in at_once.items()), "within seconds"
        assert min(at_once.values()) > 50.0, "no more than needed"
        await home.until("09:45")
        assert all(home[key].value <= before[key] for key in lights), "none is raised"
        assert home["grid.electricity_kw"].sensed < limit + 0.5
        await home.until("10:20")
        assert home["grid.electricity_kw"].sensed < limit + 1.0, "the leases are prolonged"
        home["grid.demand_limit"].sense(1000.0)
        await home.until("10:22")
        dimmed = [p for p, status in home.service.dispatch.status.items() if status.source == "demand_limit"]
        assert dimmed == []
        assert all(home[key].value > 50.0 for key in lit if home[key].value > 0)


async def test_on_the_wire_a_stopped_broker_costs_only_what_hangs_on_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with house(tmp_path, START.replace(hour=7), wire=True) as home:
        await home.until("07:31")
        broker = home.broker
        await broker.stop()
        await home.until("07:41")
        up = {name: link.up for name, link in home.service.links.items()}
        mqtt = {device.id for device in house_site().devices if device.driver == "mqtt"}
        assert {name for name, is_up in up.items() if not is_up} == mqtt
        levels = {name: home.service.ladder.device_level(name).label for name in up}
        assert levels == {name: "3" if name in mqtt else "0" for name in up}
        heating = {status.source for point, status in home.service.dispatch.status.items() if "heating_set" in point}
        assert heating == {"optimiser"}
        await broker.start()
        await home.until("07:42")
        assert all(link.up for link in home.service.links.values())
        await home.until("07:50")
        assert {home.service.ladder.device_level(name).label for name in up} == {"0"}
        now = home.clock.now()
        assert all(home.service.state.value(p.id, now) is not None for p in home.building.site.by_role("occupancy"))
        await home.until("08:30")
    said = [r.getMessage() for r in caplog.records if r.name == "controller.supervisor"]
    for device in mqtt:
        lines = [line for line in said if line.startswith(f"{device}: ")]
        assert [line.split(": ")[1] for line in lines] == ["up", "down", "back"]
    assert home.occupied_slots() == []
