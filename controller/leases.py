"""What we hold on the building and what we were about to do, on disk before it is on the wire."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from controller.store.base import Lease, StoreError
from controller.store.control import control_file, storable
from controller.store.database import Database
from controller.store.stamp import micros, moment
from controller.wear import Wear
from drivers.base import Command, priority
from drivers.clock import Clock

T = TypeVar("T")

_LEASE = "point, device, priority, value, expires, decision, epoch"
_COMMAND = "time, point, device, value, priority, expires, reason, source, decision, epoch"


class Fenced(StoreError):  # noqa: N818  a state the controller must act on
    """The guard or a newer run has taken over: what we hold is no longer ours. Take a new epoch, then reconcile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A command about to be sent to a device. Without a result it may or may not have reached the device."""

    command: Command
    device: str
    decision: str  # id of the plan, override or event behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """An intent that was never answered: read the device before doing anything."""

    id: int
    time: datetime
    intent: Intent
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person's value for a point, until it expires."""

    point: str
    value: float
    expires: datetime
    reason: str
    actor: str
    made: datetime


class Leases:
    """Leases, commands and overrides in the control file.

    Call `begin` before anything else. Methods that change anything return when the change is safe against a power
    cut; those called at the same time share one commit. They raise StoreError if the disk refuses, and those about
    leases and commands raise `Fenced` once somebody has raised the epoch; nothing has changed then.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """The number of this run's authority; 0 before `begin`."""
        return self._epoch

    async def begin(self) -> int:
        """Take a new epoch, which fences off every earlier run; leases of earlier ones stay listed."""
        self._epoch = await self._database.write(_raise_epoch)
        return self._epoch

    async def check(self) -> None:
        """Raise Fenced if this run has lost its authority, and StoreError if nothing can be written."""
        await self._fenced(lambda db: db.execute("UPDATE epoch SET value = value"))  # a page is written all the same

    async def take(self, lease: Lease) -> None:
        """Keep one lease in place of the point's former one."""
        await self.take_many((lease,))

    async def take_many(self, leases: Iterable[Lease]) -> None:
        """Keep several leases in one commit, under the present epoch whatever they say."""
        rows = [_lease_row(lease, self._epoch) for lease in leases]
        await self._fenced(lambda db: _take(db, rows))

    async def renew(self, expires: datetime, *points: str) -> None:
        """Prolong leases we hold; points without one are left out."""
        rows = [(micros(expires), self._epoch, point) for point in points]
        await self._fenced(lambda db: _each(db, "UPDATE lease SET expires = ?, epoch = ? WHERE point = ?", rows))

    async def drop(self, *points: str, wear: Mapping[str, Wear] | None = None) -> None:
        """Forget leases, after the device has confirmed that our slot is empty; `wear` is what that has cost."""

        def forget(db: sqlite3.Connection) -> None:
            _forget(db, points)
            _wear(db, wear or {})

        await self._fenced(forget)

    async def all(self) -> tuple[Lease, ...]:
        """Return every lease, of earlier runs too, in order of point."""
        return await self._database.read(_leases)

    async def intend(
        self, intents: Sequence[Intent], leases: Iterable[Lease] = (), wear: Mapping[str, Wear] | None = None
    ) -> tuple[int, ...]:
        """Keep what is about to be sent, the leases it makes and the wear it costs in one commit.

        The numbers are for `answer`.
        """
        now = micros(self._clock.now())
        rows = [_command_row(intent, now, self._epoch) for intent in intents]
        held = [_lease_row(lease, self._epoch) for lease in leases]

        def keep(db: sqlite3.Connection) -> tuple[int, ...]:
            _take(db, held)
            _wear(db, wear or {})
            return _intend(db, rows)

        return await self._fenced(keep)

    async def answer(self, results: Mapping[int, str], drop: Iterable[str] = ()) -> None:
        """Keep what came of commands by number, and forget the leases they ended, in one commit.

        Not fenced: what happened on the wire has happened.
        """
        now, points = micros(self._clock.now()), tuple(drop)
        rows = [(result, now, number) for number, result in results.items()]
        statement = "UPDATE command SET result = ?, answered = ? WHERE id = ?"

        def keep(db: sqlite3.Connection) -> None:
            _each(db, statement, rows)
            _forget(db, points)

        await self._database.write(keep)

    async def unresolved(self) -> tuple[Unresolved, ...]:
        """Return the commands without a result, oldest first."""
        return await self._database.read(_unresolved)

    async def worn(self) -> Mapping[str, Wear]:
        """Return the wear of each point that writes have worn."""
        return await self._database.read(_worn)

    async def keep_override(self, override: Override) -> None:
        """Keep a person's override in place of the point's former one."""
        texts = (storable(override.reason), storable(override.actor))
        row = (override.point, override.value, micros(override.expires), *texts, micros(override.made))
        await self._database.write(lambda db: _each(db, "REPLACE INTO override VALUES (?, ?, ?, ?, ?, ?)", [row]))

    async def drop_override(self, *points: str) -> None:
        """Forget overrides; none is no error."""
        rows = [(point,) for point in points]
        await self._database.write(lambda db: _each(db, "DELETE FROM override WHERE point = ?", rows))

    async def overrides(self) -> tuple[Override, ...]:
        """Return the overrides that have not expired, in order of point."""
        now = micros(self._clock.now())
        return await self._database.read(lambda db: _overrides(db, now))

    async def _fenced(self, call: Callable[[sqlite3.Connection], T]) -> T:
        mine = self._epoch

        def fenced(db: sqlite3.Connection) -> T:
            _fence(db, mine)
            return call(db)

        return await self._database.write(fenced)


def read_leases(directory: Path) -> tuple[Lease, ...]:
    """Return every lease from another process; waits for nobody. Raises StoreError."""
    with control_file(directory, change=False) as db:
        return _leases(db)


def raise_epoch(directory: Path) -> int:
    """Take the authority from the running service, from another process, and return the new epoch.

    Raises StoreError, also after 5 s if the service was stopped in the middle of a commit: try again later, and
    relinquish meanwhile all the same.
    """
    with control_file(directory, change=True) as db:
        return _raise_epoch(db)


def forget_leases(directory: Path, points: Iterable[str]) -> None:
    """Forget leases, from another process, that have been relinquished. Raises StoreError."""
    with control_file(directory, change=True) as db:
        _forget(db, tuple(points))


def _epoch(db: sqlite3.Connection) -> int:
    (value,) = db.execute("SELECT value FROM epoch").fetchone()
    return int(value)


def _raise_epoch(db: sqlite3.Connection) -> int:
    db.execute("UPDATE epoch SET value = value + 1")
    return _epoch(db)


def _fence(db: sqlite3.Connection, mine: int) -> None:
    now = _epoch(db)
    if now != mine:
        raise Fenced(f"authority {mine} has ended, {now} is in force: another run or the guard has taken over")


def _each(db: sqlite3.Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    db.executemany(statement, rows)


def _take(db: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    _each(db, "REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _forget(db: sqlite3.Connection, points: Iterable[str]) -> None:
    _each(db, "DELETE FROM lease WHERE point = ?", [(point,) for point in points])


def _lease_row(lease: Lease, epoch: int) -> tuple[object, ...]:
    row = (lease.point, lease.device, lease.priority, lease.value)
    return (*row, micros(lease.expires), lease.decision, epoch)


def _leases(db: sqlite3.Connection) -> tuple[Lease, ...]:
    return tuple(
        Lease(
            point=point,
            device=device,
            priority=slot,
            value=value,
            expires=moment(expires),
            decision=decision,
            epoch=epoch,
        )
        for point, device, slot, value, expires, decision, epoch in db.execute(
            f"SELECT {_LEASE} FROM lease ORDER BY point"  # noqa: S608  constants
        )
    )


def _command_row(intent: Intent, now: int, epoch: int) -> tuple[object, ...]:
    command = intent.command
    sent = (now, command.point, intent.device, command.value, int(command.priority), micros(command.expires))
    return (*sent, storable(command.reason), command.source, intent.decision, epoch)


def _intend(db: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> tuple[int, ...]:
    statement = f"INSERT INTO command ({_COMMAND}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"  # noqa: S608  constants
    return tuple(int(db.execute(statement, row).fetchone()[0]) for row in rows)


def _wear(db: sqlite3.Connection, wear: Mapping[str, Wear]) -> None:
    rows = [(point, one.writes, micros(one.due)) for point, one in wear.items()]
    _each(db, "REPLACE INTO wear VALUES (?, ?, ?)", rows)


def _worn(db: sqlite3.Connection) -> Mapping[str, Wear]:
    rows = db.execute("SELECT point, writes, due FROM wear")
    return {point: Wear(writes=writes, due=moment(due)) for point, writes, due in rows}


def _unresolved(db: sqlite3.Connection) -> tuple[Unresolved, ...]:
    return tuple(
        Unresolved(
            id=number,
            time=moment(time),
            intent=Intent(
                command=Command(
                    point=point,
                    value=value,
                    priority=priority(slot),
                    expires=moment(expires),
                    reason=reason,
                    source=source,
                ),
                device=device,
                decision=decision,
            ),
            epoch=epoch,
        )
        for number, time, point, device, value, slot, expires, reason, source, decision, epoch in db.execute(
            f"SELECT id, {_COMMAND} FROM command WHERE result IS NULL ORDER BY id"  # noqa: S608  constants
        )
    )


def _overrides(db: sqlite3.Connection, now: int) -> tuple[Override, ...]:
    statement = "SELECT point, value, expires, reason, actor, made FROM override WHERE expires > ? ORDER BY point"
    return tuple(
        Override(point=point, value=value, expires=moment(expires), reason=reason, actor=actor, made=moment(made))
        for point, value, expires, reason, actor, made in db.execute(statement, (now,))
    )
