"""Power cuts at random moments under the very code that writes: `python -m bench.power [--times N]`.

Each run writes commands, leases, overrides, audit and readings, seals days and lets them shrink, until the power goes
in the middle of a write or sync. What is left on the disk must open, be whole, and hold all that was acknowledged: of
commands, leases and audit every row, of readings a beginning of what was written, each with its value.
"""

import argparse
import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from bench.power_disk import NEVER, PowerDisk
from config.site import StoreOptions
from controller.audit import Audit, verify
from controller.leases import Intent, Leases, Override
from controller.store.base import AuditEntry, Lease, StoreError
from controller.store.block import unpack_intervals
from controller.store.control import CONTROL_FILE, control_database
from controller.store.database import Synchronous
from controller.store.readings import READINGS_FILE, every_reading, parts
from controller.store.sqlite import SqliteStore
from controller.store.stamp import micros
from drivers.base import Command, Reading, priority
from drivers.clock import Clock
from site_sims.virtual_time import VirtualTimeLoop

TIMES = 150
START = datetime(2023, 2, 6, tzinfo=UTC)
BATCHES, BATCH, EVERY = 60, timedelta(hours=6), timedelta(minutes=10)
POINTS = ("hall.zone.temperature", "hall.zone.co2")
DAY_US = 86_400_000_000
OPTIONS = StoreOptions(keep_days=7, keep_half_hours_days=3660)


@dataclass
class Said:
    """What was acknowledged before the power went, and what was on its way then."""

    epoch: int = 0
    commands: dict[int, str] = field(default_factory=dict)  # number: decision
    results: set[int] = field(default_factory=set)
    leases: dict[str, str] = field(default_factory=dict)  # point: decision
    overrides: dict[str, float] = field(default_factory=dict)
    audit: list[str] = field(default_factory=list)
    batches: int = 0
    doing: int = 0  # the round that was under way


@dataclass
class Toll:
    """What a number of cuts cost."""

    cuts: int = 0
    corrupt: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # acknowledged commands, leases, overrides, audit
    behind: int = 0  # acknowledged batches of readings that were gone
    batches: int = 0  # that were acknowledged


def batch(number: int) -> list[Reading]:
    """A quarter of a day of every point; the value tells where it belongs."""
    times = [START + number * BATCH + n * EVERY for n in range(BATCH // EVERY)]
    return [Reading(point=p, time=t, received=t, value=value(p, micros(t))) for t in times for p in POINTS]


def value(point: str, time_us: int) -> float:
    """What a point showed at a time."""
    return POINTS.index(point) * 100 + time_us // 60_000_000 % 997 / 10


async def live(directory: Path, said: Said, synchronous: Synchronous) -> None:
    """Fifteen days of writing; ends with StoreError when the power goes."""
    clock = Clock(START)
    async with (
        SqliteStore(directory, clock=clock, options=OPTIONS) as store,
        control_database(directory, synchronous=synchronous) as database,
    ):
        leases, audit = Leases(database, clock=clock), Audit(database)
        said.epoch = await leases.begin()
        for number in range(BATCHES):
            said.doing = number
            await asyncio.sleep(BATCH.total_seconds())
            await store.append(batch(number))
            said.batches = number + 1
            await _command(leases, audit, clock, said, number)
            if number % 4 == 3:
                await store.upkeep.tend()


async def _command(leases: Leases, audit: Audit, clock: Clock, said: Said, number: int) -> None:
    point, decision, now = f"hall.zone.setpoint_{number % 5}", f"plan {number}", clock.now()
    wish = Command(point=point, value=20.0, priority=priority(13), expires=now + BATCH, reason=decision)
    lease = Lease(point=point, device="d", priority=13, value=20.0, expires=now + BATCH, decision=decision, epoch=0)
    (order,) = await leases.intend([Intent(command=wish, device="d", decision=decision)], leases=[lease])
    said.commands[order] = said.leases[point] = decision
    await leases.answer({order: "applied"})
    said.results.add(order)
    await leases.keep_override(
        Override(point=point, value=float(number), expires=now + BATCH, reason="cold", actor="ann", made=now)
    )
    said.overrides[point] = float(number)
    await audit.record(
        AuditEntry(
            time=now, actor="plan", action="write", subject=point, old="", new="20", reason=decision, result="applied"
        )
    )
    said.audit.append(decision)


def lived(directory: Path, cut_after: int, *, synchronous: Synchronous = "FULL") -> tuple[PowerDisk, Said]:
    """The disk and what was said, when the power had gone after that many steps."""
    said = Said()
    with PowerDisk(cut_after).mounted() as disk, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        try:
            runner.run(live(directory, said, synchronous))
        except (StoreError, sqlite3.Error):
            if not disk.dark:
                raise
    return disk, said


def corruption(directory: Path) -> Iterator[str]:
    """What is wrong with the files themselves, and whether the program starts on them."""
    for name in (READINGS_FILE, CONTROL_FILE):
        if (directory / name).exists():
            try:
                with closing(sqlite3.connect(directory / name)) as db:
                    (found,) = db.execute("PRAGMA integrity_check").fetchone()
            except sqlite3.Error as err:
                found = str(err)
            if found != "ok":
                yield f"{name}: {found}"
    try:
        asyncio.run(_start_again(directory))
        if verify(directory) is not None:
            yield f"the audit's chain breaks at row {verify(directory)}"
    except StoreError as err:
        yield f"does not start: {err}"


async def _start_again(directory: Path) -> None:
    clock = Clock(START + BATCHES * BATCH)
    async with SqliteStore(directory, clock=clock, options=OPTIONS) as store, control_database(directory) as database:
        await Leases(database, clock=clock).begin()
        await store.append(batch(BATCHES))


def losses(directory: Path, said: Said) -> Iterator[str]:
    """Acknowledged rows of the control file that are gone, or say something else."""
    with closing(sqlite3.connect(directory / CONTROL_FILE)) as db:
        commands = {number: told for number, *told in db.execute("SELECT id, decision, result FROM command")}
        held = dict(db.execute("SELECT point, decision FROM lease"))
        overrides = dict(db.execute("SELECT point, value FROM override"))
        reasons = {reason for (reason,) in db.execute("SELECT reason FROM audit")}
        (epoch,) = db.execute("SELECT value FROM epoch").fetchone()
    for number, decision in said.commands.items():
        if commands.get(number, [None])[0] != decision:
            yield f"command {number}"
    yield from (f"result of {n}" for n in said.results if commands.get(n, ["", None])[1] != "applied")
    late = f"plan {said.doing}"  # was under way: either is right
    yield from (f"lease of {p}" for p, decision in said.leases.items() if held.get(p) not in (decision, late))
    yield from (f"override of {p}" for p, v in said.overrides.items() if overrides.get(p) not in (v, said.doing))
    yield from (f"audit of {reason}" for reason in said.audit if reason not in reasons)
    if epoch <= said.epoch:  # the new start has raised it
        yield f"epoch {said.epoch}"


def readings_left(directory: Path) -> tuple[int, list[str]]:
    """How many batches there are, from the first, and what contradicts that."""
    with closing(sqlite3.connect(directory / READINGS_FILE)) as db:
        stored = {(point, time): value for point, time, value, _ in every_reading(db)}
        names = dict(db.execute("SELECT id, point FROM series"))
        shrunk = {
            (names[parts(key)[1]], parts(key)[0]): int(unpack_intervals(data).count.sum())
            for key, data in db.execute("SELECT id, data FROM half_hours")
        }
    wrong = [f"{point} at {time}" for (point, time), found in stored.items() if found != value(point, time)]
    a_day = timedelta(days=1) // EVERY
    wrong += [
        f"{point}: {count} in the half-hours of day {day}" for (point, day), count in shrunk.items() if count != a_day
    ]
    there = []
    for number in range(BATCHES):
        rows = batch(number)
        found = sum((r.point, micros(r.time)) in stored or (r.point, micros(r.time) // DAY_US) in shrunk for r in rows)
        there.append(found == len(rows))
        if found not in (0, len(rows)):
            wrong.append(f"batch {number} is there in part")
    count = there.index(False) if False in there else BATCHES
    if any(there[count:]):
        wrong.append(f"batch {count} is missing between others")
    return count, wrong


def cut_often(times: int, *, seed: int = 1, synchronous: Synchronous = "FULL") -> Toll:
    """Cut the power that often, at moments spread over all that is written."""
    random, toll = Random(seed), Toll()
    with TemporaryDirectory(prefix="plenum-") as folder:
        whole, said = lived(Path(folder), NEVER)
        if said.batches != BATCHES:
            raise RuntimeError("the run without a cut did not end")
        for number in range(times):
            disk, said = lived(Path(folder), random.randrange(whole.steps), synchronous=synchronous)
            left = Path(folder) / f"cut_{number}"
            left.mkdir()
            disk.remains(left, random)
            toll.cuts += 1
            toll.batches += said.batches
            found = list(corruption(left))
            toll.corrupt += [f"cut {number}: {text}" for text in found]
            if not found:
                toll.lost += [f"cut {number}: {text}" for text in losses(left, said)]
                count, wrong = readings_left(left)
                toll.corrupt += [f"cut {number}: {text}" for text in wrong]
                toll.behind += max(0, said.batches - count)
    return toll


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.power")
    parser.add_argument("--times", type=int, default=TIMES)
    toll = cut_often(parser.parse_args().times)
    for text in [*toll.corrupt, *toll.lost][:20]:
        print(f"  {text}", file=sys.stderr)
    met = "met" if not toll.corrupt and not toll.lost else "missed"
    print(
        f"power cut {toll.cuts} times: {len(toll.corrupt)} corrupt, {len(toll.lost)} acknowledged commands, leases,"
        f" overrides or audit rows lost (target 0 and 0: {met}); of {toll.batches} acknowledged batches of readings"
        f" {toll.behind} were gone, all at the end"
    )
    return 0 if met == "met" else 1


if __name__ == "__main__":
    sys.exit(main())
