"""Readings in and out of the store, beside a plain SQLite table in the same run: `python -m bench.store`."""

import asyncio
import itertools
import json
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controller.audit import Audit
from controller.leases import Intent, Leases
from controller.store.base import AuditEntry, Lease
from controller.store.control import control_database
from controller.store.sqlite import SqliteStore
from controller.store.stamp import micros
from drivers.base import Command, Reading, priority
from drivers.clock import Clock

START = datetime(2023, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POINT = "bench.zone_3.temperature"
APPEND = 80  # readings, at least: a town hall's minute
CHUNK = 200_000  # readings held in memory at once

_ROWID = """CREATE TABLE reading (id INTEGER PRIMARY KEY, point TEXT NOT NULL, time TEXT NOT NULL, value REAL,
quality TEXT NOT NULL, UNIQUE (point, time))"""

_PLAIN = "FROM reading WHERE point = ? AND time < ?"


def cycles(points: int, minutes: int) -> Iterator[list[Reading]]:
    names = [f"bench.zone_{n}.temperature" for n in range(points)]
    for minute in range(minutes):
        when = START + minute * MINUTE
        yield [
            Reading(point=name, time=when, received=when, value=20 + (7 * n + minute) % 97 / 100)
            for n, name in enumerate(names)
        ]


class Meter:
    """Wall and processor time and bytes handed to the system, summed over the blocks measured."""

    def __init__(self) -> None:
        self.rows, self.wall_s, self.cpu_s, self.written = 0, 0.0, 0.0, 0

    @contextmanager
    def measure(self, rows: int) -> Iterator[None]:
        wall, cpu, written = time.perf_counter(), time.process_time(), _written()
        yield
        self.rows += rows
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += time.process_time() - cpu
        self.written += _written() - written

    def figures(self) -> dict[str, float]:
        return {
            "wall_us": round(self.wall_s / self.rows * 1e6, 2),
            "cpu_us": round(self.cpu_s / self.rows * 1e6, 2),
            "rows_per_s": round(self.rows / self.wall_s),
            "bytes_written_per_row": round(self.written / self.rows),
        }


def _written() -> int:
    """Bytes written so far by this process; 0 where the system does not say."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    return next(int(line.split()[1]) for line in counters.read_text().splitlines() if line.startswith("wchar"))


def best_ms(call: Callable[[], object], times: int = 5) -> float:
    best = float("inf")
    for _ in range(times):
        begun = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begun)
    return round(best * 1e3, 2)


def chunks(points: int, minutes: int) -> Iterator[list[list[Reading]]]:
    """Appends, of at least `APPEND` readings each, in parts that fit into memory; making them is not measured."""
    source = cycles(points, minutes)
    together = -(-APPEND // points)
    while chunk := list(itertools.islice(source, max(together, CHUNK // points))):
        yield [list(itertools.chain(*chunk[n : n + together])) for n in range(0, len(chunk), together)]


def ours(directory: Path, points: int, minutes: int) -> dict[str, float]:
    meter, end = Meter(), START + minutes * MINUTE
    with asyncio.Runner() as runner:
        store = SqliteStore(directory, clock=Clock(START))

        async def fill(chunk: list[list[Reading]]) -> None:
            for cycle in chunk:
                await store.append(cycle)

        runner.run(store.__aenter__())
        for chunk in chunks(points, minutes):
            with meter.measure(sum(map(len, chunk))):
                runner.run(fill(chunk))
        figures = meter.figures()
        figures["window_ms"] = best_ms(lambda: runner.run(store.window(POINT, START, end)))
        figures["half_hours_ms"] = best_ms(lambda: runner.run(store.aggregate(POINT, START, end)))
        figures["newest_ms"] = best_ms(lambda: runner.run(store.newest()))
        runner.run(store.__aexit__())
    figures["bytes_per_row"] = round((directory / "readings.sqlite").stat().st_size / points / minutes, 1)
    return figures


def plain(directory: Path, points: int, minutes: int) -> dict[str, float]:
    """A table as one writes it first: text times, an index for uniqueness, one transaction a cycle."""
    meter, query = Meter(), (POINT, (START + minutes * MINUTE).isoformat())
    with closing(sqlite3.connect(directory / "plain.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(_ROWID)
        for chunk in chunks(points, minutes):
            with meter.measure(sum(map(len, chunk))):
                for cycle in chunk:
                    rows = [(r.point, r.time.isoformat(), r.value, r.quality) for r in cycle]
                    db.execute("BEGIN")
                    db.executemany(
                        "INSERT OR REPLACE INTO reading (point, time, value, quality) VALUES (?, ?, ?, ?)", rows
                    )
                    db.execute("COMMIT")
        figures = meter.figures()
        window = f"SELECT time, value {_PLAIN} ORDER BY time"
        figures["window_ms"] = best_ms(lambda: db.execute(window, query).fetchall())
        half_hours = (
            f"SELECT strftime('%s', time) / 1800, avg(value), min(value), max(value), count(*) {_PLAIN} GROUP BY 1"
        )
        figures["half_hours_ms"] = best_ms(lambda: db.execute(half_hours, query).fetchall())
    figures["bytes_per_row"] = round((directory / "plain.sqlite").stat().st_size / points / minutes, 1)
    return figures


async def commands(directory: Path) -> dict[str, float]:
    """Milliseconds until a command, its lease, and thirty audit entries made together are safe from a power cut."""
    clock = Clock.real()
    expires = clock.now() + timedelta(minutes=30)
    wish = Command(point=POINT, value=20.5, priority=priority(13), expires=expires, reason="bench")
    lease = Lease(point=POINT, device="d", priority=13, value=20.5, expires=expires, decision="bench", epoch=0)
    entry = AuditEntry(
        time=expires, actor="bench", action="write", subject=POINT, old="", new="20.5", reason="bench", result="applied"
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


def stamps() -> float:
    """Microseconds to convert one moment."""
    times = [START + n * MINUTE for n in range(10_000)]
    begun = time.perf_counter()
    for when in times:
        micros(when)
    return round((time.perf_counter() - begun) / len(times) * 1e6, 2)


def main() -> None:
    results: dict[str, object] = {"microseconds to convert a moment": stamps()}
    for name, points, minutes in (
        ("80 points, 5 days", 80, 5 * 1440),
        ("4 points, 30 days", 4, 30 * 1440),
        ("10,000 points, 1 hour", 10_000, 60),
    ):
        for run in (ours, plain):
            with tempfile.TemporaryDirectory() as directory:
                results[f"{name}: {run.__name__}"] = run(Path(directory), points, minutes)
    with tempfile.TemporaryDirectory() as directory:
        results["commands and audit, synchronous FULL"] = asyncio.run(commands(Path(directory)))
    results["peak memory, MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if "--json" in sys.argv:
        print(json.dumps(results, indent=2))
        return
    for name, result in results.items():
        print(name, *(f"    {key:26} {value}" for key, value in result.items()), sep="\n") if isinstance(
            result, dict
        ) else print(name, result)


if __name__ == "__main__":
    main()
