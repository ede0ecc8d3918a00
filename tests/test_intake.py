"""What becomes of readings, levels and outcomes; and lights that answer a demand limit at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from controller.arbiter import Request, Source
from controller.audit import Audit
from controller.demand import FLOOR_PERCENT
from controller.events import Cause, Trigger, Watch
from controller.history import STEP, History
from controller.hub import Hub
from controller.intake import (
    LIMIT_LEASE,
    STORE_RETRY_S,
    Reflex,
    follow_devices,
    follow_levels,
    follow_outcomes,
    keep_readings,
    take_in,
)
from controller.ladder import Ladder, Level, LevelChange
from controller.occupancy import Occupancy
from controller.outcome import Outcome, Result
from controller.state import State
from controller.store.base import AuditEntry, StoreError
from controller.supervisor import DeviceEvent
from drivers.base import Quality, Reading
from drivers.clock import Clock
from tests.conftest import EPOCH
from tests.town_hall import town_hall_site

SITE = town_hall_site()
LIMIT, IMPORT = "townhall.grid.demand_limit", "townhall.grid.electricity_kw"
LIGHTING = "townhall.lighting.electricity_kw"
LIGHTS = [point.id for point in SITE.points.values() if point.role == "light_level"]
ALL_KW = 15.0  # of the lights at 100 per cent


@dataclass
class Asked:
    """Stands for dispatch: notes what is asked of it."""

    requests: dict[str, Request] = field(default_factory=dict)
    times: int = 0
    levels: list[Level] = field(default_factory=list)

    def submit(self, *requests: Request) -> None:
        self.times += 1
        self.requests |= {request.point: request for request in requests}

    def withdraw(self, source: Source, *points: str) -> None:
        assert source is Source.DEMAND_LIMIT
        self.requests.clear()

    def allow(self, level: Level, *, device: str | None = None) -> None:
        self.levels.append(level)


class Lit:
    """A building whose import follows its lights, and the reflex that watches it."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked = clock, Asked()
        self.state, self.watch = State(SITE), Watch(SITE, Occupancy(SITE))
        self.reflex = Reflex(SITE, self.state, self.watch, self.asked, clock)
        self.levels = dict.fromkeys(LIGHTS, 100.0)
        self.other_kw = 15.0
        self.limit_kw = 1000.0

    def hear(self, values: dict[str, float | None]) -> None:
        now = self.clock.now()
        batch = [
            Reading(point=p, time=now, received=now, value=v, quality=Quality.BAD if v is None else Quality.GOOD)
            for p, v in values.items()
        ]
        self.state.update(batch)
        self.watch.look(batch)
        self.reflex.look(batch)

    def limit(self, kw: float) -> None:
        self.limit_kw = kw
        self.hear({LIMIT: kw})
        self.obey()

    def obey(self) -> None:
        for point, request in self.asked.requests.items():
            assert request.value is not None
            self.levels[point] = request.value
        self.hear(dict(self.levels))

    async def minute(self) -> None:
        """A minute on, the meters tell what the lights take."""
        await asyncio.sleep(60)
        lighting_kw = ALL_KW * sum(self.levels.values()) / (100.0 * len(LIGHTS))
        self.hear({LIGHTING: lighting_kw, IMPORT: self.other_kw + lighting_kw, LIMIT: self.limit_kw})
        self.obey()


@pytest.fixture
async def lit(clock: Clock) -> Lit:
    made = Lit(clock)
    made.obey()
    await made.minute()
    return made


async def test_lights_are_dimmed_at_once_and_only_as_far_as_needed(lit: Lit) -> None:
    lit.limit(27.0)
    assert set(lit.levels.values()) == {80.0}, "3 kW too much of 15 kW"
    for _ in range(3):
        lit.obey()  # the lamps report, and the meter has not looked yet
    assert set(lit.levels.values()) == {80.0}
    await lit.minute()
    await lit.minute()
    assert set(lit.levels.values()) == {80.0}, "the import is at its limit now"
    (request,) = {(r.source, r.high, r.reason) for r in lit.asked.requests.values()}
    assert request == (Source.DEMAND_LIMIT, 80.0, "import limited to 27 kW")


async def test_more_load_dims_them_further_down_to_what_is_decent(lit: Lit) -> None:
    lit.limit(27.0)
    lit.other_kw = 18.0
    await lit.minute()
    assert set(lit.levels.values()) == {60.0}
    lit.other_kw = 60.0
    await lit.minute()
    await lit.minute()
    assert set(lit.levels.values()) == {FLOOR_PERCENT}


async def test_they_are_given_back_only_where_that_keeps_the_limit(lit: Lit) -> None:
    lit.limit(27.0)
    lit.other_kw = 13.0
    await lit.minute()
    assert lit.asked.requests, "25 kW now, but 28 kW with the lights on"
    lit.other_kw = 12.0
    await lit.minute()
    assert lit.asked.requests == {}
    assert len(LIGHTS) == 10


async def test_the_end_of_the_limit_gives_them_back(lit: Lit) -> None:
    lit.limit(27.0)
    lit.limit(1000.0)
    assert lit.asked.requests == {}


async def test_a_limit_that_lasts_is_prolonged_before_its_leases_end(lit: Lit) -> None:
    lit.limit(27.0)
    asked = lit.asked.times
    for _ in range(70):
        await lit.minute()
        assert min(r.expires for r in lit.asked.requests.values()) > lit.clock.now() + LIMIT_LEASE / 3
    assert lit.asked.times - asked <= 5, "not at every reading"


async def test_without_a_meter_or_a_limit_nothing_is_dimmed(lit: Lit) -> None:
    lit.hear({IMPORT: None})
    lit.limit(5.0)
    assert lit.asked.requests == {}


async def test_an_import_that_is_not_believed_dims_nothing(lit: Lit) -> None:
    now = lit.clock.now()
    lit.limit(31.0)
    doubted = Reading(point=IMPORT, time=now, received=now, value=30_000.0, quality=Quality.SUSPECT)
    lit.state.update([doubted])
    lit.reflex.look([doubted])
    assert lit.asked.requests == {}


async def test_a_limit_that_is_not_reached_dims_nothing(lit: Lit) -> None:
    lit.limit(30.0)
    await lit.minute()
    assert lit.asked.requests == {}
    lit.other_kw = 21.0
    await lit.minute()
    assert set(lit.levels.values()) == {60.0}, "but is remembered"


@asynccontextmanager
async def running(make: Callable[[], object]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(make(), name="tested")
        await asyncio.sleep(0)
        yield
        task.cancel()


def reading(clock: Clock, point: str = IMPORT, value: float = 1.0) -> Reading:
    return Reading(point=point, time=clock.now(), received=clock.now(), value=value)


async def test_every_reading_reaches_state_history_and_watch(clock: Clock) -> None:
    readings: Hub[Reading] = Hub()
    triggers: Hub[Trigger] = Hub()
    state, history, watch = State(SITE), History([IMPORT]), Watch(SITE, Occupancy(SITE))
    reflex = Reflex(SITE, state, watch, Asked(), clock)
    work = lambda: take_in(  # noqa: E731  a coroutine made when the test is ready for it
        readings, triggers, state=state, history=history, watch=watch, reflex=reflex, clock=clock
    )
    with triggers.subscribe() as heard:
        async with running(work):
            readings.publish(reading(clock, IMPORT, 10.0), reading(clock, IMPORT, 79.0))
            await asyncio.sleep(1)
            assert state.value(IMPORT, clock.now()) == 79.0
            await asyncio.sleep(STEP.total_seconds())
            readings.publish(reading(clock, IMPORT, 12.0))
            await asyncio.sleep(1)
        assert history.column(IMPORT).tolist() == [44.5]
        assert [trigger.cause for trigger in heard.take()] == [Cause.METER]


class Disk:
    """A store, or an audit, that refuses while it is full."""

    def __init__(self) -> None:
        self.full = False
        self.kept: list[object] = []
        self.batches = 0

    async def append(self, items: Sequence[object]) -> None:
        if self.full:
            raise StoreError("the disk is full")
        self.kept += items
        self.batches += 1

    async def record(self, *entries: AuditEntry) -> None:
        await self.append(entries)


async def test_readings_that_come_close_together_share_a_commit(clock: Clock) -> None:
    readings: Hub[Reading] = Hub()
    disk, ladder = Disk(), Ladder(clock, changes=Hub())
    async with running(lambda: keep_readings(readings, disk, ladder, gather=timedelta(seconds=2))):
        sent = []
        for second in range(4):
            sent.append(reading(clock, value=second))
            readings.publish(sent[-1])
            await asyncio.sleep(0.4)
        await asyncio.sleep(3)
    assert disk.kept == sent
    assert disk.batches <= 3


async def test_a_full_disk_loses_no_reading_and_says_so_once(clock: Clock) -> None:
    readings: Hub[Reading] = Hub()
    changes: Hub[LevelChange] = Hub()
    disk, ladder = Disk(), Ladder(clock, changes=changes)
    with changes.subscribe() as levels:
        async with running(lambda: keep_readings(readings, disk, ladder)):
            disk.full = True
            sent = []
            for minute in range(10):
                sent.append(reading(clock, value=minute))
                readings.publish(sent[-1])
                await asyncio.sleep(60)
            assert disk.kept == []
            disk.full = False
            await asyncio.sleep(2 * STORE_RETRY_S)
            assert disk.kept == sent
            readings.publish(reading(clock))
            await asyncio.sleep(90)
            ladder.settle()
        assert [change.new for change in levels.take()] == [Level.RELEASED, Level.OPTIMISING]


async def test_what_came_last_is_still_stored_when_we_stop(clock: Clock) -> None:
    readings: Hub[Reading] = Hub()
    disk = Disk()
    async with running(lambda: keep_readings(readings, disk, Ladder(clock, changes=Hub()))):
        readings.publish(reading(clock))
        await asyncio.sleep(0.1)
        readings.publish(reading(clock, value=2.0))
    assert len(disk.kept) == 2


async def test_levels_are_followed_and_kept_although_the_disk_is_full(clock: Clock) -> None:
    levels: Hub[LevelChange] = Hub()
    disk, asked = Disk(), Asked()

    def change(old: Level, new: Level, why: str) -> LevelChange:
        return LevelChange(time=clock.now(), old=old, new=new, why=why)

    audit: Audit = disk
    async with running(lambda: follow_levels(levels, asked, audit, clock)):
        disk.full = True
        levels.publish(change(Level.OPTIMISING, Level.RELEASED, "the disk is full"))
        await asyncio.sleep(60)
        assert asked.levels == [Level.RELEASED]
        disk.full = False
        levels.publish(change(Level.RELEASED, Level.OPTIMISING, ""))
        await asyncio.sleep(1)
    assert asked.levels == [Level.RELEASED, Level.OPTIMISING]
    told = [(e.actor, e.subject, e.old, e.new, e.reason) for e in disk.kept]
    assert told == [("ladder", "site", "0", "4", "the disk is full"), ("ladder", "site", "4", "0", "")]
    assert disk.kept[0].time == EPOCH


def outcome(clock: Clock, result: Result) -> Outcome:
    return Outcome(
        time=clock.now(),
        point=LIGHTS[0],
        device="lighting",
        value=1.0,
        result=result,
        source="optimiser",
        reason="",
        decision="plan",
        present=1.0,
        slot=8 if result is Result.HELD else 13,
    )


async def test_a_stronger_hand_is_a_trigger_when_it_comes_and_when_it_goes(clock: Clock) -> None:
    outcomes: Hub[Outcome] = Hub()
    triggers: Hub[Trigger] = Hub()
    with triggers.subscribe() as heard:
        async with running(lambda: follow_outcomes(outcomes, triggers)):
            for result in (Result.APPLIED, Result.HELD, Result.HELD, Result.UNKNOWN, Result.HELD, Result.APPLIED):
                outcomes.publish(outcome(clock, result))
            await asyncio.sleep(1)
        told = [str(trigger) for trigger in heard.take()]
    assert told == [f"override: {LIGHTS[0]} is held by a stronger hand", f"override: {LIGHTS[0]} is free again"]


async def test_a_lost_device_is_told_to_ladder_and_planner(clock: Clock) -> None:
    devices: Hub[DeviceEvent] = Hub()
    triggers: Hub[Trigger] = Hub()
    ladder = Ladder(clock, changes=Hub())
    with triggers.subscribe() as heard:
        async with running(lambda: follow_devices(devices, triggers, ladder)):
            devices.publish(DeviceEvent(time=clock.now(), device="plant", up=False, error="no answer"))
            await asyncio.sleep(1)
            assert ladder.device_level("plant") is Level.HOLD
            assert ladder.level is Level.OPTIMISING
            devices.publish(DeviceEvent(time=clock.now(), device="plant", up=True))
            await asyncio.sleep(400)
            ladder.settle()
            assert ladder.device_level("plant") is Level.OPTIMISING
        assert [str(t) for t in heard.take()] == ["device: plant is lost: no answer", "device: plant is back"]
