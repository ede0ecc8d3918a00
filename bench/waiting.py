"""How long an append waits while days are sealed beside it, and a command until it is safe from a power cut."""

import asyncio
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from bench.sensors import APPEND, DAY, MINUTE, START, chunks, name
from controller.audit import Audit
from controller.leases import Intent, Leases
from controller.store import upkeep
from controller.store.base import AuditEntry, Lease
from controller.store.control import control_database
from controller.store.sqlite import SqliteStore
from drivers.base import Command, Reading, priority
from drivers.clock import Clock


async def waits(directory: Path) -> dict[str, float]:
    """Milliseconds an append of eighty waits, alone and while a quarter of a day of 300 points is sealed beside it."""
    clock = Clock(START)
    found: dict[str, float] = {}
    async with SqliteStore(directory, clock=clock) as store:
        for chunk in chunks(300, 360):
            for readings in chunk:
                await store.append(readings)
        found |= await _appends(store, "alone", START + DAY, rounds=1000)
        clock.epoch = START + timedelta(hours=8) - timedelta(seconds=asyncio.get_running_loop().time())
        with patch.object(upkeep, "PAUSE_S", 0.01):  # or this would take half a minute
            async with asyncio.TaskGroup() as tasks:
                tending = tasks.create_task(store.upkeep.tend(), name="tend")
                begun = time.perf_counter()
                found |= await _appends(store, "while_sealing", START + 2 * DAY, rounds=1000, until=tending.done)
                found["sealing_s"] = round(time.perf_counter() - begun, 1)
    return found


async def _appends(
    store: SqliteStore, key: str, start: datetime, *, rounds: int, until: Callable[[], bool] = lambda: False
) -> dict[str, float]:
    times: list[float] = []
    while len(times) < rounds and not until():
        when = start + len(times) * MINUTE
        batch = [Reading(point=name(n), time=when, received=when, value=20.0) for n in range(APPEND)]
        begun = time.perf_counter()
        await store.append(batch)
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(0.005)
    return {
        f"append_{key}_p{percent}_ms": round(statistics.quantiles(times, n=100)[percent - 1] * 1e3, 2)
        for percent in (50, 99)
    }


async def commands(directory: Path) -> dict[str, float]:
    """Milliseconds until a command, its lease, and thirty audit entries made together are safe from a power cut."""
    clock = Clock.real()
    expires = clock.now() + timedelta(minutes=30)
    wish = Command(point=name(0), value=20.5, priority=priority(13), expires=expires, reason="bench")
    lease = Lease(point=name(0), device="d", priority=13, value=20.5, expires=expires, decision="bench", epoch=0)
    entry = AuditEntry(
        time=expires,
        actor="bench",
        action="write",
        subject=name(0),
        old="",
        new="20.5",
        reason="bench",
        result="applied",
    )
    intents, thirties = [], []
    async with control_database(directory) as database:
        leases, audit = Leases(database, clock=clock), Audit(database)
        await leases.begin()
        for _ in range(200):
            begun = time.perf_counter()
            await leases.intend([Intent(command=wish, device="d", decision="bench")], leases=[lease])
            intents.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for n in range(30):
                    tasks.create_task(audit.record(entry), name=f"entry {n}")
            thirties.append(time.perf_counter() - begun)
    return {
        f"{name}_{label}_ms": round(statistics.quantiles(times, n=100)[percent - 1] * 1e3, 2)
        for name, times in (("command", intents), ("thirty_audit_entries", thirties))
        for label, percent in (("median", 50), ("p99", 99))
    }
