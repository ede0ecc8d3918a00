"""Readings into store and outbox at 50,000 a second, and out of it again: `python -m bench.outbox [--seconds N]`.

The rate is offered as hubs are fed, in real time, and taken by the very task that keeps readings in the service; it is
sustained if nothing is dropped and nothing is left a second after the last. Then a back-log of an hour of 10,000 points
at one minute is drained into InfluxDB 1, where that is installed, while readings come on, and set against that hour.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.databases import DATABASE, database_server, program
from config.influx import Influx
from controller.hub import Hub
from controller.intake import keep_readings
from controller.ladder import Ladder
from controller.store.forward import Forwarding, forwarding
from controller.store.influx import InfluxStore
from controller.store.outbox import Outbox
from controller.store.sqlite import SqliteStore
from drivers.base import Reading
from drivers.clock import Clock

RATE, POINTS = 50_000, 10_000
TICK = timedelta(milliseconds=100)
GATHER = timedelta(milliseconds=200)
START = datetime(2023, 2, 6, tzinfo=UTC)
NAMES = [f"bench.zone_{n % 500}.point_{n}" for n in range(POINTS)]
HOUR = 60  # cycles of all points at one minute
BUDGET = 10**10


def cycle(number: int, *, every: timedelta) -> list[Reading]:
    """One reading of each point; values as sensors give them."""
    at = START + number * every
    return [
        Reading(point=name, time=at, received=at, value=20 + (7 * n + 3 * number) % 97 / 10)
        for n, name in enumerate(NAMES)
    ]


def parts(seconds: int) -> Iterator[list[Reading]]:
    """What is offered in each tick."""
    share = int(RATE * TICK.total_seconds())
    for number in range(seconds * RATE // POINTS):
        whole = cycle(number, every=timedelta(seconds=POINTS / RATE))
        yield from (whole[n : n + share] for n in range(0, POINTS, share))


async def offered(directory: Path, seconds: int) -> bool:
    """Offer the rate and say what came of it; whether it was sustained."""
    clock = Clock.real()
    readings, ladder = Hub[Reading](), Ladder(clock, changes=Hub())
    outbox = Outbox(directory, site="bench", clock=clock, budget_bytes=BUDGET)
    ticks = list(parts(seconds))  # to make them is not measured
    async with SqliteStore(directory, clock=clock) as store, outbox, asyncio.TaskGroup() as tasks:
        both = Forwarding(store, outbox)
        keeping = tasks.create_task(keep_readings(readings, both, ladder, gather=GATHER), name="store")
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        begun, cpu = loop.time(), time.process_time()
        late_s, total = 0.0, 0
        for n, tick in enumerate(ticks, 1):
            readings.publish(*tick)
            total += len(tick)
            await asyncio.sleep(max(0.0, begun + n * TICK.total_seconds() - loop.time()))
            late_s = max(late_s, loop.time() - begun - n * TICK.total_seconds())
        taken = outbox.backlog.lines
        await asyncio.sleep(1.0)
        left, wall_s, cpu_s = total - outbox.backlog.lines, loop.time() - begun - 1.0, time.process_time() - cpu
        keeping.cancel()
    sustained = not left and not readings.dropped and wall_s < 1.02 * seconds
    per_reading = outbox.backlog.bytes / total
    print(
        f"{total:,} readings offered in {wall_s:.1f} s ({total / wall_s:,.0f}/s, target {RATE:,}): {taken:,} in store"
        f" and outbox at its end, {left} left a second later, {readings.dropped} dropped"
        f" ({'sustained' if sustained else 'not sustained'})"
    )
    print(
        f"  {cpu_s / total * 1e6:.1f} us of processor a reading, the loop at most {late_s * 1000:.0f} ms late,"
        f" {per_reading:.1f} bytes a reading in the outbox"
    )
    return sustained


async def drained(directory: Path) -> None:
    """Drain an hour of readings while new ones come, and say how fast."""
    clock = Clock.real()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(database_server("influxd", directory / "influxdb"))
        options = Influx.model_validate({"version": 1, "url": server.url, "database": DATABASE})
        database = InfluxStore(options, site="bench", base=directory, clock=clock)
        outbox = Outbox(directory, site="bench", clock=clock, budget_bytes=BUDGET)
        async with outbox:
            for number in range(HOUR):
                await outbox.put(cycle(number, every=timedelta(minutes=1)))
        total = outbox.backlog.lines
        async with forwarding(outbox, database, clock) as forwarder, asyncio.TaskGroup() as tasks:
            begun, cpu = time.perf_counter(), time.process_time()
            coming = tasks.create_task(going_on(outbox), name="coming")
            while forwarder.sent < total:
                await asyncio.sleep(0.02)
            wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
            coming.cancel()
        rows = await server.ask("SELECT count(q) FROM reading")
    speed = HOUR * 60 / wall_s
    print(
        f"back-log of an hour, {total:,} readings, drained into InfluxDB 1 in {wall_s:.1f} s ({total / wall_s:,.0f}/s,"
        f" {cpu_s / total * 1e6:.1f} us of processor each) while new ones came: {speed:,.0f} times faster than real"
        f" time (target 20: {'met' if speed >= 20 else 'missed'}); the database counts {rows[0][1]:,}"
    )


async def going_on(outbox: Outbox) -> None:
    """Readings at the rate of real time: a part of the points each second."""
    share, number = -(-POINTS // 60), 0
    while True:
        whole = cycle(HOUR + number, every=timedelta(minutes=1))
        for n in range(0, POINTS, share):
            await outbox.put(whole[n : n + share])
            await asyncio.sleep(1.0)
        number += 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.outbox")
    parser.add_argument("--seconds", type=int, default=20, help="of offering (default %(default)s)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="plenum-") as folder:
        asyncio.run(offered(Path(folder), seconds))
    if program("influxd") is None:
        print("InfluxDB is not installed, nothing was drained; ./run test --servers fetches it", file=sys.stderr)
    else:
        with tempfile.TemporaryDirectory(prefix="plenum-") as folder:
            asyncio.run(drained(Path(folder)))
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
