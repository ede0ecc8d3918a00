"""What every driver must do, whatever its protocol; the cases come from `tests/contract_*.py`."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import pytest

from drivers.base import Can, Driver, NotReachable, Priority, Quality, Rejected, priority
from drivers.clock import Clock
from tests.contract_cases import Case, Subject

OURS = priority(13)
CASES: list[Case] = [
    case
    for path in sorted(Path(__file__).parent.glob("contract_*.py"))
    for case in import_module(f"tests.{path.stem}").CASES
]


COMMANDED = [case for case in CASES if case.writes]


@pytest.fixture(params=CASES, ids=[case.name for case in CASES])
async def subject(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Subject]:
    async with request.param.subject(clock) as made:
        yield made


@pytest.fixture(params=COMMANDED, ids=[case.name for case in COMMANDED])
async def commanded(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Subject]:
    async with request.param.subject(clock) as made:
        yield made


def key(point_id: str) -> str:
    return point_id.split(".", 1)[1]


async def test_opens_and_closes_twice(subject: Subject) -> None:
    driver = subject.make()
    for _ in range(2):
        async with driver:
            await asyncio.sleep(subject.settle_s)
            (reading,) = await driver.read([subject.sensor])
            assert reading.value == subject.field[key(subject.sensor.id)].value


async def test_two_drivers_are_open_side_by_side(subject: Subject) -> None:
    async with subject.make() as one, subject.make() as two:
        await asyncio.sleep(subject.settle_s)
        assert [r.value for r in await one.read([subject.sensor])] == [
            r.value for r in await two.read([subject.sensor])
        ]


async def test_reads_in_the_order_asked(subject: Subject) -> None:
    async with subject.make() as driver:
        await asyncio.sleep(subject.settle_s)
        there = await driver.read([subject.sensor, subject.setpoint])
        back = await driver.read([subject.setpoint, subject.sensor])
    assert [r.point for r in there] == [subject.sensor.id, subject.setpoint.id]
    assert [r.point for r in back] == [subject.setpoint.id, subject.sensor.id]
    assert [r.value for r in back] == [r.value for r in reversed(there)]


async def test_reads_nothing_when_nothing_is_asked(subject: Subject) -> None:
    async with subject.make() as driver:
        assert list(await driver.read([])) == []


async def test_a_reading_carries_the_time_of_the_clock(subject: Subject, clock: Clock) -> None:
    async with subject.make() as driver:
        opened = clock.now()
        await asyncio.sleep(subject.settle_s)
        (reading,) = await driver.read([subject.sensor])
        assert opened <= reading.time <= reading.received <= clock.now()


async def test_a_new_value_is_read(subject: Subject) -> None:
    async with subject.make() as driver:
        subject.field[key(subject.sensor.id)].sense(17.25)
        await asyncio.sleep(subject.settle_s)
        (reading,) = await driver.read([subject.sensor])
    assert (reading.value, reading.quality) == (17.25, Quality.GOOD)


async def test_a_missing_point_is_bad_and_harms_no_other(subject: Subject) -> None:
    if subject.missing is None:
        return
    async with subject.make() as driver:
        bad, good = await driver.read([subject.missing, subject.sensor])
    assert (bad.point, bad.value, bad.quality) == (subject.missing.id, None, Quality.BAD)
    assert good.quality is Quality.GOOD


async def test_a_value_that_is_no_number_is_bad(subject: Subject) -> None:
    async with subject.make() as driver:
        subject.field[key(subject.sensor.id)].sense(float("nan"))
        await asyncio.sleep(subject.settle_s + subject.silence_s)
        (reading,) = await driver.read([subject.sensor])
    assert (reading.value, reading.quality) == (None, Quality.BAD)


async def test_a_device_that_is_not_there_cannot_be_opened(subject: Subject) -> None:
    subject.plug(into_the_wall=False)
    with pytest.raises(NotReachable):
        async with subject.make():
            pass


async def test_an_unplugged_device_is_not_reachable_and_comes_back(subject: Subject) -> None:
    async with subject.make() as driver:
        await asyncio.sleep(subject.settle_s)
        subject.plug(into_the_wall=False)
        await asyncio.sleep(subject.settle_s + subject.silence_s)
        if subject.missing is not None:  # asked, not only listened to
            with pytest.raises(NotReachable):
                await driver.read([subject.sensor])
    subject.plug(into_the_wall=True)
    await asyncio.sleep(subject.silence_s)
    async with subject.make() as driver:
        await asyncio.sleep(subject.settle_s)
        assert (await driver.read([subject.sensor]))[0].value is not None


async def test_an_unplugged_device_cannot_be_commanded(commanded: Subject) -> None:
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        commanded.plug(into_the_wall=False)
        with pytest.raises(NotReachable):
            await driver.read_back(commanded.setpoint, OURS)
        with pytest.raises(NotReachable):
            await driver.write(commanded.setpoint, 21.5, OURS)


async def test_a_device_that_is_read_only_says_so(subject: Subject) -> None:
    async with subject.make() as driver:
        if Can.WRITE not in driver.can:
            with pytest.raises(TypeError):
                await driver.write(subject.setpoint, 21.5, OURS)


async def test_closing_beside_a_dead_device_neither_hangs_nor_raises(subject: Subject) -> None:
    loop = asyncio.get_running_loop()
    driver = subject.make()
    await driver.__aenter__()
    await asyncio.sleep(subject.settle_s)
    subject.plug(into_the_wall=False)
    began = loop.time()
    await driver.__aexit__(None, None, None)
    assert loop.time() - began < 10


async def test_a_write_is_read_back(commanded: Subject) -> None:
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        await driver.write(commanded.setpoint, 21.5, OURS)
        await asyncio.sleep(commanded.settle_s)
        held = await driver.read_back(commanded.setpoint, OURS)
        (reading,) = await driver.read([commanded.setpoint])
    assert (held.present, reading.value) == (21.5, 21.5)
    assert commanded.field[key(commanded.setpoint.id)].value == 21.5
    if commanded.slots:
        assert (held.slot, held.holder) == (21.5, OURS)
        assert held.default == commanded.field[key(commanded.setpoint.id)].default


async def test_relinquish_gives_the_building_back(commanded: Subject) -> None:
    setpoint = commanded.field[key(commanded.setpoint.id)]
    setpoint.write(22.5, 15)  # the building's own schedule
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        await driver.write(commanded.setpoint, 21.5, OURS)
        await asyncio.sleep(commanded.settle_s)
        assert setpoint.value == 21.5
        await driver.relinquish(commanded.setpoint, OURS)
        await asyncio.sleep(commanded.settle_s)
        held = await driver.read_back(commanded.setpoint, OURS)
    assert setpoint.value == 22.5
    assert (held.present, held.slot) == (22.5, None)


async def test_relinquishing_what_is_not_held_is_no_error(commanded: Subject) -> None:
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        await driver.relinquish(commanded.setpoint, OURS)


async def test_an_operator_beats_ours_and_is_seen(commanded: Subject) -> None:
    setpoint = commanded.field[key(commanded.setpoint.id)]
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        setpoint.write(22.5, 8)
        await driver.write(commanded.setpoint, 21.5, OURS)  # acknowledged, without effect
        await asyncio.sleep(commanded.settle_s)
        held = await driver.read_back(commanded.setpoint, OURS)
    assert setpoint.value == 22.5
    assert held.present == 22.5
    if commanded.slots:
        assert (held.slot, held.holder) == (21.5, 8)


async def test_a_refused_write_is_rejected(commanded: Subject) -> None:
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        before = commanded.field[key(commanded.refused.id)].value
        with pytest.raises(Rejected, match=r"\S"):
            await driver.write(commanded.refused, 21.5, OURS)
        assert commanded.field[key(commanded.refused.id)].value == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_what_is_no_number_is_never_written(commanded: Subject, value: float) -> None:
    setpoint = commanded.field[key(commanded.setpoint.id)]
    async with commanded.make() as driver:
        await asyncio.sleep(commanded.settle_s)
        before = setpoint.value
        with pytest.raises(Rejected):
            await driver.write(commanded.setpoint, value, OURS)
        assert setpoint.value == before


@pytest.mark.parametrize("slot", [0, 1, 8, 17])
async def test_the_slots_of_people_are_out_of_reach(commanded: Subject, slot: int) -> None:
    if not commanded.slots:
        return
    setpoint = commanded.field[key(commanded.setpoint.id)]
    before = list(setpoint.array)
    async with commanded.make() as driver:
        with pytest.raises(ValueError, match="not ours"):
            await driver.write(commanded.setpoint, 21.5, Priority(slot))
        with pytest.raises(ValueError, match="not ours"):
            await driver.relinquish(commanded.setpoint, Priority(slot))
    assert setpoint.array == before


async def test_a_cancelled_read_leaves_nothing_behind(subject: Subject) -> None:
    async with subject.make() as driver:
        await asyncio.sleep(subject.settle_s)
        tasks = asyncio.all_tasks()
        reading = asyncio.create_task(_read(driver, subject), name="reading")
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert asyncio.all_tasks() == tasks
        assert (await driver.read([subject.sensor]))[0].value is not None


async def _read(driver: Driver, subject: Subject) -> None:
    while True:
        await driver.read([subject.sensor])
        await asyncio.sleep(0.01)


async def test_a_driver_that_pushes_tells_changes_and_one_that_cannot_says_so(subject: Subject) -> None:
    async with subject.make() as driver:
        if Can.PUSH not in driver.can:
            with pytest.raises(TypeError):
                await anext(driver.changes())
            return
        changes = driver.changes()
        seen: dict[str, float | None] = {}

        async def listen() -> None:
            async for reading in changes:
                seen[reading.point] = reading.value

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen(), name="listen")
            await asyncio.sleep(subject.settle_s)
            subject.field[key(subject.sensor.id)].sense(16.5)
            await asyncio.sleep(subject.settle_s)
            listening.cancel()
    assert seen[subject.sensor.id] == 16.5
