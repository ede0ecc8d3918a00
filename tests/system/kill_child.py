"""Writes readings, commands, leases and audit as fast as it can, and says what has been acknowledged.

Run as `python kill_child.py DIRECTORY RUN`; one JSON line on standard output per acknowledged write, until killed.
"""

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

from controller.audit import Audit
from controller.leases import Intent, Leases
from controller.store.base import AuditEntry, Lease
from controller.store.claim import claim
from controller.store.control import control_database
from controller.store.sqlite import SqliteStore
from controller.store.stamp import micros
from drivers.base import Command, Reading, priority
from drivers.clock import Clock

POINTS = 20


def acknowledged(kind: str, **what: object) -> None:
    os.write(1, (json.dumps({"kind": kind, **what}) + "\n").encode())  # straight to the pipe: no buffer to lose


async def read(store: SqliteStore, clock: Clock, run: int) -> None:
    while True:
        now = clock.now()
        batch = [
            Reading(point=f"kill.run_{run}.value_{n}", time=now, received=now, value=float(n)) for n in range(POINTS)
        ]
        await store.append(batch)
        acknowledged("readings", point=batch[-1].point, time=micros(now))
        await asyncio.sleep(0.001)


async def command(leases: Leases, audit: Audit, clock: Clock, run: int) -> None:
    count = 0
    while True:
        count += 1
        point, now = f"kill.run_{run}.setpoint_{count % 7}", clock.now()
        expires = now + timedelta(minutes=30)
        decision = f"run {run} no {count}"
        wish = Command(point=point, value=float(count), priority=priority(13), expires=expires, reason="kill test")
        lease = Lease(
            point=point, device="d", priority=13, value=float(count), expires=expires, decision=decision, epoch=0
        )
        (number,) = await leases.intend([Intent(command=wish, device="d", decision=decision)], leases=[lease])
        acknowledged("command", id=number, decision=decision, point=point, epoch=leases.epoch)
        async with asyncio.TaskGroup() as both:
            both.create_task(leases.answer({number: "applied"}), name="answer")
            both.create_task(audit.record(entry(clock, decision)), name="audit")
        acknowledged("result", id=number)
        acknowledged("audit", reason=decision)


def entry(clock: Clock, decision: str) -> AuditEntry:
    return AuditEntry(
        time=clock.now(),
        actor="optimiser",
        action="write",
        subject="kill.setpoint",
        old="",
        new="1",
        reason=decision,
        result="applied",
    )


async def main(directory: Path, run: int) -> None:
    clock = Clock.real()
    with claim(directory):
        async with (
            SqliteStore(directory, clock=clock) as store,
            control_database(directory) as control,
            asyncio.TaskGroup() as tasks,
        ):
            leases, audit = Leases(control, clock=clock), Audit(control)
            acknowledged("began", epoch=await leases.begin(), left=len(await leases.unresolved()))
            tasks.create_task(read(store, clock, run), name="read")
            tasks.create_task(command(leases, audit, clock, run), name="command")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
