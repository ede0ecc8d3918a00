"""The simulated MQTT devices: what they publish, what they take, and that they come back."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drivers.clock import Clock
from drivers.mqtt.client import Client
from site_sims.virtual_time import VirtualTimeLoop
from tests.conftest import EPOCH
from tests.mqtt_bench import PORT, Bench, mqtt_bench

SET, STATE = "townhall/lighting/hall/set", "townhall/lighting/hall/state"


@pytest.fixture
async def bench(clock: Clock) -> AsyncIterator[Bench]:
    async with mqtt_bench(clock) as made:
        await asyncio.sleep(1)
        yield made


class Ear:
    """All that is said on some topics."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard: list[tuple[str, str, Any, bool]] = []  # time, topic, document, retained
        self.client = Client("127.0.0.1", PORT, deliver=self._deliver, lost=lambda *_: None, keepalive=0)

    def _deliver(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001  the client's order
        text = payload.decode()
        self.heard.append(
            (f"{self._clock.now():%H:%M:%S}", topic, json.loads(text) if text[:1] in '{"' else text, retained)
        )

    def documents(self, topic: str) -> list[Any]:
        return [document for _, said, document, _ in self.heard if said == topic]


@contextlib.asynccontextmanager
async def ear(clock: Clock, *topics: str) -> AsyncIterator[Ear]:
    made = Ear(clock)
    await made.client.open()
    try:
        await made.client.listen(dict.fromkeys(topics, 1))
        await asyncio.sleep(1)
        yield made
    finally:
        await made.client.close()


async def test_meters_report_all_their_values_every_minute_with_the_time(bench: Bench, clock: Clock) -> None:
    async with ear(clock, "townhall/meters/state") as heard:
        assert heard.heard == []  # telemetry is not retained
        bench.field["grid.electricity_kwh"].sense(1234.5)
        bench.field["heat_pump.electricity_kw"].sense(12.34567)
        await asyncio.sleep(180)
    assert [time for time, *_ in heard.heard] == ["00:01:00", "00:02:00", "00:03:00"]
    (first, *_) = heard.documents("townhall/meters/state")
    assert first == {
        "time": "2023-02-06T00:01:00.500000+00:00",
        "electricity": {"kwh": 1234.5, "kw": 0},
        "gas": {"kwh": 0},
        "heat": {"kwh": 0, "kw": 0},
        "pv": {"kwh": 0, "kw": 0},
        "heat_pump": {"kwh": 0, "kw": 12.3457},
        "lighting": {"kw": 0},
    }


async def test_occupancy_is_told_when_it_changes_and_once_an_hour_and_kept(bench: Bench, clock: Clock) -> None:
    topic = "townhall/occupancy/hall"
    async with ear(clock, topic) as heard:
        assert [(document, retained) for *_, document, retained in heard.heard] == [({"people": 0}, True)]
        bench.field["hall.people"].sense(7)
        await asyncio.sleep(3)
        bench.field["hall.people"].sense(8)
        await asyncio.sleep(7200)
    assert [(time, document) for time, _, document, _ in heard.heard[1:]] == [
        ("00:00:02", {"people": 7}),
        ("00:00:05", {"people": 8}),
        ("01:00:00", {"people": 8}),
        ("02:00:00", {"people": 8}),
    ]


async def test_the_demand_limit_is_kept_for_whoever_comes_later(bench: Bench, clock: Clock) -> None:
    bench.field["grid.demand_limit"].sense(60)
    await asyncio.sleep(1)
    async with ear(clock, "townhall/grid/demand_limit") as heard:
        assert [(document, retained) for *_, document, retained in heard.heard] == [({"kw": 60}, True)]


async def test_a_dimmer_obeys_reports_and_gives_back(bench: Bench, clock: Clock) -> None:
    light = bench.field["hall.light_level"]
    light.write(30, 15)  # its own schedule
    async with ear(clock, STATE) as heard:
        await heard.client.send(SET, '{"level": 80}')
        await asyncio.sleep(1)
        assert (light.array[12], light.value) == (80, 80)
        await heard.client.send(SET, '{"level": null}')
        await asyncio.sleep(1)
        assert (light.array[12], light.value) == (None, 30)
    assert [document["level"] for document in heard.documents(STATE)] == [30, 80, 30]


async def test_a_dimmer_reports_every_ten_minutes(bench: Bench, clock: Clock) -> None:
    async with ear(clock, STATE) as heard:
        await asyncio.sleep(1800)
    assert [time for time, *_ in heard.heard[1:]] == ["00:10:00", "00:20:00", "00:30:00"]


async def test_a_command_that_changes_nothing_is_answered_too(bench: Bench, clock: Clock) -> None:
    async with ear(clock, STATE) as heard:
        for _ in range(3):
            await heard.client.send(SET, '{"level": 0}')
            await asyncio.sleep(1)
    assert len(heard.heard) == 4


@pytest.mark.parametrize(
    "payload", [b"", b"{", b'{"level": "much"}', b'{"level": true}', b'{"level": 150}', b'{"other": 1}', b"\xff", b"7"]
)
async def test_commands_without_sense_are_counted_and_answered_with_the_state(
    bench: Bench, clock: Clock, payload: bytes
) -> None:
    async with ear(clock, STATE) as heard:
        await heard.client.send(SET, payload)
        await asyncio.sleep(1)
    assert bench.served["lighting"].ignored == 1
    assert bench.field["hall.light_level"].holder is None
    assert [document["level"] for document in heard.documents(STATE)] == [0, 0]


async def test_an_old_command_kept_by_the_broker_is_not_carried_out(bench: Bench, clock: Clock) -> None:
    async with ear(clock, STATE) as heard:
        await heard.client.send(SET, '{"level": 90}', retain=True)
        await heard.client.send(SET, '{"level": null}')
        await asyncio.sleep(1)
        bench.field.devices["lighting"].reachable = False
        bench.served["lighting"].look()
        await asyncio.sleep(1)
        bench.field.devices["lighting"].reachable = True
        await asyncio.sleep(120)
    assert bench.field["hall.light_level"].holder is None


async def test_an_unplugged_device_says_nothing_and_takes_nothing_until_it_is_back(bench: Bench, clock: Clock) -> None:
    said = "townhall/lighting/availability"
    async with ear(clock, said, STATE) as heard:
        bench.field.devices["lighting"].reachable = False
        await heard.client.send(SET, '{"level": 80}')
        await asyncio.sleep(120)
        bench.field["hall.light_level"].write(10, 15)
        await asyncio.sleep(1200)
        assert bench.field["hall.light_level"].array[12] is None
        assert heard.documents(STATE) == [{"level": 0}]
        bench.field.devices["lighting"].reachable = True
        await asyncio.sleep(61)
    assert heard.documents(said) == ["online", "offline", "online"]
    assert heard.documents(STATE)[-1] == {"level": 10}


async def test_after_a_restart_of_the_broker_everything_is_there_again(bench: Bench, clock: Clock) -> None:
    await bench.broker.stop()
    bench.field["hall.people"].sense(5)  # happens while nobody can be told
    await asyncio.sleep(600)
    await bench.broker.start()
    await asyncio.sleep(10)
    async with ear(clock, "townhall/#") as heard:
        assert heard.documents("townhall/occupancy/hall") == [{"people": 5}]
        retained = {topic for _, topic, _, kept in heard.heard if kept}
        await asyncio.sleep(60)
        assert len(heard.documents("townhall/meters/state")) == 1
    assert len(retained) == 10 + 10 + 1 + 3  # occupancy, lighting, demand limit, availability
    assert [device.connections for device in bench.served.values()] == [2, 2, 2]


async def test_a_value_that_is_no_number_is_told_as_null(bench: Bench, clock: Clock) -> None:
    bench.field["hall.people"].sense(float("nan"))
    await asyncio.sleep(1)
    async with ear(clock, "townhall/occupancy/hall") as heard:
        assert heard.documents("townhall/occupancy/hall") == [{"people": None}]


async def _busy_while() -> list[tuple[str, str, Any, bool]]:
    clock = Clock(EPOCH)
    async with mqtt_bench(clock) as bench:
        await asyncio.sleep(1)
        async with ear(clock, "townhall/#") as heard:
            for minute in range(25):
                for number, obj in enumerate(bench.field.of("mqtt")[1].objects.values()):
                    obj.sense(float((minute * 7 + number) % 5))
                await asyncio.sleep(60)
    return heard.heard


def test_two_runs_say_the_same_in_the_same_order() -> None:
    runs = []
    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runs.append(runner.run(_busy_while()))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 200


async def test_leaving_takes_the_watchers_along(clock: Clock) -> None:
    async with mqtt_bench(clock) as bench:
        await asyncio.sleep(1)
        watched = [obj for obj in bench.field if obj.watchers]
    assert len(watched) == 31
    assert [obj.key for obj in bench.field if obj.watchers] == []
