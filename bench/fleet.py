"""10,000 points at one-minute polling through supervisors, gate, hub, state, store: `python -m bench.fleet [--real]`.

Says the share of one core, the memory and what was dropped. Without `--real` an hour passes in virtual time and the
processor time is set against it; with it three minutes pass on the ordinary loop (which also pays for waking up).
"""

import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from config.site import Point, Site
from controller.hub import Buffer, Hub
from controller.state import State
from controller.store.sqlite import SqliteStore
from controller.supervisor import DeviceEvent, Link, run_device
from controller.validation.gate import Gate
from drivers.base import Driver, Reading
from drivers.clock import Clock
from site_sims.virtual_time import VirtualTimeLoop

DEVICES, POINTS = 200, 50
APPEND_EVERY_S = 5.0
START = datetime(2023, 2, 6, tzinfo=UTC)


class Simulated(Driver):
    """Answers at once: what is measured is everything behind the driver."""

    def __init__(self, points: Sequence[Point], clock: Clock, seed: int) -> None:
        super().__init__(points)
        self._clock, self._count = clock, seed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def read(self, points: Sequence[Point]) -> list[Reading]:
        now = self._clock.now()
        self._count += 1
        return [
            Reading(point=point.id, time=now, received=now, value=20 + (self._count * 7 + n) % 97 / 100)
            for n, point in enumerate(points)
        ]


def fleet() -> Site:
    devices = [
        {
            "id": f"controller_{d}",
            "driver": "bench",
            "points": [
                {"id": f"bench.room_{d}.value_{n}", "unit": "degC", "address": f"analog-input,{n}"}
                for n in range(POINTS)
            ],
        }
        for d in range(DEVICES)
    ]
    band = {"low": 19, "high": 24}
    zone = {"id": "room", "name": "Room", "area_m2": 50, "comfort": {"occupied": band, "unoccupied": band}}
    return Site.model_validate(
        {
            "id": "bench",
            "name": "Bench",
            "timezone": "Europe/London",
            "location": {"latitude": 51.5, "longitude": 0.0},
            "buildings": [{"id": "bench", "name": "Bench", "floor_area_m2": 50, "zones": [zone]}],
            "devices": devices,
        }
    )


async def _know(state: State, buffer: Buffer[Reading]) -> None:
    while True:
        state.update(await buffer.batch())


async def _keep(store: SqliteStore, buffer: Buffer[Reading]) -> None:
    while True:
        await asyncio.sleep(APPEND_EVERY_S)
        await store.append(buffer.take())


async def run(directory: Path, minutes: int, clock: Clock) -> dict[str, float]:
    site, hub, events = fleet(), Hub[Reading](), Hub[DeviceEvent]()
    state, gate = State(site), Gate(site, hub, Hub())
    begin = clock.now()
    points = DEVICES * POINTS
    async with SqliteStore(directory, clock=clock) as store:
        with hub.subscribe(size=4 * points) as stored, hub.subscribe(latest=lambda r: r.point) as newest:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_keep(store, stored), name="store"),
                    group.create_task(_know(state, newest), name="state"),
                ]
                for seed, device in enumerate(site.devices):
                    work = run_device(
                        device,
                        lambda points=device.points, seed=seed: Simulated(points, clock, seed),  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
                        gate,
                        events=events,
                        clock=clock,
                        link=Link(device),
                    )
                    tasks.append(group.create_task(work, name=device.id))
                await asyncio.sleep(90)  # the first poll of every device, and the points' names
                gc.collect()
                cpu, since, kept = time.process_time(), clock.now(), len(await store.newest())
                await asyncio.sleep(minutes * 60)
                cpu, seconds = time.process_time() - cpu, (clock.now() - since).total_seconds()
                for task in tasks:
                    task.cancel()
        begin_s, end = begin.timestamp(), clock.now() + timedelta(minutes=1)
        window = await store.window("bench.room_7.value_7", begin, end)
        gaps = window.time_s[1:] - window.time_s[:-1]
        return {
            "points": kept,
            "minutes": minutes,
            "core_share_pct": round(100 * cpu / seconds, 2),
            "cpu_us_per_reading": round(cpu / (points * seconds / 60) * 1e6, 2),
            "dropped": hub.dropped,
            "known": sum(state.reading(point) is not None for point in site.points),
            "readings_of_one_point": len(window.value),
            "longest_gap_s": round(float(gaps[1:].max()), 1),
            "first_after_s": round(float(window.time_s[0]) - begin_s, 1),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def main() -> None:
    real = "--real" in sys.argv

    async def begin(directory: str) -> dict[str, float]:
        return await run(Path(directory), 3 if real else 60, Clock.real() if real else Clock(START))

    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=None if real else VirtualTimeLoop) as runner,
    ):
        figures = runner.run(begin(directory))
    if "--json" in sys.argv:
        print(json.dumps(figures, indent=2))
    else:
        print(*(f"{name:24} {value}" for name, value in figures.items()), sep="\n")
        print("target: at most 5 % of one core, below 300 MB, nothing dropped")
    if figures["core_share_pct"] > 5 or figures["peak_memory_mb"] >= 300 or figures["dropped"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
