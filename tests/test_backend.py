"""What the pages are told, against a service that controls a simulated building."""

import asyncio
import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from controller.backend.backend import ServiceBackend, Setting
from controller.backend.forecast import bands
from controller.wear import Wear
from controller.web.encode import plain
from controller.web.view import Event, Holder, NotFound, Tone
from controller.web.words import status
from drivers.base import Quality
from tests.town_hall_service import town_hall

HALL = "townhall.hall.heating_setpoint"


async def test_an_hour_of_control_is_shown_as_it_is(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(3600)
        view, now = hall.backend.now(), hall.clock.now()
        assert view.time == now
        assert (view.control.level, view.control.word, view.control.tone) == ("0", "Optimising", Tone.GOOD)
        assert view.control.next_action == hall.service.planner.next_at
        assert len(view.zones) == 10
        assert len(view.devices) == 7
        assert all(device.up and device.polls >= 60 and not device.failures for device in view.devices)
        zone = view.zones[0]
        truth = hall.building.field["hall.temperature"].value
        assert zone.temperature_degc == pytest.approx(truth, abs=0.3)
        assert (zone.low_degc, zone.high_degc, zone.occupied) == (12.0, 26.0, False)
        assert zone.setpoint_degc == hall.slot(HALL)
        assert zone.hold is not None
        assert (zone.hold.holder, zone.hold.slot) == (Holder.PLAN, 13)
        assert zone.reason
        assert "degC" not in zone.reason
        assert zone.quality is Quality.GOOD
        assert zone.age is not None
        assert zone.age <= timedelta(minutes=1)
        assert zone.predicted_degc == pytest.approx(20.0, abs=1.0)  # when people come
        assert zone.predicted_at == datetime(2023, 2, 7, 8, tzinfo=UTC)
        assert view.power_kw == pytest.approx(hall.building.plant.state.power.net, abs=3.0)
        assert view.planned_kw is not None
        assert view.limit_kw == 80.0
        assert view.grid.price == 0.25
        assert not view.alarms
        assert view.decisions == tuple(sorted(view.decisions, key=lambda reason: reason.time))
        assert plain(view)


async def test_plant_is_named_and_says_what_it_does(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(600)
        plant = {item.id: item for item in hall.backend.now().plant}
        running = bool(hall.building.field["boiler.running"].value)
        assert plant["boiler"].word == ("Running" if running else "Off")
        assert plant["tank"].temperature_degc == pytest.approx(hall.building.plant.tank.mean, abs=1.0)
        assert plant["ahu"].name == "Ventilation, Council chamber"
        assert plant["pv"].word == "Dark"
        hall.building.unplug("boiler")
        await asyncio.sleep(120)
        assert {i.id: i for i in hall.backend.now().plant}["boiler"].word == "Fault"
        (alarm,) = hall.backend.alarms()
        assert alarm.text == "Boiler reports a fault"
        assert alarm.next_step
        hall.building.mend("boiler")
        await asyncio.sleep(120)
        assert hall.backend.alarms() == ()


async def test_a_value_that_is_not_believed_is_shown_with_the_reason(tmp_path: Path) -> None:
    point = "townhall.hall.temperature"
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(600)
        before = hall.backend.now().zones[0].temperature_degc
        assert hall.backend.point(point).doubt == ""
        hall.building.watchers.append(lambda building: building.field["hall.temperature"].sense(85.0))
        await asyncio.sleep(150)
        view, zone = hall.backend.point(point), hall.backend.now().zones[0]
        assert (view.quality, view.doubt) == (Quality.SUSPECT, "85.0 °C: outside its range")
        assert zone.temperature_degc == pytest.approx(before, abs=0.3), "the last that was believed"
        assert status(zone).word == "Doubtful reading"
        await asyncio.sleep(300)
        (alarm,) = hall.backend.alarms()
        assert alarm.text.endswith(f"is not believed at {view.doubt}; its zone follows the rules, not the plan")


async def test_the_plan_joins_the_past_without_a_gap(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(3600 + 300)
        plan = hall.backend.plan()
        assert plan is not None
        now = hall.clock.now()
        assert now - plan.made_at <= timedelta(minutes=15)
        for zone in plan.zones:
            assert zone.actual is not None
            assert zone.past_setpoint is not None
            end = zone.actual.start + len(zone.actual.values) * zone.actual.step
            assert end == zone.temperature.start == zone.setpoint.start
            assert zone.low.start == zone.actual.start
            assert len(zone.low.values) == len(zone.high.values) == len(zone.people.values)
            assert math.isfinite(zone.actual.values[-1])
            assert zone.past_planned is not None
            foretold, measured = zone.past_planned.values[-1], zone.actual.values[-1]
            assert foretold == pytest.approx(measured, abs=1.0)
        hall_zone = plan.zones[0]
        assert hall_zone.setpoint.values[0] == hall.slot(HALL)
        assert hall_zone.low.at(datetime(2023, 2, 7, 9, tzinfo=UTC)) == 20.0
        assert plan.price.at(datetime(2023, 2, 7, 5, tzinfo=UTC)) == 0.09
        assert plan.price.at(datetime(2023, 2, 7, 17, tzinfo=UTC)) == 0.38
        assert plan.past_import is not None
        assert plan.past_planned_import is not None
        assert plan.names["hall"] == "Main hall"
        assert plain(plan)


async def test_before_the_first_plan_nothing_is_invented(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        fresh = ServiceBackend(hall.service, Setting())
        assert fresh.plan() is None
        view = fresh.now()
        assert (view.control.word, view.control.next_action) == ("Starting", None)
        assert view.planned_kw is None
        assert view.zones[0].predicted_degc is None


async def test_a_point_shows_its_whole_priority_array(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(600)
        hall.object(HALL).write(22.5, 8)
        hall.backend.point(HALL)  # asks the device
        await asyncio.sleep(1)
        view = hall.backend.point(HALL)
        assert [(slot.number, slot.text) for slot in view.slots] == [
            (8, "Operator, by hand"),
            (13, "Plenum"),
            (15, "The building's schedule"),
        ]
        assert view.slots[0].value == 22.5
        assert view.default == 18.0
        assert view.lease_value == hall.slot(HALL)
        assert view.lease_expires is not None
        assert view.read_back.startswith("applied")
        with pytest.raises(NotFound, match="nowhere"):
            hall.backend.point("townhall.nowhere.temperature")


async def test_an_operator_at_the_panel_is_named_and_becomes_an_alarm_when_it_lasts(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(600)
        hall.object(HALL).write(22.5, 8)
        await asyncio.sleep(600)
        hold = hall.backend.now().zones[0].hold
        assert hold is not None
        assert (hold.holder, hold.slot) == (Holder.OPERATOR, 8)
        assert "22.5 °C" in hold.text
        assert not hall.backend.alarms()
        await asyncio.sleep(1800)
        (alarm,) = hall.backend.alarms()
        assert alarm.part == "hall"
        assert alarm.tone is Tone.WARN
        hall.object(HALL).write(None, 8)
        await asyncio.sleep(900)
        assert hall.backend.now().zones[0].hold.holder is Holder.PLAN  # type: ignore[union-attr]  # seen above
        assert not hall.backend.alarms()


async def test_lost_devices_are_one_alarm_for_one_cause(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(600)
        for name in ("meters", "occupancy", "lighting"):
            hall.building.field.devices[name].reachable = False
        await asyncio.sleep(600)
        (alarm,) = hall.backend.alarms()
        assert alarm.tone is Tone.BAD
        assert "meters, occupancy, lighting" in alarm.text
        assert "127.0.0.1:47883" in alarm.next_step
        assert not hall.backend.health().ok
        assert [device.id for device in hall.backend.now().devices if not device.up] == [
            "meters",
            "occupancy",
            "lighting",
        ]
        assert "Without meters, occupancy, lighting" in hall.backend.now().control.text
        for name in ("meters", "occupancy", "lighting"):
            hall.building.field.devices[name].reachable = True
        await asyncio.sleep(600)
        assert not hall.backend.alarms()
        assert hall.backend.health().ok


async def test_a_memory_that_writes_have_nearly_worn_out_is_an_alarm(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        holding = hall.service.dispatch._holdings[HALL]
        for writes, tone, words in ((80_000, Tone.WARN, "80000 times"), (100_000, Tone.BAD, "nothing more is written")):
            holding.wear = Wear(writes=writes)
            await asyncio.sleep(120)
            (alarm,) = hall.backend.alarms()
            assert (alarm.id, alarm.tone) == (f"worn-{HALL}", tone)
            assert words in alarm.text


async def test_energy_of_today_is_that_of_the_meters(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        before = hall.building.registers.imported
        await asyncio.sleep(3600 + 90)
        view = await hall.backend.carbon()
        today = hall.backend.now().today
        assert today.start == datetime(2023, 2, 7, tzinfo=UTC)
        assert today.electricity_kwh == pytest.approx(hall.building.registers.imported, abs=3)
        assert today.gas_kwh == pytest.approx(hall.building.registers.gas, abs=5)
        assert today.electricity_kwh > before
        assert today.cost > 0
        assert today.annual_kg != today.grid_kg
        assert "CO2e" in view.ledgers.annual
        assert "half-hourly" in view.ledgers.grid
        total = sum(row.electricity_kwh for row in view.half_hours)
        assert total == pytest.approx(view.days[-1][1].electricity_kwh, abs=0.01)
        assert sum(row.cost for row in view.half_hours) == pytest.approx(view.days[-1][1].cost, abs=0.01)
        assert view.half_hours[-1].intensity_g_per_kwh is not None


async def test_readings_are_those_of_the_store(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(1900)
        now = hall.clock.now()
        point = "townhall.hall.temperature"
        raw = await hall.backend.readings(point, now - timedelta(minutes=20), now, None)
        assert 18 <= len(raw.rows) <= 21
        assert all(quality is Quality.GOOD for _, _, quality in raw.rows)
        means = await hall.backend.readings(point, now - timedelta(minutes=30), now, timedelta(minutes=15))
        assert means.rows[0][1] == pytest.approx(raw.rows[0][1], abs=0.5)
        with pytest.raises(NotFound):
            await hall.backend.readings("townhall.nowhere.temperature", now - timedelta(hours=1), now, None)


async def test_a_store_that_is_short_of_room_shows(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        upkeep = hall.service.store.upkeep
        (check,) = [check for check in hall.backend.health().checks if check.name == "Store"]
        assert check.ok
        assert check.text.endswith("0 dropped; 0 of 20,000 MB")
        await asyncio.sleep(300)
        hall.service.store.upkeep.trouble = "data: 30 MB are in use: raise store.budget_mb"
        await asyncio.sleep(120)
        (check,) = [check for check in hall.backend.health().checks if check.name == "Store"]
        assert not check.ok
        (alarm,) = hall.backend.alarms()
        assert alarm.text == "Readings could not be packed or make room: data: 30 MB are in use: raise store.budget_mb"
        upkeep.trouble = ""
        await asyncio.sleep(120)
        assert hall.backend.alarms() == ()


async def test_pages_hear_of_everything_but_not_too_often(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        with hall.backend.events.subscribe(size=10_000) as buffer:
            await asyncio.sleep(1200)
            events = buffer.take()
        kinds = [event.kind for event in events]
        assert {"readings", "plan", "control"} <= set(kinds)
        assert kinds.count("readings") <= 1200
        plan = next(event for event in events if event.kind == "plan")
        assert isinstance(plan, Event)
        assert plan.payload["made_at"] == "05:15"


async def test_every_view_fits_the_interface(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(300)
        for view in (hall.backend.now(), hall.backend.points(), hall.backend.health(), await hall.backend.carbon()):
            assert plain(view)
        points = hall.backend.points()
        assert len(points) == len(hall.site.points)
        assert all(is_dataclass(point) and len(fields(point)) > 10 for point in points)


def test_bands_compare_with_the_range_of_the_day() -> None:
    assert bands(np.array([100.0, 200.0, 300.0])) == ["low", "medium", "high"]
    assert bands(np.array([200.0, 201.0])) == ["medium", "medium"]
