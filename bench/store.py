"""Readings in and out of the store, beside a plain SQLite table in the same run: `python -m bench.store`."""

import asyncio
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controller.store.sqlite import SqliteStore
from controller.store.stamp import micros
from drivers.base import Reading
from drivers.clock import Clock

START = datetime(2023, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAYS = 30

_ROWID = """CREATE TABLE reading (id INTEGER PRIMARY KEY, point TEXT NOT NULL, time TEXT NOT NULL, value REAL,
quality TEXT NOT NULL, UNIQUE (point, time))"""


def cycles(points: int, minutes: int) -> Iterator[list[Reading]]:
    names = [f"bench.zone_{n}.temperature" for n in range(points)]
    for minute in range(minutes):
        when = START + minute * MINUTE
        yield [
            Reading(point=name, time=when, received=when, value=20 + (7 * n + minute) % 97 / 100)
            for n, name in enumerate(names)
        ]


@contextmanager
def measured(rows: int) -> Iterator[dict[str, float]]:
    """Microseconds of wall and processor time a row, and bytes handed to the system for writing."""
    figures: dict[str, float] = {}
    wall, cpu, written = time.perf_counter(), time.process_time(), _written()
    yield figures
    figures["wall_us"] = round((time.perf_counter() - wall) / rows * 1e6, 2)
    figures["cpu_us"] = round((time.process_time() - cpu) / rows * 1e6, 2)
    figures["rows_per_s"] = round(1e6 / figures["wall_us"])
    figures["bytes_written_per_row"] = round((_written() - written) / rows)


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


def ours(directory: Path, points: int, minutes: int) -> dict[str, float]:
    point, end = "bench.zone_3.temperature", START + timedelta(days=DAYS)
    made = list(cycles(points, minutes))
    with asyncio.Runner() as runner:
        store = SqliteStore(directory, clock=Clock(START), keep_days=800)

        async def fill() -> None:
            for cycle in made:
                await store.append(cycle)

        runner.run(store.__aenter__())
        with measured(points * minutes) as figures:
            runner.run(fill())
        figures["window_ms"] = best_ms(lambda: runner.run(store.window(point, START, end)))
        figures["half_hours_ms"] = best_ms(lambda: runner.run(store.aggregate(point, START, end)))
        figures["newest_ms"] = best_ms(lambda: runner.run(store.newest()))
        runner.run(store.__aexit__())
    figures["bytes_per_row"] = round((directory / "readings.sqlite").stat().st_size / points / minutes, 1)
    return figures


def plain(directory: Path, points: int, minutes: int) -> dict[str, float]:
    """A table as one writes it first: text times, an index for uniqueness, one transaction a cycle."""
    made = list(cycles(points, minutes))
    point, end = "bench.zone_3.temperature", (START + timedelta(days=DAYS)).isoformat()
    with closing(sqlite3.connect(directory / "plain.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(_ROWID)
        with measured(points * minutes) as figures:
            for cycle in made:
                db.execute("BEGIN")
                db.executemany(
                    "INSERT OR REPLACE INTO reading (point, time, value, quality) VALUES (?, ?, ?, ?)",
                    [(r.point, r.time.isoformat(), r.value, r.quality) for r in cycle],
                )
                db.execute("COMMIT")
        window = "FROM reading WHERE point = ? AND time < ?"
        figures["window_ms"] = best_ms(
            lambda: db.execute(f"SELECT time, value {window} ORDER BY time", (point, end)).fetchall()
        )
        half_hours = (
            f"SELECT strftime('%s', time) / 1800, avg(value), min(value), max(value), count(*) {window} GROUP BY 1"
        )
        figures["half_hours_ms"] = best_ms(lambda: db.execute(half_hours, (point, end)).fetchall())
    figures["bytes_per_row"] = round((directory / "plain.sqlite").stat().st_size / points / minutes, 1)
    return figures


def stamps() -> float:
    """Microseconds to convert one moment."""
    times = [START + n * MINUTE for n in range(10_000)]
    begun = time.perf_counter()
    for when in times:
        micros(when)
    return round((time.perf_counter() - begun) / len(times) * 1e6, 2)


def main() -> None:
    results: dict[str, object] = {"stamp_us": stamps()}
    for name, points, minutes in (("town hall, 30 days", 80, DAYS * 1440), ("10,000 points, 1 hour", 10_000, 60)):
        for run in (ours, plain):
            with tempfile.TemporaryDirectory() as directory:
                figures = run(Path(directory), points, minutes)
            results[f"{name}: {run.__name__}"] = figures
            if "--json" not in sys.argv:
                print(f"{name:24} {run.__name__:6}", *(f"{key} {value}" for key, value in figures.items()), sep="  ")
    results["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if "--json" in sys.argv:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
