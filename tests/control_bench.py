"""A site under control for the tests of dispatch: a simulated field, and tables kept in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from controller.arbiter import Request, Source
from controller.dispatch import Dispatch
from controller.hub import Buffer, Hub
from controller.ladder import Ladder, LevelChange
from controller.outcome import Outcome
from controller.state import State
from controller.supervisor import DeviceEvent, Link, run_device
from drivers.base import Command, Reading
from drivers.clock import Clock
from tests.controlled import FieldDriver, MemoryAudit, MemoryLeases, field_of, small_site

TEMPERATURE = {"unit": "degC", "address": "x"}
ZONES = [
    {"id": "b.hall.temperature", "role": "zone_temperature", **TEMPERATURE},
    {"id": "b.hall.setpoint", "role": "heating_setpoint", **TEMPERATURE, "writable": True, "low": 10, "high": 25},
    {"id": "b.hall.light", "role": "light_level", "unit": "%", "address": "x", "writable": True, "low": 0, "high": 100},
]
PLANT = [
    {"id": "b.outdoor.temperature", "role": "outdoor_temperature", **TEMPERATURE},
    {"id": "b.boiler.enable", "role": "enable", "unit": "0/1", "address": "x", "writable": True, "low": 0, "high": 1},
    {"id": "b.circuit.flow", "role": "flow_setpoint", **TEMPERATURE, "writable": True, "low": 25, "high": 65},
    {
        "id": "b.bms.heartbeat",
        "role": "heartbeat",
        "unit": "count",
        "address": "x",
        "writable": True,
        "low": 0,
        "high": 65535,
    },
]
SETPOINT, LIGHT, FLOW = "b.hall.setpoint", "b.hall.light", "b.circuit.flow"
BEAT = "b.bms.heartbeat"


class Bench:
    """A site under control: `field` is the building, the rest is ours."""

    def __init__(self, clock: Clock, **control: object) -> None:
        self.site = small_site(
            {"zones": ZONES, "plant": PLANT}, control={"mode": "control", "change_share": 1} | control
        )
        self.clock, self.field = clock, field_of(self.site)
        self.state = State(self.site)
        self.leases, self.audit = MemoryLeases(clock), MemoryAudit()
        self.asked: list[str] = []
        self.links = {device.id: Link(device) for device in self.site.devices}
        self.readings: Hub[Reading] = Hub()
        self.events: Hub[DeviceEvent] = Hub()
        self.outcomes: Hub[Outcome] = Hub()
        self.commands: Hub[Command] = Hub()
        self.levels: Hub[LevelChange] = Hub()
        self.ladder = Ladder(clock, changes=self.levels)
        self.drivers: dict[str, FieldDriver] = {}
        self.has_arrays = True
        self.can = FieldDriver.can
        self.people_expected = False
        self.heard: Buffer[Outcome]
        self.sent: Buffer[Command]
        self.dispatch = self.make_dispatch()

    def make_dispatch(self) -> Dispatch:
        return Dispatch(
            self.site,
            self.links,
            leases=self.leases,
            audit=self.audit,
            clock=self.clock,
            outcomes=self.outcomes,
            state=self.state,
            occupied=lambda zone, now: self.people_expected,
            events=self.events,
            commands=self.commands,
            ladder=self.ladder,
        )

    def make_driver(self, name: str) -> FieldDriver:
        device = next(d for d in self.site.devices if d.id == name)
        driver = self.drivers[name] = FieldDriver(device, self.field.devices[name], self.clock, asked=self.asked)
        driver.has_arrays, driver.can = self.has_arrays, self.can
        return driver

    def wish(self, point: str, value: float, source: Source = Source.OPTIMISER, **more: object) -> Request:
        minutes = more.pop("minutes", 60)
        assert isinstance(minutes, int | float)
        fields = {"reason": "cheap now", "decision": "plan-1"} | more
        expires = self.clock.now() + timedelta(minutes=minutes)
        return Request(source=source, point=point, value=value, expires=expires, **fields)  # type: ignore[arg-type]  # mixed

    def slot(self, point: str) -> float | None:
        return self.field[point].array[12]

    async def listen(self) -> None:
        with self.readings.subscribe(size=10_000) as buffer:
            while True:
                self.state.update(await buffer.batch())

    def writes(self) -> list[str]:
        return [what for what in self.asked if what.startswith(("write", "relinquish")) and " bms " not in what]


@asynccontextmanager
async def devices(bench: Bench) -> AsyncIterator[None]:
    with bench.outcomes.subscribe(size=10_000) as bench.heard, bench.commands.subscribe(size=10_000) as bench.sent:
        async with asyncio.TaskGroup() as outer:
            tasks = [outer.create_task(bench.listen())]
            await asyncio.sleep(0)
            for device in bench.site.devices:
                keep = run_device(
                    device,
                    lambda name=device.id: bench.make_driver(name),  # type: ignore[misc]  # the name of this round
                    bench.readings,
                    events=bench.events,
                    clock=bench.clock,
                    link=bench.links[device.id],
                )
                tasks.append(outer.create_task(keep))
            yield
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def running(bench: Bench, settle_s: float = 1.0) -> AsyncIterator[Dispatch]:
    await bench.leases.begin()
    async with devices(bench), asyncio.TaskGroup() as inner:
        task = inner.create_task(bench.dispatch.run())
        await asyncio.sleep(settle_s)
        yield bench.dispatch
        task.cancel()
