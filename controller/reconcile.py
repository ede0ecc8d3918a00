"""First contact with a device: find out what of ours is still in it, and hand back what nobody answers for."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from config.roles import Role
from config.site import Device, Point
from controller.leases import Unresolved
from controller.outcome import Result, judge, same
from controller.store.base import AuditEntry, Lease
from drivers.base import Can, NotReachable, Priority, ReadBack, Rejected, priority
from drivers.clock import Clock

log = logging.getLogger(__name__)


class Hands(Protocol):
    """What commands a device: a supervisor's Link, or a Driver that is open."""

    @property
    def can(self) -> Can: ...

    async def write(self, point: Point, value: float, priority: Priority) -> None: ...

    async def relinquish(self, point: Point, priority: Priority) -> None: ...

    async def read_back(self, point: Point, priority: Priority) -> ReadBack: ...


class LeaseTable(Protocol):
    """Of the leases, what is needed here."""

    async def all(self) -> tuple[Lease, ...]: ...

    async def drop(self, *points: str) -> None: ...

    async def answer(self, results: Mapping[int, str], drop: Iterable[str] = ()) -> None: ...

    async def unresolved(self) -> tuple[Unresolved, ...]: ...


class AuditLog(Protocol):
    """Of the audit, what is needed here."""

    async def record(self, *entries: AuditEntry) -> None: ...


async def hand_back(hands: Hands, point: Point, slot: Priority) -> None:
    """Withdraw our value; where the device cannot, write the point's safe value. Raises DriverError."""
    if Can.RELINQUISH in hands.can:
        try:
            await hands.relinquish(point, slot)
        except Rejected:
            if point.safe_value is None:
                raise
        else:
            return
    if point.safe_value is not None:  # a device without slots, or a point of it
        await hands.write(point, point.safe_value, slot)
    elif Can.WRITE in hands.can:
        raise Rejected(f"{point.id} cannot be handed back: give it a safe_value in the site file")
    else:
        raise NotReachable(f"{point.id} cannot be handed back: its device is not open")


class Verdict(Enum):
    """What to do about one slot."""

    NOTHING = auto()
    KEEP = auto()  # a live lease answers for it
    CLEAR = auto()  # nobody answers for it
    FORGET = auto()  # the slot is empty already, only the lease is left


def verdict(point: Point, back: ReadBack, lease: Lease | None, now: datetime) -> Verdict:
    """Say what a slot's content means, beside the lease table."""
    empty = back.slot is None if back.array is not None else lease is None
    if empty:
        return Verdict.NOTHING if lease is None else Verdict.FORGET
    found = back.slot if back.array is not None else back.present
    alive = lease is not None and lease.expires > now and lease.priority == point.priority
    if alive and lease is not None and same(point, found, lease.value) and point.role is not Role.HEARTBEAT:
        return Verdict.KEEP
    return Verdict.CLEAR


@dataclass(slots=True, kw_only=True)
class Found:
    """What one device held."""

    backs: dict[str, ReadBack] = field(default_factory=dict)  # by point, after any handing back
    kept: dict[str, Lease] = field(default_factory=dict)  # live leases whose values are in place
    stuck: dict[str, Lease] = field(default_factory=dict)  # leases of points that could not be read or handed back
    relinquished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # could not be read or handed back


async def reconcile_device(
    device: Device, hands: Hands, *, leases: LeaseTable, audit: AuditLog, clock: Clock, clear_unknown: bool
) -> Found:
    """Read our slot on every writable point; keep what a live lease answers for, hand back the rest.

    Values without any lease are handed back only if `clear_unknown`. Commands whose outcome nobody knows are
    resolved by what was read, never sent again. Raises NotReachable if the device is lost on the way; a point that
    cannot be read or handed back is listed as failed.
    """
    found = Found()
    table = {lease.point: lease for lease in await leases.all() if lease.device == device.id}
    before: dict[str, ReadBack] = {}
    notes: list[AuditEntry] = []
    done: list[str] = []
    for point in (p for p in device.points if p.writable):
        lease = table.pop(point.id, None)
        try:
            back = before[point.id] = await hands.read_back(point, _slot(point, lease))
            decided = verdict(point, back, lease, clock.now())
            if decided is Verdict.CLEAR and (lease is not None or clear_unknown):
                back, note = await _clear(hands, point, back, lease, now=clock.now())
                notes.append(note)
                (found.failed if note.result != Result.APPLIED else found.relinquished).append(point.id)
        except Rejected as error:
            log.warning("%s: cannot be reconciled: %s", point.id, error)
            found.failed.append(point.id)
            if lease is not None:
                found.stuck[point.id] = lease
            continue
        found.backs[point.id] = back
        if decided is Verdict.KEEP and lease is not None:
            found.kept[point.id] = lease
        elif lease is not None and point.id in found.failed:
            found.stuck[point.id] = lease
        elif lease is not None:
            done.append(point.id)
    for name in table:
        log.warning("%s: leased, but no longer in the site file: look at its device and withdraw it by hand", name)
    await _close(leases, before, device, [*done, *table])
    await audit.record(*notes)
    return found


def _slot(point: Point, lease: Lease | None) -> Priority:
    return priority(point.priority if lease is None else lease.priority)


async def _clear(
    hands: Hands, point: Point, old: ReadBack, lease: Lease | None, *, now: datetime
) -> tuple[ReadBack, AuditEntry]:
    slot = _slot(point, lease)
    await hand_back(hands, point, slot)
    back = await hands.read_back(point, slot)
    result = judge(point, None, back, slot)
    value = old.slot if old.array is not None else old.present
    log.info("%s: %s in our slot handed back: %s", point.id, value, result)
    return back, AuditEntry(
        time=now,
        actor="reconcile",
        action="relinquish",
        subject=point.id,
        old="" if value is None else f"{value:g}",
        new="",
        reason="no live lease answers for it" if lease is None else "its lease has run out",
        result=result,
    )


async def _close(leases: LeaseTable, before: Mapping[str, ReadBack], device: Device, done: Sequence[str]) -> None:
    """Answer this device's open commands by what was read, and drop the leases that are over."""
    points = {point.id: point for point in device.points}
    answers = {}
    for open_ in await leases.unresolved():
        command = open_.intent.command
        if open_.intent.device != device.id:
            continue
        back, point = before.get(command.point), points.get(command.point)
        if back is None or point is None:
            answers[open_.id] = Result.UNKNOWN.value
        else:
            answers[open_.id] = judge(point, command.value, back, command.priority).value
    if answers or done:
        await leases.answer(answers, drop=done)
