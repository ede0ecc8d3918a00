"""The store on InfluxDB 1.6 (lines in, InfluxQL out) and on VictoriaMetrics (the v2 write API), killed and frozen."""

import asyncio
import re
import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from bench.databases import DATABASE, Server, database_server
from config.influx import Influx
from controller.store.answers import Away
from controller.store.forward import Forwarder, forwarding
from controller.store.influx import InfluxStore
from controller.store.outbox import Outbox
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock
from tests.influx_server import InfluxServer, influx_server
from tests.interop.mosquitto import authority
from tests.test_dashboard import LISTS, QUERIES

pytestmark = [pytest.mark.servers, pytest.mark.real_time]
START = datetime(2023, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POINT = "b.hall.temperature"


def reading(minute: float, value: float | None = 20.0, point: str = POINT, **more: object) -> Reading:
    when = START + minute * MINUTE
    return Reading(point=point, time=when, received=when, value=value, **more)  # type: ignore[arg-type]


def store_on(server: Server, site: str = "s") -> InfluxStore:
    where = (
        {"version": 1, "database": DATABASE}
        if server.kind == "influxd"
        else {"version": 2, "bucket": DATABASE, "org": "council"}
    )
    options = Influx.model_validate({"url": server.url, **where})
    return InfluxStore(options, site=site, base=Path(), clock=Clock(START))


def an_outbox(directory: Path) -> Outbox:
    return Outbox(directory, site="s", clock=Clock.real(), budget_bytes=500_000_000)


async def until_empty(forwarder: Forwarder) -> None:
    async with asyncio.timeout(60):
        while forwarder.outbox.backlog.lines:
            await asyncio.sleep(0.05)


async def test_influxdb_keeps_the_contract_of_the_store(tmp_path: Path) -> None:
    seen = START + 3 * MINUTE + timedelta(microseconds=7)
    odd = Reading(
        point="b.hall.co2",
        time=seen,
        received=seen + timedelta(milliseconds=40),
        value=8.25e-7,
        quality=Quality.SUSPECT,
        flags=Flags.PUSHED | Flags.IN_ALARM,
    )
    async with database_server("influxd", tmp_path) as server, store_on(server) as store:
        await store.append([reading(0, 1.0), reading(1, 3.0), reading(2, None, quality=Quality.BAD), odd])
        await store.append([reading(1, 7.0), reading(1, 2.0), reading(45, 1e300), reading(46, -1e-300)])
        window = await store.window(POINT, START, START + 45 * MINUTE)
        assert window.time_s.tolist() == [START.timestamp() + 60 * n for n in (0, 1, 2)]
        assert window.value[:2].tolist() == [1.0, 2.0]
        assert np.isnan(window.value[2])
        assert window.quality.tolist() == [0, 0, 3]
        half_hours = await store.aggregate(POINT, START, START + timedelta(days=1))
        assert half_hours[START] == (1.5, 1.0, 2.0, 2)
        assert half_hours[START + 30 * MINUTE][1:] == (-1e-300, 1e300, 2)
        assert len(half_hours) == 2
        assert await store.newest() == {POINT: reading(46, -1e-300), "b.hall.co2": odd}
        assert (await store.window("b.o'hall\\.x", START, START + MINUTE)).time_s.tolist() == []
        async with store_on(server, site="other") as other:
            assert await other.newest() == {}


async def test_a_month_at_one_minute_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.store.influx._ROWS", 10_000)
    async with database_server("influxd", tmp_path) as server, store_on(server) as store:
        month = [reading(minute, minute % 997 / 8) for minute in range(30 * 1440)]
        await store.append(month)
        window = await store.window(POINT, START, START + timedelta(days=31))
        assert window.value.tolist() == [made.value for made in month]
        assert len(await store.aggregate(POINT, START, START + timedelta(days=31))) == 30 * 48


async def test_influxdb_refuses_what_is_too_old_and_takes_the_rest(tmp_path: Path) -> None:
    async with database_server("influxd", tmp_path / "db") as server, httpx.AsyncClient(base_url=server.url) as http:
        policy = f"CREATE RETENTION POLICY short ON {DATABASE} DURATION 10d REPLICATION 1 SHARD DURATION 1h DEFAULT"
        await http.post("/query", params={"q": policy})
        clock = Clock.real()
        now = clock.now().replace(microsecond=0)
        readings = [
            Reading(point=POINT, time=now - timedelta(days=20) + n * MINUTE, received=now, value=1.0)
            for n in range(900)
        ] + [Reading(point=POINT, time=now - n * MINUTE, received=now, value=2.0) for n in range(700, 0, -1)]
        async with forwarding(an_outbox(tmp_path), store_on(server), clock) as forwarder:
            await forwarder.outbox.put(readings)
            await until_empty(forwarder)
            assert forwarder.outbox.backlog.refused == 900
            assert "beyond retention policy" in forwarder.outbox.backlog.reason
        async with store_on(server) as store:
            window = await store.window(POINT, now - timedelta(days=30), now)
            assert window.value.tolist() == [2.0] * 700


async def test_influxdb_refuses_a_line_of_another_type_and_takes_the_rest(tmp_path: Path) -> None:
    async with database_server("influxd", tmp_path / "db") as server, httpx.AsyncClient(base_url=server.url) as http:
        foreign = 'reading,point=b.other.x,site=t v="words",q=0i,f=0i,lag=0i 1675641600000000'
        written = await http.post("/write", params={"db": DATABASE, "precision": "u"}, content=foreign)
        assert written.status_code == 204
        week = timedelta(days=8) / MINUTE  # another shard: there `v` is ours
        async with forwarding(an_outbox(tmp_path), store_on(server), Clock.real()) as forwarder:
            await forwarder.outbox.put(
                [reading(n, 1.0) for n in range(30)] + [reading(week + n, 2.0) for n in range(70)]
            )
            await until_empty(forwarder)
            assert forwarder.outbox.backlog.refused == 30
            assert "field type conflict" in forwarder.outbox.backlog.reason
        async with store_on(server) as store:
            window = await store.window(POINT, START + timedelta(days=7), START + timedelta(days=30))
            assert window.value.tolist() == [2.0] * 70


async def test_influxdb_answers_what_the_dashboard_asks(tmp_path: Path) -> None:
    values = {
        "site": "s",
        "point": "(b.*)",
        "timeFilter": "time >= 1675641600s AND time < 1675645200s",
        "__interval": "10m",
    }
    async with database_server("influxd", tmp_path) as server, store_on(server) as store:
        await store.append(
            [reading(n, n / 8, quality=Quality.SUSPECT if n % 5 == 0 else Quality.GOOD) for n in range(60)]
        )
        for query in QUERIES + LISTS:
            asked = re.sub(r"\$(\w+)", lambda found: values[found[1]], query)
            assert await server.ask(asked), asked


async def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with database_server("influxd", tmp_path) as server:
        options = Influx.model_validate({"version": 1, "url": server.url, "database": "nowhere"})
        async with InfluxStore(options, site="s", base=Path(), clock=Clock(START)) as store:
            with pytest.raises(Away, match='404: database not found: "nowhere"; check the name of database'):
                await store.append([reading(0)])


async def test_influxdb_killed_and_frozen_in_mid_drain_loses_and_doubles_nothing(tmp_path: Path) -> None:
    points, minutes = 40, 3_000
    async with database_server("influxd", tmp_path / "db") as server:
        async with forwarding(an_outbox(tmp_path), store_on(server), Clock.real()) as forwarder:
            await server.end(signal.SIGKILL)
            for start in range(0, minutes, 100):
                batch = [
                    reading(minute, minute / 8 + k, f"b.p.p{k}")
                    for minute in range(start, start + 100)
                    for k in range(points)
                ]
                await forwarder.outbox.put(batch)
            total = forwarder.outbox.backlog.lines
            assert total == points * minutes
            for part in (0.8, 0.6, 0.4):  # of it is left when it dies again
                await server.start()
                await less_than(forwarder, total * part)
                await server.end(signal.SIGKILL)
            await server.start()
            await less_than(forwarder, total * 0.3)
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(0.2)
            server.signal(signal.SIGCONT)
            await until_empty(forwarder)
        async with store_on(server) as store:
            for k in range(points):
                window = await store.window(f"b.p.p{k}", START, START + timedelta(days=30))
                assert window.value.tolist() == [minute / 8 + k for minute in range(minutes)]
        ((_, count),) = await server.ask("SELECT count(q) FROM reading")
        assert count == total, "every line once in effect"


async def less_than(forwarder: Forwarder, lines: float) -> None:
    async with asyncio.timeout(60):
        while forwarder.outbox.backlog.lines >= lines:
            await asyncio.sleep(0.002)


async def test_victoriametrics_takes_what_the_v2_client_writes(tmp_path: Path) -> None:
    now = Clock.real().now().replace(second=0, microsecond=0)
    readings = [
        Reading(point=f"b.p.p{k}", time=now - n * MINUTE, received=now - n * MINUTE, value=n / 8 + k)
        for n in range(200, 100, -1)
        for k in range(20)
    ]
    async with database_server("victoria-metrics", tmp_path / "db") as server:
        async with forwarding(an_outbox(tmp_path), store_on(server), Clock.real()) as forwarder:
            await forwarder.outbox.put(readings[:1000])
            await until_empty(forwarder)
            await server.end()
            await forwarder.outbox.put(readings[1000:])
            await server.start()
            await until_empty(forwarder)
            assert forwarder.sent == len(readings)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            await http.get("/internal/force_flush")
            answer = await http.get("/api/v1/export", params={"match[]": '{__name__="reading_v",site="s"}'})
        series = [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]
        found = {one["metric"]["point"]: dict(zip(one["timestamps"], one["values"], strict=True)) for one in series}
        expected: dict[str, dict[int, float]] = {}
        for made in readings:
            expected.setdefault(made.point, {})[round(made.time.timestamp() * 1000)] = made.value or 0.0
        assert found == expected


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_only_a_server_that_somebody_vouches_for_gets_readings(version: int, tmp_path: Path) -> None:
    ours, others = authority(tmp_path / "ours"), authority(tmp_path / "others")
    cert, key = ours.certificate("influx")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    where = {"bucket": "plenum", "org": "council"} if version == 2 else {"database": "plenum"}
    async with influx_server(version, context) as server:
        async with vouched(server, ours.ca, where) as store:
            await store.append([reading(0)])
        for ca_file, words in ((others.ca, "certificate"), (None, "certificate"), (key, "as an authority")):
            with pytest.raises(Away, match=words):
                async with vouched(server, ca_file, where) as store:
                    await store.append([reading(1)])
        assert len(server.writes) == 1


def vouched(server: InfluxServer, ca_file: Path | None, where: dict[str, str]) -> InfluxStore:
    told = {"version": server.version, "url": server.url, "ca_file": ca_file, **where}
    return InfluxStore(Influx.model_validate(told), site="s", base=Path(), clock=Clock(START))
