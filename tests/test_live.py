"""A simulated building under the program: forecasts at the clock's time, and drivers with and without a wire."""

import asyncio
from datetime import timedelta
from pathlib import Path

import numpy as np

from controller.events import Cause
from controller.history import STEP
from controller.learned import priors
from drivers.clock import Clock
from site_sims.forecasts import Forecasts
from site_sims.live import SimulatedOutlook, controlled, wired
from site_sims.simulated_driver import SimulatedDriver
from tests.conftest import EPOCH
from tests.town_hall import town_hall


async def test_a_forecast_is_made_at_a_whole_hour_and_gets_better(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    forecasts = Forecasts(building.weather, seed=1)
    outlook = SimulatedOutlook(forecasts, clock)
    await asyncio.sleep(90 * 60)
    noon = EPOCH + timedelta(hours=12)
    early = outlook.outdoor_degc(noon, STEP, 4)
    assert early.made_at == EPOCH + timedelta(hours=1)
    assert not early.is_stale(clock.now())
    await clock.sleep_until(noon)
    late = outlook.outdoor_degc(noon, STEP, 4)
    assert late.made_at == noon
    truth = SimulatedOutlook(forecasts, Clock(noon + timedelta(hours=1) - timedelta(hours=12))).outdoor_degc(
        noon, STEP, 4
    )
    assert np.abs(late.values - truth.values).max() < np.abs(early.values - truth.values).max()
    assert outlook.solar_kw_m2(noon, STEP, 4).values.max() < 1.4
    assert outlook.intensity_g_per_kwh(noon, STEP, 4).made_at == noon


async def test_what_is_issued_changes_with_what_is_told(clock: Clock) -> None:
    outlook = SimulatedOutlook(Forecasts(town_hall(start=EPOCH).weather, seed=1), clock)
    for _ in range(10):
        issued = outlook.issued()
        start = clock.now()
        assert issued[Cause.WEATHER] == outlook.outdoor_degc(start, STEP, 4).made_at
        assert issued[Cause.CARBON] == outlook.intensity_g_per_kwh(start, STEP, 4).made_at
        await asyncio.sleep(17 * 60)


async def test_without_a_wire_the_drivers_are_in_memory(clock: Clock) -> None:
    building = town_hall(start=EPOCH)
    async with wired(building, clock, wire=False) as make:
        driver = make(building.site.devices[0])
        assert isinstance(driver, SimulatedDriver)
        async with driver:
            readings = await driver.read(building.site.devices[0].points)
    assert len(readings) == len(building.site.devices[0].points)


async def test_the_building_lives_for_the_length_of_the_block(clock: Clock, tmp_path: Path) -> None:
    building = town_hall(start=EPOCH)
    async with controlled(
        building.site, building, clock, directory=tmp_path, learned=priors(building.site), optimise=False
    ) as service:
        await clock.sleep_until(EPOCH + timedelta(minutes=30, seconds=30))
        assert building.time == EPOCH + timedelta(minutes=30)
        assert building.field["bms.heartbeat"].value >= 29
        assert service.state.value("townhall.hall.temperature", clock.now()) is not None
    lived = building.time
    await asyncio.sleep(600)
    assert building.time == lived
    assert not any(v is not None for o in building.field if o.commandable for v in o.array[8:14])
