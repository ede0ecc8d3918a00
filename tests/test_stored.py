"""A point's past as the backend takes it from the store of a running service."""

import asyncio
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from controller.backend.stored import LONGEST_AS_STORED
from controller.web import history
from controller.web.timeline import chosen
from controller.web.view import NotFound
from drivers.base import Flags, Quality, Reading
from tests.town_hall_service import Hall, town_hall

HALL = "townhall.hall.temperature"
SETPOINT = "townhall.hall.heating_setpoint"
HOUR = timedelta(hours=1)


async def keep(hall: Hall, point: str, ages: list[timedelta], value: float) -> None:
    """Readings of long ago."""
    times = [hall.clock.now() - age for age in ages]
    await hall.service.store.append([Reading(point=point, time=at, received=at, value=value) for at in times])


async def test_an_hour_of_control_is_kept_and_drawn(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        start = hall.clock.now()
        await asyncio.sleep(3600)
        found = await hall.backend.history(HALL, start, hall.clock.now())
        assert (found.unit, found.role, found.device) == ("degC", "zone_temperature", "zones_a")
        assert (found.held, found.counter) == (False, False)
        assert found.lasts == timedelta(minutes=5)
        inside = found.samples.time_s >= start.timestamp()
        assert inside.sum() >= 50
        assert (found.samples.mean[inside] > 5).all()
        assert found.beside is not None
        assert found.beside.point == SETPOINT
        assert found.beside.held
        assert found.beside.beside is None
        choice = chosen({"span": "hour"}, hall.site.timezone, hall.clock.now())
        drawn = history.chart(found, choice, tz=hall.site.timezone, until_s=hall.clock.now().timestamp())
        assert "gap" not in drawn.summary


async def test_registers_states_and_measurements_are_told_apart(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        now = hall.clock.now()
        shapes = {}
        for point in ("townhall.grid.electricity_kwh", "townhall.boiler.running", "townhall.hall.people", HALL):
            found = await hall.backend.history(point, now - HOUR, now)
            shapes[point.split(".", 1)[1]] = (found.counter, found.held, found.beside is not None)
        assert shapes == {
            "grid.electricity_kwh": (True, False, False),
            "boiler.running": (False, True, False),
            "hall.people": (False, True, False),
            "hall.temperature": (False, False, True),
        }
        with pytest.raises(NotFound):
            await hall.backend.history("townhall.attic.temperature", now - HOUR, now)


async def test_quality_and_its_reasons_come_along(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        at = hall.clock.now() - timedelta(days=2)
        doubtful = Reading(
            point=HALL, time=at, received=at, value=44.0, quality=Quality.SUSPECT, flags=Flags.SPIKE | Flags.PUSHED
        )
        await hall.service.store.append([doubtful])
        found = await hall.backend.history(HALL, at - HOUR, at + HOUR)
        choice = chosen({"from": f"{at - HOUR}", "to": f"{at + HOUR}"}, hall.site.timezone, hall.clock.now())
        drawn = history.chart(found, choice, tz=hall.site.timezone, until_s=hall.clock.now().timestamp())
        assert "1 suspect (a sudden step)" in drawn.summary


async def test_a_value_from_before_the_window_reaches_into_it(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await keep(hall, HALL, [timedelta(days=3, minutes=3)], 19.0)
        start = hall.clock.now() - timedelta(days=3)
        found = await hall.backend.history(HALL, start, start + HOUR)
        assert found.samples.mean.tolist() == [19.0]
        assert found.samples.time_s[0] < start.timestamp()


async def test_a_long_window_comes_in_steps_and_loses_no_peak(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        end = hall.clock.now()
        ages = [timedelta(days=70) - n * timedelta(minutes=10) for n in range(2000)]
        await keep(hall, HALL, ages, 20.0)
        await keep(hall, HALL, [timedelta(days=65, minutes=5)], 31.0)
        found = await hall.backend.history(HALL, end - timedelta(days=80), end)
        assert len(found.samples.time_s) < 1_000
        assert found.samples.high.max() == 31.0
        assert found.samples.count.sum() >= 2001
        assert (np.diff(found.samples.time_s) > 0).all()
        assert found.lasts >= 2 * timedelta(minutes=90)
        short = await hall.backend.history(HALL, end - LONGEST_AS_STORED, end)
        assert short.lasts == timedelta(minutes=5)


async def test_where_only_half_hours_are_kept_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with town_hall(tmp_path) as hall:
        store = hall.service.store
        end = hall.clock.now()
        ages = [timedelta(days=20) - n * timedelta(minutes=1) for n in range(600)]
        await keep(hall, HALL, ages, 20.0)
        window, forgotten = store.window, end - timedelta(days=2)
        monkeypatch.setattr(store, "window", lambda point, a, b: window(point, max(a, forgotten), max(b, forgotten)))
        found = await hall.backend.history(HALL, end - timedelta(days=30), end)
        old = found.samples.time_s < (end - timedelta(days=15)).timestamp()
        assert old.sum() == pytest.approx(20, abs=1)
        assert found.samples.count[old].sum() == pytest.approx(600, abs=30)
        assert (np.diff(found.samples.time_s) > 0).all()
