"""From the outbox to the database, whatever the database does: everything, once in effect, oldest first."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest

from controller.store.base import StoreError
from controller.store.forward import BACKOFF_S, Forwarder, Forwarding, forwarding
from controller.store.outbox import Outbox
from controller.store.sqlite import SqliteStore
from drivers.base import Reading
from drivers.clock import Clock
from tests.influx_server import Answer, InfluxServer, error, influx_server
from tests.test_influx import store_on

START = datetime(2023, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
VERSIONS = (1, 2, 3)
DOWN = error(500, {"error": "timeout", "message": "timeout"})


def reading(minute: float, point: str = "b.hall.temperature") -> Reading:
    when = START + minute * MINUTE
    return Reading(point=point, time=when, received=when, value=minute / 8)


def an_outbox(directory: Path, clock: Clock) -> Outbox:
    return Outbox(directory, site="s", clock=clock, budget_bytes=10_000_000)


@asynccontextmanager
async def sending(directory: Path, clock: Clock, server: InfluxServer) -> AsyncIterator[Forwarder]:
    async with forwarding(an_outbox(directory, clock), store_on(server), clock) as forwarder:
        yield forwarder


async def until_empty(forwarder: Forwarder) -> None:
    async with asyncio.timeout(86_400):
        while forwarder.outbox.backlog.lines:
            await asyncio.sleep(1)


def stored(server: InfluxServer) -> dict[tuple[str, int], float]:
    """Value by point and minute."""
    return {
        (point, round((at / 1e6 - START.timestamp()) / 60)): row["v"]
        for (point, _), rows in server.rows.items()
        for at, row in rows.items()
    }


def all_of(minutes: int, point: str = "b.hall.temperature") -> dict[tuple[str, int], float]:
    return {(point, minute): minute / 8 for minute in range(minutes)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "script",
    [
        [DOWN] * 12,
        [Answer(hang=True)] * 3,
        [Answer(hang_up=True)] * 3,  # it has the lines and dies before it can say so
        [error(429, {"message": "slow down", "error": "slow down"}, Retry_After="120")] * 3,
        [error(401, {"message": "no", "error": "no"}), error(404, {"message": "gone", "error": "gone"})],
        [Answer(200, b"<html>log in</html>"), Answer(302, headers={"location": "/login"}), Answer(503)],
        [DOWN, Answer(hang=True), Answer(hang_up=True), Answer(429), Answer(500), Answer(hang_up=True)],
    ],
    ids=["500", "hangs", "dies", "429", "refuses us", "page", "everything"],
)
async def test_every_reading_arrives_once_in_effect(
    version: int, script: list[Answer], tmp_path: Path, clock: Clock
) -> None:
    async with influx_server(version) as server, sending(tmp_path, clock, server) as forwarder:
        server.script = list(script)
        for minute in range(120):
            await clock.sleep_until(START + minute * MINUTE)
            await forwarder.outbox.put([reading(minute)])
        await until_empty(forwarder)
        assert stored(server) == all_of(120)
        assert not server.script
        assert forwarder.outbox.backlog.refused == 0
        first = [line.rpartition(" ")[2] for lines in server.writes for line in lines]
        fresh = list(dict.fromkeys(first))
        assert fresh == sorted(fresh), "oldest first"


async def test_a_database_that_is_away_for_hours_costs_one_line_each_way(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="controller.store")
    async with influx_server() as server, sending(tmp_path, clock, server) as forwarder:
        server.always = DOWN
        for hour in range(6):
            await clock.sleep_until(START + timedelta(hours=hour))
            await forwarder.outbox.put([reading(60 * hour + minute) for minute in range(60)])
        assert forwarder.outbox.backlog.lines == 6 * 60
        assert forwarder.outbox.backlog.oldest == START
        assert forwarder.down_since is not None
        assert "answers 500: timeout" in forwarder.why
        server.always = None
        await asyncio.sleep(100)  # no pause is longer
        assert stored(server) == all_of(6 * 60)
        assert server.overwritten == 0
        assert (forwarder.down_since, forwarder.why, forwarder.sent) == (None, "", 6 * 60)
    said = [record.getMessage() for record in caplog.records if record.name == "controller.store.forward"]
    assert len(said) == 2
    assert "answers 500: timeout; its readings wait on disk" in said[0]
    assert "takes readings again" in said[1]


async def test_pauses_grow_differ_and_repeat(tmp_path: Path, clock: Clock) -> None:
    async def attempts(directory: Path) -> list[float]:
        begun = asyncio.get_running_loop().time()
        at: list[float] = []
        async with influx_server() as server:
            server.port, port = 1, server.port  # one name, so the same dice
            async with forwarding(an_outbox(directory, clock), Noting(at), clock) as forwarder:
                await forwarder.outbox.put([reading(0)])
                await asyncio.sleep(600)
            server.port = port
        return [round(when - begun, 6) for when in at]

    first, again = await attempts(tmp_path / "a"), await attempts(tmp_path / "b")
    assert first == again
    pauses = [later - earlier for earlier, later in pairwise(first)]
    means = [*BACKOFF_S, *[BACKOFF_S[-1]] * len(pauses)]
    assert all(0.5 * mean <= pause <= 1.5 * mean for pause, mean in zip(pauses, means, strict=False))
    assert len({round(pause, 3) for pause in pauses[6:]}) > 3


class Noting:
    """A database that takes nothing and notes when it was asked."""

    name = "nothing"

    def __init__(self, at: list[float]) -> None:
        self.at = at

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def send(self, lines: object) -> None:
        self.at.append(asyncio.get_running_loop().time())
        raise StoreError("never")


async def test_a_server_that_asks_for_time_gets_it(tmp_path: Path, clock: Clock) -> None:
    async with influx_server() as server, sending(tmp_path, clock, server) as forwarder:
        server.script = [error(429, {"error": "slow down"}, Retry_After="600")]
        await forwarder.outbox.put([reading(0)])
        await asyncio.sleep(599)
        assert len(server.asked) == 1
        await until_empty(forwarder)
        assert server.points == 1


# --- lines that are refused ----------------------------------------------------------------------------------------

REFUSALS = {
    1: "partial write: field type conflict: input field v",
    2: "unable to parse 'x': missing fields",
    3: "invalid column type for column 'v'",
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_bad_line_is_kept_aside_and_the_queue_goes_on(version: int, tmp_path: Path, clock: Clock) -> None:
    async with influx_server(version) as server, sending(tmp_path, clock, server) as forwarder:
        server.refuses = lambda line: REFUSALS[version] if "point=b.bad" in line and line.endswith("00000") else None
        server.always = DOWN
        for minute in range(60):
            await forwarder.outbox.put([reading(minute), reading(minute, "b.bad.one")])
        server.always = None
        await until_empty(forwarder)
        assert stored(server) == all_of(60)
        backlog = forwarder.outbox.backlog
        assert backlog.refused == 60
        refused = await forwarder.outbox.refused(300)
        assert all(found.line.startswith("reading,point=b.bad.one,site=s") for found in refused)
        assert REFUSALS[version] in backlog.reason
        server.refuses = lambda _: None
        await forwarder.outbox.put([reading(60)])
        await until_empty(forwarder)
        assert stored(server) == all_of(61)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_bad_reading_that_comes_alone_waits_for_company(version: int, tmp_path: Path, clock: Clock) -> None:
    """Alone it cannot be told from a database that refuses all we send."""
    async with influx_server(version) as server, sending(tmp_path, clock, server) as forwarder:
        server.refuses = lambda line: REFUSALS[version] if "b.bad" in line else None
        await forwarder.outbox.put([reading(0, "b.bad.one")])
        await asyncio.sleep(300)
        assert (forwarder.outbox.backlog.lines, forwarder.outbox.backlog.refused) == (1, 0)
        assert "refuses everything we send" in forwarder.why
        await forwarder.outbox.put([reading(0)])
        await until_empty(forwarder)
        assert stored(server) == all_of(1)
        assert forwarder.outbox.backlog.refused == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_many_bad_lines_before_a_good_one_do_not_block_it(version: int, tmp_path: Path, clock: Clock) -> None:
    async with influx_server(version) as server, sending(tmp_path, clock, server) as forwarder:
        server.refuses = lambda line: REFUSALS[version] if "b.bad" in line else None
        await forwarder.outbox.put([*(reading(minute, "b.bad.one") for minute in range(300)), reading(0)])
        await until_empty(forwarder)
        assert stored(server) == all_of(1)
        assert forwarder.outbox.backlog.refused == 300


@pytest.mark.parametrize("version", VERSIONS)
async def test_readings_are_not_given_up_because_everything_is_refused(
    version: int, tmp_path: Path, clock: Clock
) -> None:
    async with influx_server(version) as server, sending(tmp_path, clock, server) as forwarder:
        server.refuses = lambda _: REFUSALS[version]
        for minute in range(500):
            await forwarder.outbox.put([reading(minute)])
        await asyncio.sleep(600)
        assert (forwarder.outbox.backlog.lines, forwarder.outbox.backlog.refused) == (500, 0)
        assert len(server.asked) < 20 * 60, "it does not ask again for each line"
        server.refuses = lambda _: None
        await until_empty(forwarder)
        assert stored(server) == all_of(500)


@pytest.mark.parametrize("version", [1, 2])
async def test_what_is_older_than_the_database_keeps_goes_at_once(version: int, tmp_path: Path, clock: Clock) -> None:
    limit = int((START + 2_500 * MINUTE).timestamp()) * 1_000_000
    words = "partial write: points beyond retention policy"
    async with influx_server(version) as server, sending(tmp_path, clock, server) as forwarder:
        server.refuses = lambda line: words if int(line.rpartition(" ")[2]) < limit else None
        await forwarder.outbox.put([reading(minute) for minute in range(4_000)])
        await until_empty(forwarder)
        assert stored(server) == {key: value for key, value in all_of(4_000).items() if key[1] >= 2_500}
        assert forwarder.outbox.backlog.refused == 2_500
        assert len(server.asked) < 40
        await forwarder.outbox.put([reading(minute) for minute in range(100)])  # all of it too old
        await until_empty(forwarder)
        assert forwarder.outbox.backlog.refused == 2_600


async def test_a_refusal_is_said_once_a_day(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    async with influx_server() as server, sending(tmp_path, clock, server) as forwarder:
        server.refuses = lambda line: REFUSALS[1] if "b.bad" in line else None
        for hour in range(30):
            await clock.sleep_until(START + timedelta(hours=hour))
            await forwarder.outbox.put([reading(hour), reading(hour, "b.bad.one")])
        await until_empty(forwarder)
    assert sum("refused for good" in record.getMessage() for record in caplog.records) == 1


# --- our own side --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_restart_between_arrival_and_note_changes_nothing(version: int, tmp_path: Path, clock: Clock) -> None:
    async with influx_server(version) as server:
        async with an_outbox(tmp_path, clock) as outbox, store_on(server) as store:
            await outbox.put([reading(minute) for minute in range(50)])
            parcel = await outbox.oldest()
            assert parcel is not None
            await store.send(parcel.lines)  # and here the power goes
        async with sending(tmp_path, clock, server) as forwarder:
            await until_empty(forwarder)
        assert stored(server) == all_of(50)
        assert server.overwritten == 50


async def test_a_disk_that_is_full_on_the_way_out_sends_again(tmp_path: Path, clock: Clock) -> None:
    async with influx_server() as server, sending(tmp_path, clock, server) as forwarder:
        settle = forwarder.outbox.settle

        async def full(*_: object) -> None:
            raise StoreError("the disk is full")

        forwarder.outbox.settle = full  # type: ignore[method-assign]
        await forwarder.outbox.put([reading(0)])
        await asyncio.sleep(60)
        assert forwarder.why == "the disk is full"
        forwarder.outbox.settle = settle  # type: ignore[method-assign]
        await until_empty(forwarder)
        assert stored(server) == all_of(1)


async def test_a_reading_is_in_the_store_before_it_is_in_the_outbox(tmp_path: Path, clock: Clock) -> None:
    async with SqliteStore(tmp_path, clock=clock) as store, an_outbox(tmp_path, clock) as outbox:
        both, put = Forwarding(store, outbox), outbox.put

        async def full(*_: object) -> None:
            raise StoreError("the disk is full")

        outbox.put = full  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="disk is full"):
            await both.append([reading(0)])
        outbox.put = put  # type: ignore[method-assign]
        await both.append([reading(0)])
        assert outbox.backlog.lines == 1
        window = await store.window("b.hall.temperature", START, START + MINUTE)
        assert window.value.tolist() == [0.0]
