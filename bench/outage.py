"""InfluxDB killed under `plenum run`, away for minutes, and back: `python -m bench.outage [--minutes N]`, in real time.

Afterwards the database must hold what the embedded store holds, row by row. BACnet is polled each second, so that a
town hall makes as much of it as a large building does at one minute.
"""

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.databases import DATABASE, Server, database_server, program
from bench.field import field_process
from bench.kill import end_guard, in_control, rows, service, site_copy
from config.influx import Influx
from config.load import load_site
from config.site import Site
from controller.store.base import Store
from controller.store.forward import forwarding
from controller.store.influx import InfluxStore
from controller.store.outbox import OUTBOX_FILE, Outbox
from controller.store.sqlite import SqliteStore
from drivers.clock import Clock

BEFORE_S, AFTER_S = 20.0, 10.0
PATIENCE_S = 120.0
LOOK_S = 0.05
WAITING = "SELECT value FROM tally WHERE name = 'lines'"


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What happened to a back-log."""

    away_s: float
    readings: int  # that waited when the database came back
    drained_s: float  # from its first answer until nothing waited


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What the database has, against the store."""

    stored: int
    lost: int
    changed: int
    doubled: int


def with_database(site_file: Path, server: Server) -> Site:
    """Let the site's readings go on to the server."""
    text = site_file.read_text(encoding="utf-8")
    influx = f"influx: {{version: 1, url: '{server.url}', database: {DATABASE}}}"
    site_file.write_text(text.replace("store: {path: data}", f"store: {{path: data, {influx}}}"), encoding="utf-8")
    site = load_site(site_file)
    if site.store.influx is None:
        raise RuntimeError(f"{site_file.name} has no 'store: {{path: data}}' any more")
    return site


def waiting(directory: Path) -> int:
    """Readings in the outbox of a running service."""
    return sum(count for (count,) in rows(directory / OUTBOX_FILE, WAITING))


async def endure(directory: Path, server: Server, away_s: float) -> Outage:
    """Kill the database, start it again after that time, and wait until all has followed. Raises TimeoutError."""
    await server.end(signal.SIGKILL)
    begun = time.perf_counter()
    await asyncio.sleep(away_s)
    readings = waiting(directory)
    await server.start()
    back = time.perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        while waiting(directory):
            await asyncio.sleep(LOOK_S)
    return Outage(away_s=back - begun, readings=readings, drained_s=time.perf_counter() - back)


async def compare(directory: Path, site: Site, influx: Influx, server: Server, since: datetime) -> Difference:
    """Send what the service has left behind, then hold the two against each other."""
    clock = Clock.real()
    database = InfluxStore(influx, site=site.id, base=directory, clock=clock)
    outbox = Outbox(directory, site=site.id, clock=clock, budget_bytes=influx.outbox_mb * 1_000_000)
    async with forwarding(outbox, database, clock), asyncio.timeout(PATIENCE_S):
        while outbox.backlog.lines:
            await asyncio.sleep(LOOK_S)
    stored = lost = changed = 0
    until = clock.now() + timedelta(days=1)
    async with SqliteStore(directory, clock=clock) as store, database:
        for point in site.points:
            ours, theirs = await both(store, database, point, since, until)
            stored += len(ours)
            lost += len(ours.keys() - theirs.keys())
            changed += sum(ours[at] != theirs[at] for at in ours.keys() & theirs.keys())
    ((_, count),) = await server.ask("SELECT count(q) FROM reading")
    return Difference(stored=stored, lost=lost, changed=changed, doubled=count - stored + lost)


async def both(
    store: Store, database: Store, point: str, start: datetime, end: datetime
) -> tuple[dict[float, tuple[float, int]], dict[float, tuple[float, int]]]:
    """Value (0 where there is none) and quality of a point by time, here and there."""
    found = []
    for source in (store, database):
        window = await source.window(point, start, end)
        pairs = zip(np.nan_to_num(window.value).tolist(), window.quality.tolist(), strict=True)
        found.append(dict(zip(window.time_s.tolist(), pairs, strict=True)))
    return found[0], found[1]


async def measure(minutes: float) -> bool:
    """Print what an outage of that length cost; whether it cost nothing."""
    since = Clock.real().now() - timedelta(hours=1)
    with TemporaryDirectory(prefix="plenum-") as folder:
        site_file = site_copy(Path(folder))
        directory = site_file.parent / "data"
        async with database_server("influxd", Path(folder) / "influxdb") as server:
            site = with_database(site_file, server)
            try:
                async with field_process(site_file, real=True), service(site_file) as process:
                    await in_control(directory, 0, time.perf_counter())
                    await asyncio.sleep(BEFORE_S)
                    outage = await endure(directory, server, minutes * 60)
                    await asyncio.sleep(AFTER_S)
                    process.terminate()
                    if await process.wait():
                        raise RuntimeError(f"the service ended with {process.returncode}")  # noqa: TRY301
                if site.store.influx is None:
                    raise RuntimeError("no database")  # noqa: TRY301
                found = await compare(directory, site, site.store.influx, server, since)
            except (RuntimeError, TimeoutError, ExceptionGroup):
                print((Path(folder) / "service.log").read_text(encoding="utf-8")[-4000:], file=sys.stderr)
                raise
            finally:
                end_guard(directory)
    well = not (found.lost or found.changed or found.doubled)
    speed = outage.away_s / max(outage.drained_s, 1e-9)
    print(
        f"InfluxDB killed and away for {outage.away_s / 60:.1f} min: {outage.readings:,} readings waited and followed"
        f" within {outage.drained_s:.1f} s of its return ({speed:,.0f} times faster than real time, with the pause"
        " before the next attempt)"
    )
    print(
        f"  of {found.stored:,} readings in the store {found.lost} were lost on the way, {found.changed} changed,"
        f" {found.doubled} doubled (target 0: {'met' if well else 'missed'})"
    )
    return well


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.outage")
    parser.add_argument("--minutes", type=float, default=10.0, help="of outage (default %(default)s)")
    minutes = parser.parse_args().minutes
    if program("influxd") is None:
        print("InfluxDB is not installed; ./run test --servers fetches it", file=sys.stderr)
        return 0
    return int(not asyncio.run(measure(minutes)))


if __name__ == "__main__":
    sys.exit(main())
