"""The MQTT driver through a broker in the same loop: readings, commands, outages, and what a hostile network sends."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from config.site import Device, Point
from config.units import Unit
from drivers.base import Can, Flags, NotReachable, Quality, Reading, Rejected, priority
from drivers.clock import Clock
from drivers.mqtt.client import Client
from drivers.mqtt.connection import Connection
from drivers.mqtt.driver import MqttDriver
from drivers.mqtt.options import Broker as Settings
from drivers.registry import Shared, driver_class
from site_sims.broker import Broker, keepalive_in_loop_time
from tests.mqtt_bench import PORT, Bench, mqtt_bench

OURS = priority(13)


@pytest.fixture
async def bench(clock: Clock) -> AsyncIterator[Bench]:
    async with mqtt_bench(clock) as made:
        await asyncio.sleep(1)
        yield made


@contextlib.asynccontextmanager
async def listening(driver: MqttDriver) -> AsyncIterator[list[Reading]]:
    """What `changes` yields meanwhile."""
    heard: list[Reading] = []

    async def listen() -> None:
        async for reading in driver.changes():
            heard.append(reading)  # noqa: PERF401  it grows while we look

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listen(), name="listen")
        try:
            yield heard
        finally:
            task.cancel()


@contextlib.asynccontextmanager
async def peer(bench: Bench) -> AsyncIterator[Client]:
    """Somebody else at the broker."""
    client = Client("127.0.0.1", PORT, deliver=lambda *_: None, lost=lambda *_: None, keepalive=0)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


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


# Outages


async def _supervised(make: Callable[[], MqttDriver], heard: list[Reading], downs: list[str], clock: Clock) -> None:
    """What a supervisor does: open, listen, on loss pause and open again."""
    pause = 1.0
    while True:
        try:
            async with make() as driver:
                pause = 1.0
                async for reading in driver.changes():
                    heard.append(reading)  # noqa: PERF401  it grows while we look
        except NotReachable as error:
            downs.append(f"{clock.now():%H:%M:%S} {error}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, MqttDriver.retry_max_s)


async def test_ten_minutes_without_a_broker_are_noticed_once_and_healed(bench: Bench, clock: Clock) -> None:
    heard: list[Reading] = []
    downs: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_supervised(lambda: bench.driver("meters"), heard, downs, clock), name="supervisor")
        await asyncio.sleep(600 - 1)
        await bench.broker.stop()
        stopped = clock.now()
        await asyncio.sleep(600)
        await bench.broker.start()
        back = clock.now()
        await asyncio.sleep(15)
        assert sum(1 for r in heard if r.received >= back) > 0  # the retained demand limit at least, within 15 s
        await asyncio.sleep(600)
        task.cancel()
    lost = [down for down in downs if "lost" in down]
    assert len(lost) == 1
    assert lost[0].startswith(f"{stopped:%H:%M:%S}")
    assert all("refused" in down for down in downs if down not in lost)
    assert 50 < len(downs) < 150  # tried on, but not hammered
    assert not [r for r in heard if stopped < r.received < back]
    telemetry = [r for r in heard if r.point == "townhall.grid.electricity_kwh"]
    assert len({r.time for r in telemetry}) == len(telemetry)
    assert len([r for r in telemetry if r.received > back]) == 10


async def test_what_the_broker_repeats_after_an_outage_is_not_new(bench: Bench) -> None:
    async with bench.driver("occupancy") as driver, listening(driver):
        pass
    points = bench.device("occupancy").points
    async with bench.driver("occupancy") as driver:
        before = await driver.read(points)
    await asyncio.sleep(300)
    async with bench.driver("occupancy") as driver:
        after = await driver.read(points)
    assert [r.time for r in after] == [r.time for r in before]
    assert all(a.received > b.received for a, b in zip(after, before, strict=True))


async def _exhausted(driver: MqttDriver) -> None:
    async for _ in driver.changes():
        pass


async def test_every_call_says_when_the_broker_is_gone(bench: Bench) -> None:
    point = bench.device("lighting").points[0]
    async with bench.driver("lighting") as driver:
        await bench.broker.stop()
        await asyncio.sleep(0.1)
        calls: list[Awaitable[object]] = [
            driver.read([point]),
            driver.write(point, 1.0, OURS),
            driver.relinquish(point, OURS),
            driver.read_back(point, OURS),
            _exhausted(driver),
        ]
        for call in calls:
            with pytest.raises(NotReachable, match="connection lost"):
                await call


@pytest.mark.parametrize(
    ("dies", "complaint", "after_s"), [(False, "no answer in 5 s", 5), (True, "connection lost", 0)]
)
async def test_a_command_that_is_not_acknowledged_has_failed(
    clock: Clock, *, dies: bool, complaint: str, after_s: int
) -> None:
    """The broker takes the message and says nothing more, or dies over it: the second is known at once."""
    async with _silent_server(answers=2, dies=dies) as port, Shared() as shared:
        described = _device(port)
        options = MqttDriver.Options.model_validate(described.options)
        async with MqttDriver(described.points, options=options, clock=clock, shared=shared) as driver:
            begun = clock.now()
            with pytest.raises(NotReachable, match=complaint):
                await driver.write(described.points[0], 1.0, OURS)
            assert clock.now() - begun == timedelta(seconds=after_s)


async def test_a_driver_that_was_not_reopened_stays_down(bench: Bench) -> None:
    """Its neighbour has the connection up again; it has to ask for its own topics itself."""
    async with bench.driver("lighting") as lighting, bench.driver("occupancy"):
        await bench.broker.stop()
        await asyncio.sleep(1)
        await bench.broker.start()
        async with bench.driver("meters"):
            with pytest.raises(NotReachable):
                await lighting.read([bench.device("lighting").points[0]])
            async with bench.driver("lighting") as again:
                assert (await again.read([bench.device("lighting").points[0]]))[0].value is not None


async def test_no_broker_at_all_is_said_clearly(clock: Clock) -> None:
    options = MqttDriver.Options(host="127.0.0.1", port=PORT + 90)
    async with Shared() as shared:
        driver = MqttDriver(_device(0).points, options=options, clock=clock, shared=shared)
        with pytest.raises(NotReachable, match=f"MQTT broker 127.0.0.1:{PORT + 90}.*refused"):
            async with driver:
                pass


async def test_secrets_that_cannot_be_read_are_said_clearly(clock: Clock, tmp_path: Path) -> None:
    for secret, complaint in (
        ({"password_file": str(tmp_path / "none")}, "none"),
        ({"password_env": "PLENUM_NO_SUCH_VARIABLE"}, "PLENUM_NO_SUCH_VARIABLE"),
    ):
        connection = Connection(Settings(host="127.0.0.1", port=PORT, username="plenum", **secret))
        with pytest.raises(NotReachable, match=complaint):
            await connection.open()


async def test_attempts_are_paused_for_longer_each_time_and_not_by_the_same(clock: Clock) -> None:
    async def pauses(identifier: str) -> list[float]:
        loop, connection = (
            asyncio.get_running_loop(),
            Connection(Settings(host="127.0.0.1", port=PORT + 90, identifier=identifier)),
        )
        tries = []
        for _ in range(8):
            with pytest.raises(NotReachable):
                await connection.open()
            tries.append(loop.time())
        return [later - earlier for earlier, later in itertools.pairwise(tries)]

    one, other, again = await pauses("a"), await pauses("b"), await pauses("a")
    assert one == pytest.approx(again, abs=1e-5)
    assert one != pytest.approx(other, abs=0.1)
    for took, mean in zip(one, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert 0.5 * mean <= took <= 1.5 * mean


async def test_neighbours_share_an_attempt_that_failed() -> None:
    connection = Connection(Settings(host="127.0.0.1", port=PORT + 90))
    failures: list[str] = []

    async def attempt() -> None:
        try:
            await connection.open()
        except NotReachable as error:
            failures.append(str(error))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(attempt(), name="attempt")
    assert len(failures) == 3
    assert connection.counts["failed"] == 1


# A broker that is there and says nothing


@contextlib.asynccontextmanager
async def _silent_server(*, answers: int, dies: bool = False) -> AsyncIterator[int]:
    """A server that answers CONNECT and SUBSCRIBE, so many of them, and then nothing more, or hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01")[:answers]:
            await reader.read(1000)
            writer.write(reply)
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000) and not dies:
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.sleep(0.1)


def _device(port: int, **options: object) -> Device:
    point = Point(
        id="test.hall.light",
        unit=Unit.PERCENT,
        address="test/light",
        writable=True,
        low=0,
        high=100,
        options={"command_topic": "test/light/set"},
    )
    return Device(id="box", driver="mqtt", options={"host": "127.0.0.1", "port": port, **options}, points=(point,))


async def test_a_broker_that_never_welcomes_us_is_given_up(clock: Clock) -> None:
    async with _silent_server(answers=0) as port, Shared() as shared:
        described = _device(port)
        options = MqttDriver.Options.model_validate(described.options)
        with pytest.raises(NotReachable, match="no answer in 10 s"):
            async with MqttDriver(described.points, options=options, clock=clock, shared=shared):
                pass
        assert clock.now() - clock.epoch <= timedelta(seconds=10)


async def test_a_subscription_that_is_never_granted_is_given_up(clock: Clock) -> None:
    async with _silent_server(answers=1) as port, Shared() as shared:
        described = _device(port)
        options = MqttDriver.Options.model_validate(described.options)
        with pytest.raises(NotReachable, match="subscribing: no answer"):
            async with MqttDriver(described.points, options=options, clock=clock, shared=shared):
                pass


async def test_a_connection_gone_dead_is_noticed_within_one_and_a_half_keepalives(clock: Clock) -> None:
    async with _silent_server(answers=2) as port, Shared() as shared:
        described = _device(port, keepalive=30)
        options = MqttDriver.Options.model_validate(described.options)
        with keepalive_in_loop_time(asyncio.get_running_loop()):
            async with MqttDriver(described.points, options=options, clock=clock, shared=shared) as driver:
                begun = clock.now()
                with pytest.raises(NotReachable, match="connection lost"):
                    async for _ in driver.changes():
                        pass
                assert timedelta(seconds=30) < clock.now() - begun <= timedelta(seconds=45)


@pytest.mark.parametrize("turns", range(0, 12, 1))
async def test_opening_that_is_cancelled_leaves_nothing_behind(clock: Clock, turns: int) -> None:
    """At every stage: before, while and after paho's thread connects, while the broker is silent."""
    async with _silent_server(answers=0) as port, Shared() as shared:
        described = _device(port)
        options = MqttDriver.Options.model_validate(described.options)
        driver = MqttDriver(described.points, options=options, clock=clock, shared=shared)
        before = asyncio.all_tasks()
        opening = asyncio.create_task(driver.__aenter__(), name="opening")
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 8:
            await asyncio.sleep(0.01 * (turns - 8))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.sleep(1)
        ours = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
        assert not ours


# The device's own word


async def test_a_device_that_says_it_is_offline_is_not_reachable(clock: Clock) -> None:
    async with mqtt_bench(clock, availability={"topic": "townhall/lighting/availability"}) as bench:
        await asyncio.sleep(1)
        point = bench.device("lighting").points[0]
        async with bench.driver("lighting") as driver:
            bench.field.devices["lighting"].reachable = False
            bench.served["lighting"].look()
            with pytest.raises(NotReachable, match="offline"):
                async for _ in driver.changes():
                    pass
            with pytest.raises(NotReachable, match="offline"):
                await driver.write(point, 1.0, OURS)
        with pytest.raises(NotReachable, match="offline"):
            async with bench.driver("lighting"):
                pass
        bench.field.devices["lighting"].reachable = True
        bench.served["lighting"].look()
        async with bench.driver("lighting") as driver:
            assert (await driver.read([point]))[0].quality is Quality.GOOD


async def test_a_device_that_never_announced_itself_is_not_there(clock: Clock) -> None:
    async with mqtt_bench(clock, availability={"topic": "townhall/elsewhere/availability"}) as bench:
        with pytest.raises(NotReachable, match=r"nothing is announced on .*townhall/elsewhere"):
            async with bench.driver("lighting"):
                pass


async def test_availability_may_be_a_word_inside_json(clock: Clock) -> None:
    availability = {"topic": "z/availability#state", "online": "up", "offline": "down"}
    async with mqtt_bench(clock, availability=availability) as bench, peer(bench) as other:
        await other.send("z/availability", '{"state": "up"}', retain=True)
        async with bench.driver("lighting") as driver:
            await other.send("z/availability", "garbage")
            await other.send("z/availability", '{"state": "perhaps"}')
            await asyncio.sleep(1)
            await driver.read([])
            await other.send("z/availability", '{"state": "down"}')
            await asyncio.sleep(1)
            with pytest.raises(NotReachable, match="down"):
                await driver.read([])


# Our own word


async def test_we_announce_ourselves_and_our_going(clock: Clock) -> None:
    async with mqtt_bench(clock, will={"topic": "plenum/status"}) as bench:
        heard: list[tuple[bytes, bool]] = []
        watcher = Client(
            "127.0.0.1", PORT, deliver=lambda _, p, r: heard.append((p, r)), lost=lambda *_: None, keepalive=0
        )
        await watcher.open()
        await watcher.listen({"plenum/status": 1})
        async with Shared() as shared:
            bench.shared = shared
            async with bench.driver("meters"):
                await asyncio.sleep(1)
                assert heard == [(b"online", False)]
        await asyncio.sleep(1)
        assert heard[1:] == [(b"offline", False)]
        async with Shared() as shared:
            bench.shared = shared
            async with bench.driver("meters") as driver:
                connection = driver._connection
                assert connection is not None
                assert connection._client is not None
                connection._client.abandon()  # as when the machine dies
                await asyncio.sleep(1)
                assert heard[2:] == [(b"online", False), (b"offline", False)]
        await watcher.close()


# Mistakes of ours


async def test_a_mistake_in_the_driver_is_not_taken_for_a_lost_broker(bench: Bench) -> None:
    async with bench.driver("occupancy") as driver:

        def mistaken(*_: object, **__: object) -> list[Reading]:
            raise KeyError("a bug")

        driver._inbox.take = mistaken
        bench.field["hall.people"].sense(3)
        with pytest.raises(KeyError, match="a bug"):
            async for _ in driver.changes():
                pass


def test_the_driver_is_found_by_its_name() -> None:
    assert driver_class("mqtt") is MqttDriver
    with pytest.raises(ValueError, match="such as"):
        MqttDriver.check_address("a/+/b")


async def test_a_half_open_port_is_closed_again(clock: Clock) -> None:
    """Somebody who only connects to the broker does not keep it from stopping."""
    async with Broker(port=PORT) as broker:
        with socket.create_connection(("127.0.0.1", PORT)):
            await asyncio.sleep(1)
            await broker.stop()
