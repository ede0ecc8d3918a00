"""`plenum run` killed with -9 at random moments, in real time over real packets: `python -m bench.kill [--times N]`.

What its files held before a kill must still be there afterwards: a reading, command or audit row is acknowledged once
it is committed. While it is dead a device loses our values, as in a power cut; it is in control again with the first
command of its new run that was applied and read back.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.field import FieldProcess, field_process
from bench.site import free_port, moved
from controller.audit import verify
from controller.guarding import LOCK_FILE
from controller.store.control import CONTROL_FILE
from controller.store.readings import READINGS_FILE, every_reading

TIMES = 20
MOMENTS_S = (0.1, 20.0)  # after the start
TARGET_S = 10.0
PATIENCE_S = 60.0
LOOK_S = 0.05
FORGETFUL = "zones_a"  # device that loses our values while we are dead

COMMANDS = "SELECT id, decision, point, value, epoch, result FROM command"
AUDIT = "SELECT id, hash FROM audit"
APPLIED = "SELECT count(*) FROM command WHERE epoch = ? AND result = 'applied'"
EPOCH = "SELECT value FROM epoch"


def rows(file: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What a file of the service holds; nothing while it, or the table, is not there yet."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as db:
            return db.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if any(word in str(error) for word in ("unable to open", "no such table")):
            return []
        raise


def _readings(directory: Path) -> list[tuple[Any, ...]]:
    """All that is stored of readings, sealed or not; nothing while there is no file."""
    file = directory / READINGS_FILE
    if not rows(file, "SELECT 1 FROM pragma_user_version WHERE user_version > 0"):
        return []
    with closing(sqlite3.connect(file)) as db:
        return list(every_reading(db))


@dataclass(frozen=True, kw_only=True)
class Kept:
    """All that is committed at a moment."""

    readings: frozenset[tuple[Any, ...]]
    commands: dict[int, tuple[Any, ...]]  # by number: what was ordered, and its result
    audit: frozenset[tuple[Any, ...]]

    @classmethod
    def of(cls, directory: Path) -> "Kept":
        control = directory / CONTROL_FILE
        return cls(
            readings=frozenset(_readings(directory)),
            commands={number: told for number, *told in rows(control, COMMANDS)},  # type: ignore[misc]  # the rest of a row is a list
            audit=frozenset(rows(control, AUDIT)),
        )

    def lost(self, later: "Kept") -> int:
        """Rows of ours that are gone, or say something else; a command may get its result later."""
        gone = len(self.readings - later.readings) + len(self.audit - later.audit)
        for number, (*order, result) in self.commands.items():
            *found, answer = later.commands.get(number, (None,))
            gone += found != order or (result is not None and answer != result)
        return gone


@dataclass
class Toll:
    """What a number of kills cost."""

    kept: Kept
    lost: int = 0
    broken: int = 0  # times the audit's chain did not hold
    recovered_s: list[float] = field(default_factory=list)  # start to first applied command
    too_short: int = 0  # runs killed before that

    def look(self, directory: Path) -> None:
        """Compare what is kept now with what was kept before."""
        now = Kept.of(directory)
        self.lost += self.kept.lost(now)
        self.broken += now.commands != {} and verify(directory) is not None
        self.kept = now


def site_copy(folder: Path) -> Path:
    """The town hall in a folder of its own: free ports, BACnet polled every second so that much is on its way."""
    text = moved().replace("path: data/townhall", "path: data").replace("port: 8080", f"port: {free_port()}")
    path = folder / "townhall.yaml"
    path.write_text(re.sub(r"( +)driver: bacnet\n", r"\g<0>\1poll: PT1S\n", text), encoding="utf-8")
    return path


@asynccontextmanager
async def service(site_file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`plenum run`, killed at the end of the block unless it has ended by itself."""
    with (site_file.parent / "service.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller", "run", str(site_file), stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def in_control(directory: Path, before: int, begun: float) -> float:
    """Seconds from the start to the first applied command of a run later than epoch `before`; waits for it."""
    control = directory / CONTROL_FILE
    while True:
        epoch = max((value for (value,) in rows(control, EPOCH)), default=0)
        if epoch > before and rows(control, APPLIED, epoch)[0][0]:
            return time.perf_counter() - begun
        await asyncio.sleep(LOOK_S)


async def kill_often(
    site_file: Path, world: FieldProcess, *, moments_s: Iterable[float], in_control_first: bool = False
) -> Toll:
    """Start and kill the service that long after each start, then start it once more and let it end in order.

    With `in_control_first` the moments count from when it is in control. Raises TimeoutError if it does not come back,
    RuntimeError if it ends by itself or not well.
    """
    directory = site_file.parent / "data"
    toll = Toll(kept=Kept.of(directory))
    for moment in moments_s:
        async with service(site_file) as process:
            begun = time.perf_counter()
            before = max((value for (value,) in rows(directory / CONTROL_FILE, EPOCH)), default=0)
            try:
                async with asyncio.timeout(PATIENCE_S if in_control_first else moment):
                    toll.recovered_s.append(await in_control(directory, before, begun))
            except TimeoutError:
                if in_control_first:
                    raise
                toll.too_short += 1
            since = time.perf_counter() if in_control_first else begun
            await asyncio.sleep(max(0.0, since + moment - time.perf_counter()))
            toll.look(directory)
            if process.returncode is not None:
                raise RuntimeError(f"the service ended by itself with {process.returncode}; see its log")
            process.send_signal(signal.SIGKILL)
        toll.look(directory)
        await world.forget(FORGETFUL)
    async with service(site_file) as process, asyncio.timeout(PATIENCE_S):
        begun = time.perf_counter()
        before = max(value for (value,) in rows(directory / CONTROL_FILE, EPOCH))
        toll.recovered_s.append(await in_control(directory, before, begun))
        toll.look(directory)
        process.terminate()
        if await process.wait():
            raise RuntimeError(f"the service ended with {process.returncode}; see its log")
    toll.look(directory)
    return toll


def end_guard(directory: Path) -> None:
    """End a guard that outlived its killed service."""
    with suppress(OSError, ValueError):
        os.kill(int((directory / LOCK_FILE).read_text(encoding="ascii")), signal.SIGTERM)


async def measure(times: int) -> None:
    """Print what that many kills cost."""
    with TemporaryDirectory(prefix="plenum-") as folder:
        site_file = site_copy(Path(folder))
        try:
            async with field_process(site_file, real=True) as world:
                seeded = random.Random(1)
                moments_s = [seeded.uniform(*MOMENTS_S) for _ in range(times)]
                toll = await kill_often(site_file, world, moments_s=moments_s)
        except (RuntimeError, TimeoutError, ExceptionGroup):
            print((Path(folder) / "service.log").read_text(encoding="utf-8")[-4000:], file=sys.stderr)
            raise
        finally:
            end_guard(site_file.parent / "data")
    kept, found = toll.kept, toll.recovered_s
    print(
        f"killed {times} times, {MOMENTS_S[0]:g} to {MOMENTS_S[1]:g} s after the start: {toll.lost} rows lost of"
        f" {len(kept.readings):,} readings, {len(kept.commands)} commands and {len(kept.audit)} of audit"
        f" (target 0: {'missed' if toll.lost else 'met'}); the audit's chain"
        f" {'broke' if toll.broken else 'held'} each time it was checked"
    )
    met = "met" if max(found) < TARGET_S else "missed"
    print(
        f"  in control again after min {min(found):.1f} s, median {statistics.median(found):.1f} s, worst"
        f" {max(found):.1f} s in {len(found)} runs (target < {TARGET_S:.0f} s: {met});"
        f" {toll.too_short} were killed before that"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.kill")
    parser.add_argument("--times", type=int, default=TIMES)
    asyncio.run(measure(parser.parse_args().times))


if __name__ == "__main__":
    main()
