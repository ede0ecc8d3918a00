"""The database is away for six hours under the whole program: control goes on, and every reading follows once."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from config.influx import Influx
from config.load import load_site
from controller.ladder import Level
from controller.store.forward import forwarding
from controller.store.influx import InfluxStore
from controller.store.lines import CODES
from controller.store.outbox import Outbox
from controller.store.sqlite import SqliteStore
from drivers.base import Quality
from drivers.clock import Clock
from site_sims.prelude import SITE, beginning
from tests.influx_server import Answer, InfluxServer, error, influx_server
from tests.town_hall_service import Hall, town_hall

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

BAD = CODES[Quality.BAD]
BEFORE, AWAY, AFTER = timedelta(minutes=40), timedelta(hours=6), timedelta(minutes=25)


async def live(span: timedelta) -> None:
    await asyncio.sleep(span.total_seconds())


def metric(hall: Hall, name: str) -> float:
    registry = CollectorRegistry()
    registry.register(hall.backend.measures)
    lines = generate_latest(registry).decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def kept(store: SqliteStore, points: Iterable[str], start: datetime) -> dict[str, list[tuple[float, float]]]:
    """Time and value of all that the embedded store has, by point, since `start`."""
    windows = {point: await store.window(point, start, start + timedelta(days=1)) for point in points}
    return {
        point: [(t, v) for t, v, q in zip(w.time_s, w.value, w.quality, strict=True) if q != BAD]
        for point, w in windows.items()
        if len(w.time_s)
    }


def arrived(server: InfluxServer) -> dict[str, list[tuple[float, float]]]:
    return {
        point: [(at / 1e6, row["v"]) for at, row in sorted(rows.items()) if row["q"] != BAD]
        for (point, _), rows in server.rows.items()
    }


@pytest.mark.parametrize("version", [1, 2])
async def test_six_hours_without_the_database(version: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with influx_server(version) as server:
        where = {"database": "plenum"} if version == 1 else {"bucket": "plenum", "org": "council"}
        influx = Influx.model_validate({"version": version, "url": server.url, **where})
        site = load_site(SITE)
        site = site.model_copy(update={"store": site.store.model_copy(update={"influx": influx})})

        def database(clock: Clock) -> InfluxStore:
            return InfluxStore(influx, site=site.id, base=tmp_path, clock=clock)

        async with town_hall(tmp_path, site=site, database=database) as hall:
            clock = hall.clock
            await live(BEFORE)
            assert server.points
            assert metric(hall, "plenum_database_up") == 1
            await away(hall, server)
            server.always = None
            await live(AFTER)
            assert hall.service.forwarder is not None
            assert hall.service.forwarder.outbox.backlog.lines < 1_500, "six hours have followed within minutes"
            assert not [alarm for alarm in hall.backend.alarms() if alarm.id.startswith("database")]
        outbox = Outbox(tmp_path, site=site.id, clock=clock, budget_bytes=10**9)
        async with forwarding(outbox, database(clock), clock):  # what its end has left
            await live(timedelta(minutes=1))
        async with SqliteStore(tmp_path, clock=clock) as store:
            have = await kept(store, site.points, beginning(site))
        assert outbox.backlog.lines == 0
        assert outbox.backlog.thinned == 0
        assert arrived(server) == have
        assert sum(map(len, have.values())) > 30_000
        sent = Counter(line for lines in server.writes for line in lines)
        assert max(sent.values()) == 1, "nothing is sent twice without need"
    said = [record.getMessage() for record in caplog.records if record.name == "controller.store.forward"]
    assert len(said) == 2, "one line each way"


async def away(hall: Hall, server: InfluxServer) -> None:
    """Half of the time it is silent, then it does not want us yet."""
    begun, before = hall.clock.now(), server.points
    server.always = Answer(hang=True)
    await live(AWAY / 2)
    server.always = error(503, {"error": "starting", "message": "starting"}, Retry_After="40")
    await live(AWAY / 2)
    assert server.points == before
    assert hall.service.ladder.level is Level.OPTIMISING, "control does not notice"
    assert hall.service.forwarder is not None
    waiting = hall.service.forwarder.outbox.backlog
    assert waiting.lines > 20_000
    assert metric(hall, "plenum_outbox_readings") == waiting.lines
    assert metric(hall, "plenum_outbox_age_seconds") > 5.5 * 3600
    assert metric(hall, "plenum_database_up") == 0
    (alarm,) = [alarm for alarm in hall.backend.alarms() if alarm.id == "database-late"]
    assert f"readings wait for InfluxDB {server.version} at {server.url}, the oldest for 6 h" in alarm.text
    assert "it answers 503: starting" in alarm.text
    assert alarm.since >= begun - timedelta(minutes=15)
    assert next(check for check in hall.backend.health().checks if check.name == "Database").ok
