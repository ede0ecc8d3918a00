"""A simulated building under the production program: the same service, on simulated drivers or on real packets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from config.site import Device, Site
from controller.events import Cause
from controller.history import History
from controller.learned import Learned
from controller.outlook import Expected
from controller.planner import Solver
from controller.service import Service, Settings, running
from controller.store.forward import Database
from drivers.base import Driver
from drivers.clock import Clock
from drivers.registry import Shared, make_driver
from optimiser.problem import Forecast
from optimiser.worker import InProcess
from site_sims.bacnet_devices import serve_bacnet
from site_sims.broker import Broker, keepalive_in_loop_time
from site_sims.building import SimulatedBuilding
from site_sims.forecasts import Forecasts
from site_sims.mqtt_devices import serve_mqtt
from site_sims.simulated_driver import simulated_drivers

STORED_EVERY = timedelta(minutes=10)  # nobody looks at a simulation's store before its end


class SimulatedOutlook:
    """Forecasts as a site would get them, with their errors, at the clock's own time."""

    def __init__(self, forecasts: Forecasts, clock: Clock) -> None:
        self._forecasts, self._clock = forecasts, clock

    def issued(self) -> Mapping[Cause, datetime]:
        now = self._clock.now()
        return {
            Cause.WEATHER: now.replace(minute=0, second=0, microsecond=0),
            Cause.CARBON: now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0),
        }

    def outdoor_degc(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return _expected(self._forecasts.outdoor(self._clock.now(), start=start, steps=steps, step=step))

    def solar_kw_m2(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return _expected(self._forecasts.solar(self._clock.now(), start=start, steps=steps, step=step))

    def intensity_g_per_kwh(self, start: datetime, step: timedelta, steps: int) -> Expected:
        return _expected(self._forecasts.carbon(self._clock.now(), start=start, steps=steps, step=step))


def _expected(forecast: Forecast) -> Expected:
    return Expected(values=np.array(forecast.series.values), made_at=forecast.made_at, source=forecast.source)


@asynccontextmanager
async def wired(building: SimulatedBuilding, clock: Clock, *, wire: bool) -> AsyncIterator[Callable[[Device], Driver]]:
    """The building's field behind drivers: real BACnet/IP and MQTT packets on loopback if `wire`, else in memory."""
    if not wire:
        yield simulated_drivers(building.field, clock=clock)
        return
    async with AsyncExitStack() as stack:
        stack.enter_context(keepalive_in_loop_time(asyncio.get_running_loop()))  # or no two runs would be alike
        await stack.enter_async_context(serve_bacnet(building.field, clock=clock))
        devices = building.site.devices
        for host, port in dict.fromkeys((d.options["host"], d.options["port"]) for d in devices if d.driver == "mqtt"):
            broker = await stack.enter_async_context(Broker(host, port))
            await stack.enter_async_context(
                serve_mqtt(building.field, devices, clock=clock, host=broker.host, port=broker.port)
            )
        shared = await stack.enter_async_context(Shared())
        yield lambda device: make_driver(device, clock=clock, shared=shared)


@asynccontextmanager
async def controlled(
    site: Site,
    building: SimulatedBuilding,
    clock: Clock,
    *,
    directory: Path,
    learned: Learned,
    history: History | None = None,
    optimise: bool = True,
    wire: bool = False,
    seed: int = 1,
    solver: Solver | None = None,
    database: Callable[[Clock], Database] | None = None,
) -> AsyncIterator[Service]:
    """The building lives and is controlled for the length of the block, in the running loop's time."""
    forecasts = Forecasts(building.weather, seed=seed)
    async with asyncio.TaskGroup() as world, wired(building, clock, wire=wire) as drivers:
        settings = Settings(
            directory=directory,
            make_driver=drivers,
            outlook=lambda _site, _history: SimulatedOutlook(forecasts, clock),
            solver=solver or InProcess(),
            learned=learned,
            optimise=optimise,
            learn_nightly=False,
            history=history,
            durable=False,
            gather=STORED_EVERY,
            database=database,
        )
        living = world.create_task(building.run(clock), name="building")
        try:
            async with running(site, settings, clock) as service:
                yield service
        finally:
            living.cancel()
