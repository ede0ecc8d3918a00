"""The page of a point's month at one minute, as a browser asks for it: `python -m bench.history`.

The town hall's own service over a store with a month of its zones' temperatures and setpoints; the temperature stands
beside its setpoint, so a page reads two series. Asked in-process: no socket is measured.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np

from bench.site import example
from config.roles import Role
from config.site import Site
from controller.backend.backend import Setting, backend
from controller.learned import load
from controller.store.sqlite import SqliteStore
from controller.web.app import make_app
from drivers.base import Reading
from drivers.clock import Clock
from site_sims.live import controlled
from site_sims.prelude import beginning, live_before, model_file
from site_sims.virtual_time import VirtualTimeLoop

DAYS, TIMES, TARGET_MS = 31, 200, 200.0
POINT = "townhall.hall.temperature"
HOUR = timedelta(hours=1)
WINDOWS = ("hour", "day", "week", "month")


def readings(site: Site, end: datetime) -> Iterator[list[Reading]]:
    """A month of one-minute readings of the zones, hour by hour, oldest first, sensors noisy."""
    noise = np.random.default_rng(1)
    points = [*site.by_role(Role.ZONE_TEMPERATURE), *site.by_role(Role.HEATING_SETPOINT)]
    for hour in range(DAYS * 24, 0, -1):
        start = end - hour * HOUR
        wanted = 20.5 if 6 <= start.hour < 18 else 16.0
        shown = np.round(wanted - 1.0 + noise.normal(0.0, 0.15, (60, len(points))), 1).tolist()
        yield [
            Reading(
                point=point.id,
                time=start + minute * HOUR / 60,
                received=start + minute * HOUR / 60,
                value=wanted if point.role is Role.HEATING_SETPOINT else shown[minute][n],
            )
            for minute in range(60)
            for n, point in enumerate(points)
        ]


async def fill(directory: Path, site: Site, end: datetime) -> int:
    """The month as it lies on disk when it is over: all days but the last sealed."""
    count = 0
    async with SqliteStore(directory, clock=Clock(end)) as store:
        for hour in readings(site, end):
            await store.append(hour)
            count += len(hour)
        await store.upkeep.tend()
    return count


async def measure(directory: Path) -> dict[str, list[float]]:
    """Milliseconds of each page, asked one after the other while the service runs."""
    site = example()
    past = live_before(site, seed=1, span=timedelta(hours=3))
    clock = Clock(beginning(site))
    async with (
        controlled(
            site, past.building, clock, directory=directory, learned=load(model_file(site), site), history=past.history
        ) as service,
        backend(service, Setting()) as shown,
    ):
        app = make_app(shown, clock=clock)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return {span: [await _ask(client, span) for _ in range(TIMES)] for span in WINDOWS}


async def _ask(client: httpx.AsyncClient, span: str) -> float:
    begun = time.perf_counter()
    answer = await client.get(f"/points/{POINT}/history", params={"span": span})
    took_ms = (time.perf_counter() - begun) * 1e3
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
    return took_ms


def main() -> int:
    site = example()
    with tempfile.TemporaryDirectory(prefix="plenum-") as folder:
        directory, end = Path(folder), beginning(site)
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            print(f"{runner.run(fill(directory, site, end)):,} readings in the store", flush=True)
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            times = runner.run(measure(directory))
    for span, took in times.items():
        median, worst = statistics.median(took), statistics.quantiles(took, n=100)[98]
        target = f" (target {TARGET_MS:.0f} ms)" if span == "month" else ""
        print(f"{span:>6}: median {median:.1f} ms, p99 {worst:.1f} ms of {len(took)} pages{target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
