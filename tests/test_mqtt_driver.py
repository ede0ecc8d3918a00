"""The MQTT driver through a broker in the same loop: readings, commands, and what a hostile network sends."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from drivers.base import Can, Flags, Quality, Reading, Rejected, priority
from drivers.clock import Clock
from tests.mqtt_bench import Bench, listening, mqtt_bench, peer

OURS = priority(13)


@pytest.fixture
async def bench(clock: Clock) -> AsyncIterator[Bench]:
    async with mqtt_bench(clock) as made:
        await asyncio.sleep(1)
        yield made


def values(readings: list[Reading]) -> list[tuple[str, float | None]]:
    return [(reading.point.removeprefix("townhall."), reading.value) for reading in readings]


# Readings


async def test_what_a_device_publishes_is_yielded_in_the_same_instant(bench: Bench, clock: Clock) -> None:
    async with bench.driver("occupancy") as driver, listening(driver) as heard:
        await asyncio.sleep(1)
        heard.clear()
        bench.field["hall.people"].sense(12)
        sent = clock.now()
        await asyncio.sleep(1)
        assert values(heard) == [("hall.people", 12)]
        assert heard[0].time == heard[0].received == sent
        assert heard[0].flags is Flags.PUSHED


async def test_a_meters_values_bear_the_time_of_the_meter(clock: Clock) -> None:
    late = timedelta(seconds=40)
    async with (
        mqtt_bench(clock, stamps=Clock(clock.epoch - late)) as bench,
        bench.driver("meters") as driver,
        listening(driver) as heard,
    ):
        await asyncio.sleep(61)
    arrived = [reading for reading in heard if reading.point != "townhall.grid.demand_limit"]  # it tells no time
    assert len(arrived) == 10
    assert {(reading.time, reading.quality) for reading in arrived} == {(arrived[0].received - late, Quality.GOOD)}


async def test_retained_states_are_known_as_soon_as_the_device_is_open(bench: Bench) -> None:
    async with bench.driver("occupancy") as driver:
        readings = await driver.read(bench.device("occupancy").points)
    assert [reading.point for reading in readings] == [point.id for point in bench.device("occupancy").points]
    assert {reading.quality for reading in readings} == {Quality.GOOD}


async def test_a_point_never_heard_is_bad_for_want_of_an_answer(bench: Bench, clock: Clock) -> None:
    async with bench.driver("meters") as driver:
        meters = [p for p in bench.device("meters").points if p.address.startswith("townhall/meters")]
        before = await driver.read(meters)
        await asyncio.sleep(61)
        after = await driver.read(meters)
    assert {(r.value, r.quality, r.flags) for r in before} == {(None, Quality.BAD, Flags.NO_ANSWER)}
    assert {r.quality for r in after} == {Quality.GOOD}


async def test_a_day_of_telemetry_without_acknowledgement_loses_nothing(bench: Bench) -> None:
    """QoS 0 over TCP loses messages only with the connection."""
    async with bench.driver("meters") as driver, listening(driver) as heard:
        for minute in range(240):
            bench.field["grid.electricity_kwh"].sense(float(minute))
            await asyncio.sleep(60)
        counts = [r.value for r in heard if r.point == "townhall.grid.electricity_kwh"]
    assert counts == [float(minute) for minute in range(240)]


async def test_readings_nobody_takes_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.mqtt.driver.BUFFER", 5)
    async with bench.driver("occupancy") as driver, peer(bench) as other:
        for people in range(20):
            await other.send("townhall/occupancy/hall", f'{{"people": {people}}}')
        await asyncio.sleep(1)
        async with listening(driver) as heard:
            await asyncio.sleep(1)
        assert values(heard) == [("hall.people", float(people)) for people in range(15, 20)]
        assert (await driver.read(bench.device("occupancy").points[:1]))[0].value == 19


async def test_rubbish_is_counted_and_the_connection_lives_on(bench: Bench) -> None:
    topic = "townhall/occupancy/hall"
    async with bench.driver("occupancy") as driver, peer(bench) as other:
        for payload in (b"\xff\x00", b"{", b"[" * 50_000, b'{"people": ' + b"1" * 1_000_000 + b"}", b"{}", b"[]"):
            await other.send(topic, payload)
        await other.send(topic, b'{"people": NaN}')
        await asyncio.sleep(1)
        (bad,) = await driver.read(bench.device("occupancy").points[:1])
        await other.send(topic, b'{"people": 3}')
        await asyncio.sleep(1)
        (good,) = await driver.read(bench.device("occupancy").points[:1])
        assert driver.dropped == {"not_json": 3, "too_long": 1, "absent": 2}
    assert (bad.value, bad.quality) == (None, Quality.BAD)
    assert (good.value, good.quality) == (3.0, Quality.GOOD)


# Commands


async def test_a_command_is_acknowledged_carried_out_and_read_back(bench: Bench, clock: Clock) -> None:
    point, light = bench.device("lighting").points[0], bench.field["hall.light_level"]
    async with bench.driver("lighting") as driver:
        assert driver.can == Can.READ | Can.PUSH | Can.WRITE | Can.RELINQUISH
        begun = clock.now()
        await driver.write(point, 40.0, OURS)
        held = await driver.read_back(point, OURS)
        assert (held.present, held.slot, held.array) == (40.0, None, None)
        assert light.array[12] == 40.0
        await driver.relinquish(point, OURS)
        assert (await driver.read_back(point, OURS)).present == 0.0
        assert light.holder is None
        assert clock.now() == begun


async def test_writing_what_is_already_there_waits_for_no_report(bench: Bench, clock: Clock) -> None:
    async with bench.driver("lighting") as driver, peer(bench) as other:
        point = bench.device("lighting").points[0]
        await other.send("townhall/lighting/hall/state", '{"level": 55}')
        await asyncio.sleep(1)
        bench.field.devices["lighting"].reachable = False  # hears nothing, says nothing
        begun = clock.now()
        await driver.write(point, 55.0, OURS)
        assert (await driver.read_back(point, OURS)).present == 55.0
        assert clock.now() == begun


async def test_a_device_that_keeps_silent_is_waited_for_in_vain_but_not_long(bench: Bench, clock: Clock) -> None:
    async with bench.driver("lighting") as driver:
        point = bench.device("lighting").points[0]
        bench.field.devices["lighting"].reachable = False
        begun = clock.now()
        await driver.write(point, 70.0, OURS)  # the broker has it
        assert (await driver.read_back(point, OURS)).present == 0.0
        assert clock.now() - begun == timedelta(seconds=2)


async def test_a_point_without_a_command_topic_is_refused(bench: Bench) -> None:
    async with bench.driver("occupancy") as driver:
        assert driver.can == Can.READ | Can.PUSH
        point = bench.device("occupancy").points[0]
        with pytest.raises(Rejected, match="command_topic"):
            await driver.write(point, 1.0, OURS)
        with pytest.raises(Rejected, match="relinquish"):
            await driver.relinquish(point, OURS)


# One connection for all


async def test_devices_of_one_broker_share_a_connection(bench: Bench) -> None:
    before = len(bench.broker.clients)
    async with bench.driver("meters"), bench.driver("lighting") as lighting, bench.driver("occupancy"):
        assert len(bench.broker.clients) == before + 1
        await lighting.write(bench.device("lighting").points[0], 5.0, OURS)
    async with bench.driver("meters"):
        assert len(bench.broker.clients) == before + 1
