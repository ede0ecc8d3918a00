"""A building, its operator, our service and the guard do what they like; the device always ends up as it should."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from config.site import Device
from controller.arbiter import Request, Source, decide
from controller.guard import Guard
from controller.hub import Hub
from controller.ladder import Level
from controller.state import State
from controller.supervisor import Link
from drivers.clock import Clock
from site_sims.virtual_time import VirtualTimeLoop
from tests.conftest import EPOCH
from tests.control_bench import Bench, running
from tests.controlled import FieldDriver, MemoryAudit, MemoryLeases, field_of, small_site
from tests.test_guard import MemoryTable

LIMITS = {"unit": "%", "address": "x", "writable": True, "low": 10, "high": 90}
POINTS = ["b.hall.a", "b.hall.b", "b.attic.c"]
SITE = small_site(
    {
        "hall": [{"id": name, **LIMITS} for name in POINTS[:2]],
        "attic": [{"id": POINTS[2], **LIMITS}],
    },
    control={"mode": "control", "change_share": 1, "lease": "PT30M"},
)
POINT = st.sampled_from(POINTS)
DEVICE = st.sampled_from(["hall", "attic"])
LONG = 11 * 60.0  # longer than every pause and every look


class Plain(Bench):
    """The site above, in a building that stays as it is when the service comes and goes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.site, self.field = SITE, field_of(SITE)
        self.leases, self.audit = MemoryLeases(clock), MemoryAudit()
        self.renew()

    def renew(self) -> None:
        """A new process: nothing in memory survives."""
        self.state = State(self.site)
        self.links = {device.id: Link(device) for device in self.site.devices}
        self.readings, self.events, self.outcomes, self.commands = Hub(), Hub(), Hub(), Hub()
        self.dispatch = self.make_dispatch()


class Building(RuleBasedStateMachine):
    """What is in slot 13 is always leased and within limits; what is in the others is never ours."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.service: asyncio.Task[None] | None = None
        self.requests: dict[tuple[str, Source], Request] = {}
        self.operator: dict[str, float] = {}
        self.released = False

    def do(self, act: Callable[[], Awaitable[object]]) -> None:
        async def step() -> None:
            await act()

        self.loop.run_until_complete(step())

    def wait(self, seconds: float) -> None:
        self.do(lambda: asyncio.sleep(seconds))

    @initialize()
    def begin(self) -> None:
        self.clock = Clock(EPOCH)
        self.bench = Plain(self.clock)
        for point in POINTS:
            self.bench.field[point].write(30.0, 15)  # the building's own schedule
        self.start()

    @precondition(lambda self: self.service is None)
    @rule()
    def start(self) -> None:
        async def serve() -> None:
            async with running(self.bench):
                await asyncio.Event().wait()

        self.bench.renew()
        self.requests, self.released = {}, False
        self.service = self.loop.create_task(serve())
        self.wait(1)

    @precondition(lambda self: self.service is not None)
    @rule()
    def crash(self) -> None:
        service, self.service = self.service, None

        async def kill() -> None:
            assert service is not None
            service.cancel()
            await asyncio.wait([service])

        self.do(kill)

    @precondition(lambda self: self.service is not None)
    @rule(point=POINT, value=st.integers(-20, 120), source=st.sampled_from(Source), minutes=st.integers(1, 90))
    def ask(self, point: str, value: int, source: Source, minutes: int) -> None:
        async def submit() -> None:
            request = self.bench.wish(point, float(value), source, minutes=minutes)
            self.requests[point, source] = request
            self.bench.dispatch.submit(request)

        self.do(submit)

    @precondition(lambda self: self.service is not None)
    @rule(source=st.sampled_from(Source))
    def withdraw(self, source: Source) -> None:
        async def act() -> None:
            self.requests = {key: r for key, r in self.requests.items() if key[1] is not source}
            self.bench.dispatch.withdraw(source)

        self.do(act)

    @precondition(lambda self: self.service is not None)
    @rule(level=st.sampled_from([Level.OPTIMISING, Level.RULES, Level.RELEASED]))
    def climb(self, level: Level) -> None:
        async def act() -> None:
            self.released = level.releases
            self.bench.dispatch.allow(level)

        self.do(act)

    @rule(point=POINT, value=st.none() | st.integers(0, 100))
    def operate(self, point: str, value: int | None) -> None:
        self.bench.field[point].write(None if value is None else float(value), 8)
        self.operator.pop(point, None)
        if value is not None:
            self.operator[point] = float(value)

    @rule(device=DEVICE)
    def unplug(self, device: str) -> None:
        self.bench.field.devices[device].reachable = False

    @rule(device=DEVICE)
    def plug_in(self, device: str) -> None:
        self.bench.field.devices[device].reachable = True

    @rule(device=DEVICE)
    def restart_device(self, device: str) -> None:
        for obj in self.bench.field.devices[device].objects.values():
            kept = obj.array[7], obj.array[14]
            obj.array[:] = [None] * 16
            obj.array[7], obj.array[14] = kept

    @rule(seconds=st.sampled_from([0.1, 7.0, 61.0, 400.0, 2000.0]))
    def pass_time(self, seconds: float) -> None:
        self.wait(seconds)

    @precondition(lambda self: self.service is None)
    @rule()
    def guard(self) -> None:
        """The guard has had its time: of what can be reached nothing is left in our slots."""

        def open_driver(device: Device) -> FieldDriver:
            return FieldDriver(device, self.bench.field.devices[device.id], self.clock)

        async def watch() -> None:
            task = asyncio.create_task(Guard(SITE, MemoryTable(self.bench.leases), open_driver, clock=self.clock).run())
            await asyncio.sleep(70)
            task.cancel()
            await asyncio.wait([task])

        self.do(watch)
        for device in self.bench.field.devices.values():
            if device.reachable:
                assert [obj.array[12] for obj in device.objects.values()] == [None] * len(device.objects)

    @precondition(lambda self: self.service is not None)
    @rule()
    def settle(self) -> None:
        """After a while every device that can be reached holds exactly what it should."""
        self.wait(LONG)
        now = EPOCH + timedelta(seconds=self.loop.time())
        winners = decide([r for r in self.requests.values() if r.expires > now], now)
        for point in POINTS:
            obj = self.bench.field[point]
            device = next(d for d in self.bench.field.devices.values() if point in d.objects)
            if not device.reachable or point in self.operator:
                continue
            winner = winners.get(point)
            inherited = winner is None and point in self.bench.leases.rows and not self.released
            if inherited and self.bench.leases.rows[point].expires > now:
                continue  # a restart let a live lease stand
            expected = None if winner is None or self.released else min(max(winner.value, 10.0), 90.0)
            assert obj.array[12] == expected, point

    @invariant()
    def everything_of_ours_is_leased_and_within_limits(self) -> None:
        if not hasattr(self, "bench"):
            return
        for point in POINTS:
            array = self.bench.field[point].array
            mine = array[12]
            if mine is not None:
                assert 10.0 <= mine <= 90.0
                assert point in self.bench.leases.rows
            others = {n: v for n, v in enumerate(array, 1) if v is not None and n != 13}
            assert others == {15: 30.0} | ({8: self.operator[point]} if point in self.operator else {})

    def teardown(self) -> None:
        if self.service is not None:
            self.crash()
        self.loop.close()


def test_whatever_happens_the_device_ends_up_as_it_should() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # hypothesis
        Building,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
