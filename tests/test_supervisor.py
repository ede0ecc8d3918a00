"""One device kept alive: polls on the grid, outages told once, commands first."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest

from config.site import Point
from controller.hub import Buffer, Hub
from controller.supervisor import DeviceEvent, Link, _Turn, next_tick, run_device
from drivers.base import Can, Driver, Flags, NotReachable, Quality, Reading, priority
from drivers.clock import Clock
from tests.controlled import FieldDriver, field_of, small_site

SITE = small_site(
    {
        "zones": [
            {"id": "b.hall.temperature", "role": "zone_temperature", "unit": "degC", "address": "ai,1"},
            {"id": "b.hall.setpoint", "unit": "degC", "address": "av,1", "writable": True, "low": 5, "high": 30},
        ]
    }
)
DEVICE = SITE.devices[0]
SETPOINT = SITE.points["b.hall.setpoint"]
P13 = priority(13)


class Bench:
    """A supervised device and everything it says."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.box = field_of(SITE).devices["zones"]
        self.asked: list[str] = []
        self.link = Link(DEVICE)
        self.readings: Hub[Reading] = Hub()
        self.events: Hub[DeviceEvent] = Hub()
        self.delay_s = 0.0
        self.heard: Buffer[Reading]
        self.told: Buffer[DeviceEvent]
        self.driver: FieldDriver

    def make_driver(self) -> FieldDriver:
        self.driver = FieldDriver(DEVICE, self.box, self.clock, asked=self.asked)
        self.driver.delay_s = self.delay_s
        return self.driver


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


@asynccontextmanager
async def running(bench: Bench, make: object = None) -> AsyncIterator[None]:
    with bench.readings.subscribe(size=10_000) as bench.heard, bench.events.subscribe() as bench.told:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(
                run_device(
                    DEVICE,
                    make or bench.make_driver,  # type: ignore[arg-type]  # a maker of drivers
                    bench.readings,
                    events=bench.events,
                    clock=bench.clock,
                    link=bench.link,
                )
            )
            yield
            task.cancel()


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("10:00:00", "10:01:00"),
        ("10:00:59.9", "10:01:00"),
        ("10:00:59.999999", "10:02:00"),  # a timer that fired a microsecond early
        ("10:01:00.000001", "10:02:00"),
    ],
)
def test_the_next_tick_is_on_the_minute_and_never_the_one_just_served(now: str, expected: str) -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2023-02-06T{text}").replace(tzinfo=UTC)

    assert next_tick(at(now), timedelta(minutes=1)) == at(expected)


async def test_it_polls_at_once_and_then_on_the_minute_in_configuration_order(bench: Bench) -> None:
    await asyncio.sleep(40)
    async with running(bench):
        await asyncio.sleep(150)
        heard = bench.heard.take()
    assert [r.point for r in heard] == ["b.hall.temperature", "b.hall.setpoint"] * 4
    seconds = [(r.received - bench.clock.epoch).total_seconds() for r in heard[::2]]
    assert seconds == [40, 60, 120, 180]
    assert (bench.link.polls, bench.link.failures, bench.link.up) == (4, 0, True)
    assert [(e.device, e.up) for e in bench.told.take()] == [("zones", True)]
    assert bench.asked[-1] == "close"


async def test_a_slow_poll_skips_ticks_instead_of_catching_up(bench: Bench) -> None:
    bench.delay_s = 70.0
    async with running(bench):
        await asyncio.sleep(300)
        seconds = [(r.received - bench.clock.epoch).total_seconds() for r in bench.heard.take()[::2]]
    assert seconds == [140, 250]
    assert bench.link.latency == timedelta(seconds=70)


async def test_an_outage_is_told_once_each_way_and_its_points_go_bad(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(bench):
        await asyncio.sleep(90)
        bench.heard.take()
        bench.box.reachable = False
        await asyncio.sleep(3600)
        bad = bench.heard.take()
        assert [(r.point, r.value, r.quality, r.flags) for r in bad] == [
            ("b.hall.temperature", None, Quality.BAD, Flags.NO_ANSWER),
            ("b.hall.setpoint", None, Quality.BAD, Flags.NO_ANSWER),
        ]
        assert not bench.link.up
        bench.box.reachable = True
        await asyncio.sleep(61)
        assert bench.heard.take()[0].quality is Quality.GOOD
        told = bench.told.take()
    assert [(e.up, e.error) for e in told] == [(True, ""), (False, "zones: no answer"), (True, "")]
    assert [(r.levelname, r.message) for r in caplog.records if r.name == "controller.supervisor"] == [
        ("INFO", "zones: up"),
        ("WARNING", "zones: down: zones: no answer"),
        ("INFO", "zones: back"),
    ]


async def test_attempts_back_off_and_begin_anew_after_a_successful_poll(bench: Bench) -> None:
    bench.box.reachable = False
    tries: list[float] = []

    def make() -> FieldDriver:
        tries.append((bench.clock.now() - bench.clock.epoch).total_seconds())
        return bench.make_driver()

    async with running(bench, make):
        await asyncio.sleep(150)
        bench.box.reachable = True
        await asyncio.sleep(60)
        bench.box.reachable = False
        await asyncio.sleep(62)
    # Up at 203, polled at 240: lost, and tried again after 1, 2, 5, 15 s.
    assert tries == [0, 1, 3, 8, 23, 83, 143, 203, 241, 243, 248, 263]


async def test_a_device_that_opens_but_never_answers_a_poll_still_backs_off(bench: Bench) -> None:
    class Mute(FieldDriver):
        async def read(self, points: object) -> list[Reading]:
            raise NotReachable("mute")

    tries = []

    def make() -> FieldDriver:
        tries.append((bench.clock.now() - bench.clock.epoch).total_seconds())
        return Mute(DEVICE, bench.box, bench.clock)

    async with running(bench, make):
        await asyncio.sleep(100)
        assert len(bench.told.take()) == 1
    assert tries == [0, 1, 3, 8, 23, 83]


async def test_a_bug_in_a_driver_leaves(bench: Bench) -> None:
    class Broken(FieldDriver):
        async def read(self, points: object) -> list[Reading]:
            raise KeyError("oops")

    with pytest.raises(ExceptionGroup) as caught:
        await run_device(
            DEVICE,
            lambda: Broken(DEVICE, bench.box, bench.clock),
            bench.readings,
            events=bench.events,
            clock=bench.clock,
            link=bench.link,
        )
    assert caught.value.subgroup(KeyError) is not None


async def test_what_a_device_pushes_is_published_at_once(bench: Bench) -> None:
    now = bench.clock.now()
    pushed = Reading(point="b.hall.temperature", time=now, received=now, value=21.5, flags=Flags.PUSHED)

    def make() -> FieldDriver:
        driver = bench.make_driver()
        driver.can = Can.READ | Can.PUSH
        return driver

    async with running(bench, make):
        await asyncio.sleep(1)
        bench.heard.take()
        bench.driver.pushed.put_nowait(pushed)
        await asyncio.sleep(0.001)
        assert bench.heard.take() == [pushed]


async def test_commands_go_through_and_read_back(bench: Bench) -> None:
    async with running(bench):
        await bench.link.wait_up()
        await bench.link.write(SETPOINT, 22.0, P13)
        back = await bench.link.read_back(SETPOINT, P13)
        assert (back.present, back.slot, back.holder) == (22.0, 22.0, 13)
        await bench.link.relinquish(SETPOINT, P13)
        assert (await bench.link.read_back(SETPOINT, P13)).slot is None


async def test_a_command_to_a_device_that_is_down_fails_at_once(bench: Bench) -> None:
    bench.box.reachable = False
    with pytest.raises(NotReachable, match="zones is down: not opened yet"):
        await bench.link.write(SETPOINT, 22.0, P13)
    async with running(bench):
        await asyncio.sleep(0.5)
        begun = bench.clock.now()
        with pytest.raises(NotReachable, match="zones is down: zones: no answer"):
            await bench.link.write(SETPOINT, 22.0, P13)
        assert bench.clock.now() == begun


async def test_the_device_is_closed_only_after_the_command_in_progress(bench: Bench) -> None:
    bench.delay_s = 3.0
    async with running(bench):
        await bench.link.wait_up()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bench.link.write(SETPOINT, 22.0, P13))
            await asyncio.sleep(1)
            raise_lost = bench.driver
            raise_lost.delay_s = 0.0
        bench.box.reachable = False
    assert bench.asked.index("close") > bench.asked.index("write hall 22")


async def test_commands_go_before_polls_and_cancelled_ones_do_not_block() -> None:
    turn = _Turn()
    order: list[str] = []

    async def work(name: str, *, command: bool) -> None:
        async with turn.take(command=command):
            order.append(name)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work("first poll", command=False))
        await asyncio.sleep(0.1)
        tasks.create_task(work("poll", command=False))
        doomed = tasks.create_task(work("cancelled", command=True))
        tasks.create_task(work("command 1", command=True))
        late = tasks.create_task(work("also cancelled", command=True))
        tasks.create_task(work("command 2", command=True))
        await asyncio.sleep(0.1)
        doomed.cancel()
        await asyncio.sleep(1.0)
        late.cancel()
    assert order == ["first poll", "command 1", "command 2", "poll"]
    async with turn.take(command=True):
        pass


async def test_a_turn_given_to_a_task_that_is_cancelled_in_the_same_instant_is_passed_on() -> None:
    turn = _Turn()
    order: list[str] = []

    async def work(name: str) -> None:
        async with turn.take(command=True):
            order.append(name)

    async with asyncio.TaskGroup() as tasks:
        async with turn.take(command=True):
            first = tasks.create_task(work("first"))
            tasks.create_task(work("second"))
            await asyncio.sleep(0)
        first.cancel()  # its turn has come, it has not run yet
    assert order == ["second"]


async def test_a_dead_device_costs_its_neighbour_nothing(bench: Bench) -> None:
    bench.delay_s = 3.0
    bench.box.reachable = False
    other = Bench(bench.clock)
    async with running(bench), running(other):
        await asyncio.sleep(3600)
        assert len(other.heard.take()) == 2 * 61
        assert len(bench.told.take()) == 1


async def test_what_a_feed_expects_is_there_even_if_it_cannot_be_opened_and_stays_when_it_is_lost(clock: Clock) -> None:
    class Feed(Driver):
        """Knows the future from a file; its source comes and goes."""

        can = Can.READ | Can.FORECAST
        there = False
        known: tuple[str, ...] = ("kept",)

        async def __aenter__(self) -> Self:
            if not Feed.there:
                raise NotReachable("silent")
            return self

        async def __aexit__(self, *exc: object) -> None: ...

        async def read(self, points: Sequence[Point]) -> list[Reading]:
            if not Feed.there:
                raise NotReachable("silent")
            return [Reading(point=p.id, time=clock.now(), received=clock.now(), value=1.0) for p in points]

        def forecasts(self) -> tuple[str, ...]:
            return Feed.known

    link = Link(DEVICE)
    seen = []
    async with asyncio.TaskGroup() as tasks:
        feeding = run_device(DEVICE, lambda: Feed(DEVICE.points), Hub(), events=Hub(), clock=clock, link=link)
        running = tasks.create_task(feeding)
        for there, known in ((False, ("kept",)), (True, ("new",)), (True, ("newer",)), (False, ())):
            Feed.there, Feed.known = there, known
            await asyncio.sleep(200)
            seen.append((link.up, link.forecasts))
        running.cancel()
    assert seen == [(False, ("kept",)), (True, ("new",)), (True, ("newer",)), (False, ("newer",))]
