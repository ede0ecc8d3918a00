"""Sensors that go wrong under the whole program: one sticks, one jumps once, a meter is exchanged, a unit changes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from controller.backend.backend import Setting, backend
from controller.carbon.intervals import read_accounts
from controller.carbon.slots import Code
from drivers.base import Flags
from site_sims.field import FieldObject
from tests.system.house import House, house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

START = datetime(2023, 2, 7, 5, tzinfo=UTC)
HALL, LIBRARY, GAS = "townhall.hall.temperature", "townhall.library.temperature", "townhall.grid.gas_kwh"
KEPT = timedelta(minutes=11)  # a simulation writes its store every ten minutes

Wrong = Callable[[float], float]


@dataclass(slots=True, kw_only=True, eq=False)
class Tampered(FieldObject):
    """Stands between an instrument and what it shows."""

    shown: FieldObject
    wrong: Wrong

    def sense(self, value: float) -> None:
        self.shown.sense(self.wrong(value))


def tamper(home: House, key: str, wrong: Wrong) -> Callable[[], None]:
    """Have a sensor show something else from now on; call what is returned to mend it."""
    instruments = home.building._instruments
    place = instruments._objects.index(home[key])
    instruments._objects[place] = Tampered(key=key, address="", shown=home[key], wrong=wrong)

    def mend() -> None:
        instruments._objects[place] = home[key]

    return mend


def sources(home: House) -> dict[str, str]:
    """Who leads the setpoint of each zone."""
    points = home.building.site.by_role("heating_setpoint")
    return {point.part: home.service.dispatch.status[point.id].source for point in points}


async def flagged(home: House, point: str, flag: Flags) -> list[datetime]:
    """When the stored values of a point have a flag."""
    window = await home.service.store.window(point, START, home.clock.now())
    return [datetime.fromtimestamp(t, UTC) for t in window.time_s[(window.flags & int(flag)) > 0].tolist()]


async def test_a_stuck_sensor_leaves_its_zone_to_the_rules_and_what_it_taught_is_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path, START) as home, backend(home.service, Setting()) as pages:
        await home.until("05:30")
        stuck_at = home["library.temperature"].sensed
        mend = tamper(home, "library.temperature", lambda _: stuck_at)
        await home.until("17:15")
        assert sources(home)["library"] == "optimiser", "not yet half a day"
        assert len(home.service.history.column(LIBRARY)) > 40
        assert not np.isnan(home.service.history.column(LIBRARY)[-40:]).any()
        await home.until("18:10")
        assert sources(home) == {zone: "rules" if zone == "library" else "optimiser" for zone in sources(home)}
        assert np.isnan(home.service.history.column(LIBRARY)[-50:]).all(), "twelve and a half hours"
        assert not np.isnan(home.service.history.column(HALL)).any()
        (alarm,) = [alarm for alarm in pages.alarms() if alarm.id == f"doubted-{LIBRARY}"]
        assert "it has stuck; its zone follows the rules" in alarm.text
        mend()
        await home.until("18:31")
        doubted = await flagged(home, LIBRARY, Flags.STUCK)
        assert doubted[0] <= START + timedelta(minutes=31), "what was stored as well, from the last change on"
        assert len(doubted) == pytest.approx((doubted[-1] - doubted[0]) / timedelta(minutes=1), abs=5)
        assert sources(home)["library"] == "optimiser"
        assert f"doubted-{LIBRARY}" not in [alarm.id for alarm in pages.alarms()]


async def test_a_spike_reaches_neither_plan_nor_history(tmp_path: Path) -> None:
    async with house(tmp_path, START.replace(hour=8)) as home:
        await home.until("09:12")
        await home.clock.sleep_until(home.clock.now() + timedelta(seconds=30))
        true = home["hall.temperature"].sensed
        mend = tamper(home, "hall.temperature", lambda value: value - 11.0)
        with home.service.hubs.triggers.subscribe() as triggers:
            await home.clock.sleep_until(home.clock.now() + timedelta(minutes=1))
            mend()
            await home.until("09:16")
            assert not [t for t in triggers.take() if t.text.startswith("hall:")], "nobody is alarmed about the cold"
        problem, _ = home.service.planner.last
        assert problem.zones[0].temperature_degc == pytest.approx(true, abs=0.5)
        assert set(sources(home).values()) == {"optimiser"}
        assert home.service.history.column(HALL)[-1] == pytest.approx(true, abs=0.5)
        await home.clock.sleep_until(home.clock.now() + KEPT)
        (when,) = await flagged(home, HALL, Flags.SPIKE)
        assert START.replace(hour=9, minute=12) < when <= START.replace(hour=9, minute=14)
        window = await home.service.store.window(HALL, when, when + timedelta(seconds=1))
        assert window.value.tolist() == [pytest.approx(true - 11.0, abs=0.5)], "kept as it was shown"


async def test_an_exchanged_meter_costs_one_half_hour_and_asks_for_its_registers(tmp_path: Path) -> None:
    async with house(tmp_path, START.replace(hour=8)) as home, backend(home.service, Setting()) as pages:
        await home.until("09:10")
        before = home["grid.gas_kwh"].sensed
        tamper(home, "grid.gas_kwh", lambda value: round(value - 0.6 * before, 1))
        await home.until("10:40")
        (alarm,) = [alarm for alarm in pages.alarms() if alarm.id == "meter-gas"]
        assert "the meter was exchanged" in alarm.text
        assert "closing and opening register" in alarm.next_step
        (doubted,) = await flagged(home, GAS, Flags.BACKWARDS)
        (believed,) = await flagged(home, GAS, Flags.REPLACED)
        assert doubted < believed <= doubted + timedelta(minutes=2)
        accounts = await read_accounts(
            home.service.store, home.building.site, START.replace(hour=8, minute=30), START.replace(hour=10, minute=30)
        )
        (gas,) = [account for account in accounts if account.meter.id == "gas"]
        assert [interval.code for interval in gas.intervals] == [Code.ACTUAL, Code.MISSING, Code.ACTUAL, Code.ACTUAL]
        assert all(interval.kwh is None or 0 <= interval.kwh < 100 for interval in gas.intervals)


async def test_a_sensor_that_turns_to_fahrenheit_is_not_believed_until_it_turns_back(tmp_path: Path) -> None:
    async with house(tmp_path, START.replace(hour=8)) as home:
        await home.until("09:05")
        mend = tamper(home, "council.temperature", lambda value: round(value * 1.8 + 32.0, 1))
        await home.until("10:02")
        assert sources(home) == {zone: "rules" if zone == "council" else "optimiser" for zone in sources(home)}
        mend()
        await home.until("10:16")
        assert set(sources(home).values()) == {"optimiser"}
        await home.clock.sleep_until(home.clock.now() + KEPT)
        jumped = await flagged(home, "townhall.council.temperature", Flags.UNIT_JUMP)
        assert len(jumped) == pytest.approx(57, abs=2)
        assert np.nanmax(home.service.history.column("townhall.council.temperature")) < 25.0
