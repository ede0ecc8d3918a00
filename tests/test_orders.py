"""What people ask for through the pages, down to the simulated device and back."""

import asyncio
import math
from datetime import timedelta
from pathlib import Path

import pytest

from config.load import load_site
from controller.commands import advisory
from controller.ladder import Level
from controller.stopped import STOP_FILE, keep_stop, stopped_for
from controller.web.view import BadRequest, Holder, NotFound
from site_sims.prelude import SITE
from tests.town_hall_service import Hall, town_hall

HALL = "townhall.hall.heating_setpoint"
LIGHT = "townhall.hall.light_level"
HOUR = timedelta(hours=1)


async def _audit(hall: Hall, action: str) -> list[tuple[str, str, str, str]]:
    entries = await hall.service.audit.entries(500)
    return [(e.actor, e.subject, e.new, e.reason) for e in reversed(entries) if e.action == action]


async def test_an_override_reaches_the_device_and_ends_by_itself(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(300)
        until = hall.clock.now() + HOUR
        await hall.backend.override(HALL, 21.5, until, "evening meeting")
        assert hall.slot(HALL) == 21.5  # when the answer comes it is on the wire
        view = hall.backend.point(HALL)
        assert view.hold is not None
        assert (view.hold.holder, view.hold.until, view.hold.reason) == (Holder.OVERRIDE, until, "evening meeting")
        assert view.value == 21.5
        await asyncio.sleep(60)
        plan = hall.backend.plan()
        assert plan is not None
        assert "held by a person" in plan.trigger  # a new plan was made at once
        await asyncio.sleep(2900)
        assert hall.slot(HALL) == 21.5
        assert any(alarm.id == f"ending-{HALL}" for alarm in hall.backend.alarms())
        await asyncio.sleep(720)
        assert hall.slot(HALL) != 21.5
        assert hall.backend.point(HALL).hold.holder is Holder.PLAN  # type: ignore[union-attr]  # writable
        assert await hall.service.leases.overrides() == ()
        assert (await _audit(hall, "override"))[0][:3] == ("page", HALL, "21.5")
        assert (await _audit(hall, "override_ended"))[0][0] == "clock"


async def test_a_second_override_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        until = hall.clock.now() + HOUR
        await hall.backend.override(HALL, 21.0, until, "one")
        await hall.backend.override(HALL, 22.0, until + HOUR, "two")
        assert hall.slot(HALL) == 22.0
        (kept,) = await hall.service.leases.overrides()
        assert (kept.value, kept.reason) == (22.0, "two")


async def test_a_cancelled_override_gives_the_point_back_to_the_plan(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await hall.backend.override(LIGHT, 30.0, hall.clock.now() + HOUR, "film")
        assert hall.slot(LIGHT) == 30.0
        await hall.backend.cancel_override(LIGHT)
        await asyncio.sleep(60)
        assert hall.slot(LIGHT) != 30.0
        with pytest.raises(NotFound, match="no override"):
            await hall.backend.cancel_override(LIGHT)


@pytest.mark.parametrize(
    ("point", "value", "hours", "words"),
    [
        (HALL, 40.0, 1, "send one from 12 to 23.5"),
        (HALL, 5.0, 1, "send one from 12 to 23.5"),
        (HALL, math.nan, 1, "not a finite number"),
        (HALL, math.inf, 1, "not a finite number"),
        (HALL, 21.0, 25, "within the next 24 h"),
        (HALL, 21.0, -1, "within the next 24 h"),
        ("townhall.boiler.enable", 0.5, 1, "send 0 or 1"),
        ("townhall.hall.temperature", 21.0, 1, "cannot be set"),
        ("townhall.bms.heartbeat", 1.0, 1, "cannot be set"),
    ],
)
async def test_an_override_that_cannot_be_is_refused_with_its_cure(
    tmp_path: Path, point: str, value: float, hours: float, words: str
) -> None:
    async with town_hall(tmp_path) as hall:
        before = hall.slot(HALL)
        with pytest.raises(BadRequest, match=words):
            await hall.backend.override(point, value, hall.clock.now() + hours * HOUR, "no")
        assert hall.slot(HALL) == before
        assert await hall.service.leases.overrides() == ()
        with pytest.raises(NotFound, match="nowhere"):
            await hall.backend.override("townhall.nowhere.x", 21.0, hall.clock.now() + HOUR, "no")


async def test_stop_empties_every_slot_and_resume_takes_them_again(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(600)
        assert hall.slot(HALL) is not None
        await hall.backend.stop("engineer on site")
        ours = [obj.key for obj in hall.building.field if obj.commandable and obj.array[12] is not None]
        assert ours == []
        control = hall.backend.now().control
        assert (control.stopped, control.level, control.word) == (True, "4", "Stopped")
        assert "engineer on site" in control.text
        with pytest.raises(BadRequest, match="resume"):
            await hall.backend.override(HALL, 21.0, hall.clock.now() + HOUR, "no")
        await asyncio.sleep(1800)
        assert [obj.key for obj in hall.building.field if obj.commandable and obj.array[12] is not None] == []
        assert stopped_for(tmp_path)
        await hall.backend.resume()
        await asyncio.sleep(120)
        assert hall.slot(HALL) is not None
        assert not hall.backend.now().control.stopped
        assert not stopped_for(tmp_path)
        assert await _audit(hall, "stop") == [("page", "townhall", "released", "engineer on site")]
        assert len(await _audit(hall, "resume")) == 1


async def test_a_stop_outlives_a_restart(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        keep_stop(tmp_path, "stopped by a person at 05:00: fire drill", hall.clock.now())
    async with town_hall(tmp_path) as hall:
        assert hall.service.ladder.level is Level.RELEASED
        await asyncio.sleep(1200)
        assert [obj.key for obj in hall.building.field if obj.commandable and any(obj.writes[8:14])] == []
        assert "fire drill" in hall.backend.now().control.text
        await hall.backend.resume()
        await asyncio.sleep(120)
        assert hall.slot(HALL) is not None


async def test_an_override_outlives_a_restart(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await hall.backend.override(HALL, 21.5, hall.clock.now() + HOUR, "choir")
    assert hall.slot(HALL) is None
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(60)
        assert hall.slot(HALL) == 21.5
        hold = hall.backend.now().zones[0].hold
        assert hold is not None
        assert (hold.holder, hold.reason) == (Holder.OVERRIDE, "choir")


async def test_an_advisory_site_takes_no_override(tmp_path: Path) -> None:
    async with town_hall(tmp_path, site=advisory(load_site(SITE))) as hall:
        await asyncio.sleep(1200)
        view = hall.backend.now()
        assert (view.control.level, view.control.word) == ("0a", "Advisory")
        assert hall.backend.plan() is not None
        assert [obj.key for obj in hall.building.field if obj.commandable and any(obj.writes[8:14])] == []
        with pytest.raises(BadRequest, match="advisory"):
            await hall.backend.override(HALL, 21.0, hall.clock.now() + HOUR, "no")


def test_a_damaged_stop_file_counts_as_a_stop(tmp_path: Path) -> None:
    assert stopped_for(tmp_path) == ""
    (tmp_path / STOP_FILE).write_text("{")
    assert "cannot be read" in stopped_for(tmp_path)
    (tmp_path / STOP_FILE).write_text("[]")
    assert stopped_for(tmp_path)
