"""Readings in and out of the store, beside plain SQLite tables in the same run: `python -m bench.store`."""

import asyncio
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

from bench.sensors import DAY, KINDS, MINUTE, START, chunks, name, number
from bench.waiting import commands, waits
from controller.store import upkeep
from controller.store.readings import READINGS_FILE
from controller.store.sqlite import SqliteStore
from controller.store.stamp import micros
from drivers.base import Reading
from drivers.clock import Clock

MONTH = 30 * DAY
TARGET_BYTES, TARGET_WINDOW_MS = 8.0, 3.0


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


class Ours:
    """The store, its days sealed as they end."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / READINGS_FILE
        self._clock = Clock(START)
        self._store = SqliteStore(directory, clock=self._clock)
        self.sealing_s = 0.0

    async def open(self) -> None:
        await self._store.__aenter__()

    async def close(self) -> None:
        await self._store.__aexit__()

    async def append(self, appends: Sequence[Sequence[Reading]]) -> None:
        for readings in appends:
            await self._store.append(readings)

    async def tend(self, now: datetime) -> None:
        self._clock.epoch = now - timedelta(seconds=asyncio.get_running_loop().time())
        begun = time.process_time()
        with patch.object(upkeep, "PAUSE_S", 0.0):
            await self._store.upkeep.tend()
        self.sealing_s += time.process_time() - begun

    async def answers(self, end: datetime) -> dict[str, float]:
        """Milliseconds for a month of one point, of every kind: the slowest."""
        found: dict[str, float] = {}
        for kind in range(len(KINDS)):
            for key, ask in (
                ("window_30_days_ms", self._store.window),
                ("half_hours_30_days_ms", self._store.aggregate),
            ):
                best = float("inf")
                for _ in range(40):
                    begun = time.perf_counter()
                    await ask(name(kind), end - MONTH, end)
                    best = min(best, time.perf_counter() - begun)
                found[key] = max(found.get(key, 0.0), round(best * 1e3, 2))
        begun = time.perf_counter()
        await self._store.newest()
        return found | {"newest_ms": round((time.perf_counter() - begun) * 1e3, 2)}

    def bytes_by_kind(self) -> dict[str, float]:
        """Bytes a sealed reading."""
        with closing(sqlite3.connect(self._file)) as db:
            rows = db.execute("SELECT id & 0xffffff, sum(length(data)), count(*) FROM block GROUP BY 1 ORDER BY 1")
            return {KINDS[(series - 1) % len(KINDS)]: round(size / days / 1440, 2) for series, size, days in rows}

    def size(self) -> int:
        return self._file.stat().st_size


def ours(directory: Path, points: int, minutes: int) -> dict[str, object]:
    meter, end = Meter(), START + minutes * MINUTE
    with asyncio.Runner() as runner:
        store = Ours(directory)
        runner.run(store.open())
        done = 0
        for chunk in chunks(points, minutes):
            with meter.measure(sum(map(len, chunk))):
                runner.run(store.append(chunk))
            done += sum(map(len, chunk))
            runner.run(store.tend(START + done // points * MINUTE + timedelta(hours=1)))
        figures: dict[str, object] = {**meter.figures(), **runner.run(store.answers(end))}
        runner.run(store.close())
    figures["sealing_cpu_us"] = round(store.sealing_s / points / minutes * 1e6, 2)
    figures["bytes_per_reading"] = round(store.size() / points / minutes, 2)
    if minutes >= 1440:
        figures["bytes_by_kind"] = store.bytes_by_kind()
    return figures


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table without a store around it."""

    schema: str
    insert: str
    row: Callable[[Reading], tuple[object, ...]]
    series: str  # its column
    point: object  # what stands there for the one that is asked for
    moment: Callable[[datetime], object]
    half_hour: str


PLAIN = Table(  # as one writes it first: text times, an index for uniqueness
    schema="""CREATE TABLE reading (id INTEGER PRIMARY KEY, point TEXT NOT NULL, time TEXT NOT NULL, value REAL,
    quality TEXT NOT NULL, UNIQUE (point, time))""",
    insert="INSERT OR REPLACE INTO reading (point, time, value, quality) VALUES (?, ?, ?, ?)",
    row=lambda reading: (reading.point, reading.time.isoformat(), reading.value, reading.quality),
    series="point",
    point=name(0),
    moment=datetime.isoformat,
    half_hour="strftime('%s', time) / 1800",
)
CLUSTERED = Table(  # the best of plain tables: integers, clustered by series and time
    schema="""CREATE TABLE reading (series INTEGER NOT NULL, time INTEGER NOT NULL, value REAL, state INTEGER NOT NULL,
    PRIMARY KEY (series, time)) WITHOUT ROWID""",
    insert="INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?)",
    row=lambda reading: (number(reading.point), micros(reading.time), reading.value, 0),
    series="series",
    point=0,
    moment=micros,
    half_hour="time / 1800000000",
)


def beside(table: Table, directory: Path, points: int, minutes: int) -> dict[str, object]:
    """The same readings in the same appends."""
    meter, end = Meter(), START + minutes * MINUTE
    asked = (table.point, table.moment(end - MONTH), table.moment(end))
    where = f"FROM reading WHERE {table.series} = ? AND time >= ? AND time < ?"
    with closing(sqlite3.connect(directory / "plain.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(table.schema)
        for chunk in chunks(points, minutes):
            with meter.measure(sum(map(len, chunk))):
                for readings in chunk:
                    rows = [table.row(reading) for reading in readings]
                    db.execute("BEGIN")
                    db.executemany(table.insert, rows)
                    db.execute("COMMIT")
        figures: dict[str, object] = {**meter.figures()}
        window = f"SELECT time, value {where} ORDER BY time"
        figures["window_30_days_ms"] = best_ms(lambda: db.execute(window, asked).fetchall())
        half_hours = f"SELECT {table.half_hour}, avg(value), min(value), max(value), count(*) {where} GROUP BY 1"
        figures["half_hours_30_days_ms"] = best_ms(lambda: db.execute(half_hours, asked).fetchall())
    figures["bytes_per_reading"] = round((directory / "plain.sqlite").stat().st_size / points / minutes, 2)
    return figures


def stamps() -> float:
    """Microseconds to convert one moment."""
    times = [START + n * MINUTE for n in range(10_000)]
    begun = time.perf_counter()
    for when in times:
        micros(when)
    return round((time.perf_counter() - begun) / len(times) * 1e6, 2)


def verdict(result: dict[str, object]) -> str:
    """The two figures that matter, beside what was aimed at."""
    size, window = float(str(result["bytes_per_reading"])), float(str(result["window_30_days_ms"]))
    met = "met" if size <= TARGET_BYTES and window <= TARGET_WINDOW_MS else "missed"
    return (
        f"{size} bytes a reading, {window} ms for 30 days of one point as arrays"
        f" (targets {TARGET_BYTES:g} and {TARGET_WINDOW_MS:g}: {met})"
    )


def main() -> None:
    results: dict[str, object] = {"microseconds to convert a moment": stamps()}
    kinds: dict[str, Callable[[Path, int, int], dict[str, object]]] = {
        "ours": ours,
        "clustered table": partial(beside, CLUSTERED),
        "plain table": partial(beside, PLAIN),
    }
    for title, points, minutes in (
        ("18 points, 35 days and a half", 18, 51_120),
        ("10,000 points, 20 minutes", 10_000, 20),
    ):
        for kind, run in kinds.items():
            with tempfile.TemporaryDirectory() as directory:
                results[f"{title}: {kind}"] = found = run(Path(directory), points, minutes)
            if kind == "ours" and minutes > 1440:
                results["verdict"] = verdict(found)
    with tempfile.TemporaryDirectory() as directory:
        results["sealing beside appends"] = asyncio.run(waits(Path(directory)))
    with tempfile.TemporaryDirectory() as directory:
        results["commands and audit, synchronous FULL"] = asyncio.run(commands(Path(directory)))
    results["peak memory, MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if "--json" in sys.argv:
        print(json.dumps(results, indent=2))
        return
    for title, result in results.items():
        if isinstance(result, dict):
            print(title, *(f"    {key:26} {value}" for key, value in result.items()), sep="\n")
        else:
            print(f"{title}: {result}")


if __name__ == "__main__":
    main()
