"""Puts readings into store and outbox and sends them on, and says what has been acknowledged, until killed.

Run as `python outbox_child.py DIRECTORY RUN URL`; one line on standard output per acknowledged batch: its number.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.influx import Influx
from controller.store.forward import Forwarding, forwarding
from controller.store.influx import InfluxStore
from controller.store.outbox import Outbox
from controller.store.sqlite import SqliteStore
from drivers.base import Reading
from drivers.clock import Clock

POINTS = 20
START = datetime(2023, 2, 6, tzinfo=UTC)


def batch(run: int, number: int) -> list[Reading]:
    at = START + timedelta(seconds=number)
    return [
        Reading(point=f"kill.run_{run}.value_{n}", time=at, received=at, value=run * 1e6 + number + n / 100)
        for n in range(POINTS)
    ]


async def main(directory: Path, run: int, url: str) -> None:
    clock = Clock.real()
    options = Influx.model_validate({"version": 1, "url": url, "database": "plenum"})
    database = InfluxStore(options, site="s", base=directory, clock=clock)
    outbox = Outbox(directory, site="s", clock=clock, budget_bytes=10**9)
    async with SqliteStore(directory, clock=clock) as store, forwarding(outbox, database, clock):
        both, number = Forwarding(store, outbox), 0
        while True:
            await both.append(batch(run, number))
            os.write(1, f"{number}\n".encode())  # straight to the pipe: no buffer to lose
            number += 1
            await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
