"""One device's wire: keep the intent, write, read back, keep the result; hand back; look."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from config.site import Device
from controller import record
from controller.holding import Holding, News, Work
from controller.hub import Hub
from controller.leases import Fenced, Intent
from controller.outcome import Outcome, Result, judge
from controller.reconcile import AuditLog, LeaseTable, hand_back
from controller.store.base import AuditEntry, Lease, StoreError
from controller.supervisor import Link
from controller.wear import Wear
from drivers.base import Command, DriverError, NotReachable, Rejected
from drivers.clock import Clock

log = logging.getLogger(__name__)

RETRY = timedelta(minutes=1)  # after no answer
RETRY_REFUSED = timedelta(minutes=5)  # after a no
NOT_SENT = "not sent"


class Leases(LeaseTable, Protocol):
    """Of the leases, what dispatch needs."""

    @property
    def epoch(self) -> int: ...

    async def begin(self) -> int: ...

    async def check(self) -> None: ...

    async def take_many(self, leases: Iterable[Lease]) -> None: ...

    async def intend(
        self, intents: Sequence[Intent], leases: Iterable[Lease] = (), wear: Mapping[str, Wear] | None = None
    ) -> tuple[int, ...]: ...

    async def drop(self, *points: str, wear: Mapping[str, Wear] | None = None) -> None: ...

    async def worn(self) -> Mapping[str, Wear]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all lines share."""

    leases: Leases
    audit: AuditLog
    clock: Clock
    outcomes: Hub[Outcome]
    commands: Hub[Command]
    lease: timedelta
    controls: bool  # False = advisory mode: look, but change nothing except what an old lease left behind
    may_write: Callable[[Holding], bool]
    settled: Callable[[Collection[Holding]], None]  # told when a line has learned something
    fenced: Callable[[int], Awaitable[None]]  # told the epoch that was overruled
    store_failed: Callable[[StoreError], None]
    alone: asyncio.Event  # set once no other supervisor is thought to be at work


class Wire:
    """What is done to one device. One task at a time; DriverErrors stay in here, Fenced and StoreError may leave."""

    def __init__(self, device: Device, link: Link, desk: Desk) -> None:
        self.device, self.link, self._desk = device, link, desk

    async def write(self, holdings: Sequence[Holding]) -> None:
        """Write targets into our slots and read them back; leases and intents are on disk before."""
        desk, now = self._desk, self._desk.clock.now()
        orders = [_Order(h, record.command(h, now + desk.lease)) for h in await self._free(holdings)]
        if not orders:
            return
        leases = [record.lease(order.command, order.holding, desk.leases.epoch) for order in orders]
        for order, lease in zip(orders, leases, strict=True):
            order.former, order.holding.lease = order.holding.lease, lease  # before the disk has it: a stop finds it
        intents = [
            Intent(command=o.command, device=self.device.id, decision=record.decision(o.holding)) for o in orders
        ]
        try:
            numbers = await desk.leases.intend(intents, leases, _wear([order.holding for order in orders], now))
        except Fenced:
            raise
        except StoreError as error:
            for order in orders:
                order.holding.lease, order.holding.not_before = order.former, now + RETRY
            desk.store_failed(error)
            return
        await self._send(orders)
        await self._check(orders)
        await self._keep(orders, numbers)

    async def _free(self, holdings: Sequence[Holding]) -> list[Holding]:
        """Those whose slot holds nothing of somebody else; a program looks before it takes a point."""
        free = []
        for holding in holdings:
            if holding.ours is None and holding.automatic and not holding.holds:
                await self.look(holding)
            if holding.work(self._desk.clock.now()) is Work.WRITE and not holding.foreign:
                free.append(holding)
        return free

    async def _send(self, orders: Sequence["_Order"]) -> None:
        """Write one after the other; the first without an answer ends it, for the rest would have none either."""
        for number, order in enumerate(orders):
            holding, value = order.holding, order.command.value
            if value is None or not self._desk.may_write(holding):
                continue
            now = self._desk.clock.now()
            try:
                self._desk.commands.publish(order.command)
                await self.link.write(holding.point, value, order.command.priority)
            except Rejected as error:
                order.result, order.text = Result.REJECTED, str(error)
                holding.not_before = now + RETRY_REFUSED
            except NotReachable as error:
                order.result, order.text = Result.UNKNOWN, str(error)
                holding.maybe = (holding.ours, value)
                holding.look = True
                for unsent in orders[number:]:
                    unsent.holding.not_before = now + RETRY
                break
            else:
                holding.written(value, self._desk.clock.now(), None if holding.back is None else holding.back.present)
                order.sent = True

    async def _check(self, orders: Sequence["_Order"]) -> None:
        for order in orders:
            holding = order.holding
            if not order.sent:
                continue
            if not self._desk.may_write(holding):  # about to be handed back, which must not wait
                order.result = Result.UNKNOWN
                continue
            try:
                back = await self.link.read_back(holding.point, holding.slot)
            except DriverError as error:
                order.result, order.text = Result.UNKNOWN, str(error)
                holding.look, holding.not_before = True, self._desk.clock.now() + RETRY
                continue
            order.result = judge(holding.point, order.command.value, back, holding.slot)
            if back.array is not None and back.slot is not None:
                holding.kept = back.slot
            holding.absorb(back, self._desk.clock.now())
            if order.result is Result.REJECTED:  # acknowledged, and yet not there
                holding.not_before = self._desk.clock.now() + RETRY_REFUSED

    async def _keep(self, orders: Sequence["_Order"], numbers: Sequence[int]) -> None:
        """Bring the results to disk; leases that nothing in the device answers for are put back or dropped."""
        desk, now = self._desk, self._desk.clock.now()
        results: dict[int, str] = {}
        entries: list[AuditEntry] = []
        drop: list[_Order] = []
        former: list[Lease] = []
        for order, number in zip(orders, numbers, strict=True):
            holding, result = order.holding, order.result
            results[number] = NOT_SENT if result is None else result.value
            if not order.sent and result is not Result.UNKNOWN:
                holding.lease = order.former
                if order.former is None:
                    drop.append(order)
                else:
                    former.append(order.former)
            if result is not None:
                holding.result, holding.trouble = result, order.text
                value = order.command.value
                entries.append(record.written(holding, now, old=order.old, new=value, result=result))
                desk.outcomes.publish(record.outcome(holding, now, value=value, result=result))
        gone = [order.holding.point.id for order in drop]
        await self._together(desk.leases.answer(results, drop=gone), desk.audit.record(*entries))
        if former:
            await desk.leases.take_many(former)

    async def _together(self, leases: Coroutine[None, None, None], audit: Coroutine[None, None, None]) -> None:
        """Bring both to disk in one commit. Raises Fenced or StoreError."""
        async with asyncio.TaskGroup() as tasks:
            both = [
                tasks.create_task(_refusal(leases), name=f"{self.device.id}:leases"),
                tasks.create_task(_refusal(audit), name=f"{self.device.id}:audit"),
            ]
        errors = [error for error in (task.result() for task in both) if error is not None]
        if errors:
            raise next((error for error in errors if isinstance(error, Fenced)), errors[0])

    async def give(self, holdings: Sequence[Holding], reason: str = "") -> None:
        """Hand points back and read them; what is not proven free stays leased."""
        left, entries = await self._withdraw(holdings, reason)
        gone = [h.point.id for h in holdings if h.point.id not in left]
        try:
            wear = _wear([h for h in holdings if h.point.safe_value is not None], self._desk.clock.now())
            await self._together(self._desk.leases.drop(*gone, wear=wear), self._desk.audit.record(*entries))
        except Fenced:
            raise
        except StoreError as error:  # the device is free, which matters more
            self._desk.store_failed(error)

    async def _withdraw(self, holdings: Sequence[Holding], reason: str) -> tuple[list[str], list[AuditEntry]]:
        desk = self._desk
        failed: dict[str, tuple[Result, str]] = {}
        silent = ""
        for holding in holdings:
            if silent:
                failed[holding.point.id] = Result.UNKNOWN, silent
                continue
            desk.commands.publish(replace(record.command(holding, desk.clock.now()), value=None))
            try:
                await hand_back(self.link, holding.point, holding.slot)
            except Rejected as error:
                failed[holding.point.id] = Result.REJECTED, str(error)
            except NotReachable as error:
                silent = str(error)
                failed[holding.point.id] = Result.UNKNOWN, silent
        entries = []
        for holding in holdings:
            old = holding.ours
            result, text = failed.get(holding.point.id) or await self._look_given(holding)
            if result is not Result.APPLIED:
                failed[holding.point.id] = result, text
                holding.not_before = desk.clock.now() + (RETRY if result is Result.UNKNOWN else RETRY_REFUSED)
            holding.result, holding.trouble = result, text
            now = desk.clock.now()
            entries.append(record.written(holding, now, old=old, new=None, result=result, why=reason))
            desk.outcomes.publish(record.outcome(holding, now, value=None, result=result, why=reason))
        return list(failed), entries

    async def _look_given(self, holding: Holding) -> tuple[Result, str]:
        if holding.back is not None and holding.back.array is None:  # nothing to be seen; waiting would delay the rest
            holding.given()
            holding.lease, holding.look = None, True
            return Result.APPLIED, ""
        try:
            back = await self.link.read_back(holding.point, holding.slot)
        except DriverError as error:
            return Result.UNKNOWN, str(error)
        result = judge(holding.point, None, back, holding.slot)
        if result is Result.APPLIED:
            holding.given()
            holding.lease = None
            holding.absorb(back, self._desk.clock.now())
            return result, ""
        return result, f"{holding.point.id}: acknowledged, but {back.slot:g} is still in our slot"

    async def look(self, holding: Holding) -> None:
        """Read a point back without having commanded it; tell what is new."""
        desk = self._desk
        try:
            back = await self.link.read_back(holding.point, holding.slot)
        except DriverError as error:
            holding.result, holding.look = Result.UNKNOWN, True
            holding.not_before = desk.clock.now() + RETRY
            holding.trouble = str(error)
            return
        now = desk.clock.now()
        had = holding.ours
        news = holding.absorb(back, now)
        if news is News.SAME:
            return
        words = record.WORDS[news]
        log.log(logging.WARNING if news is News.FOREIGN else logging.INFO, "%s: %s", holding.point.id, words)
        if news is News.FOREIGN:
            holding.lease = None
            await desk.leases.drop(holding.point.id)
        result = holding.result or Result.UNKNOWN
        desk.outcomes.publish(record.outcome(holding, now, value=had, result=result, why=words))
        await desk.audit.record(record.seen(holding, now, old=had, news=news))


def _wear(holdings: Iterable[Holding], now: datetime) -> dict[str, Wear]:
    """Take note of one more write to those whose memory it wears; what is to be kept on disk."""
    worn = {}
    for holding in holdings:
        if holding.wear is not None:
            holding.wear = worn[holding.point.id] = holding.wear.after_write(now)
    return worn


async def _refusal(work: Coroutine[None, None, None]) -> StoreError | None:
    """The store's refusal, returned: one raised in a TaskGroup would make Python 3.11 forget a cancellation."""
    try:
        await work
    except StoreError as error:
        return error
    return None


@dataclass(slots=True, eq=False)
class _Order:
    """One write on its way."""

    holding: Holding
    command: Command
    old: float | None = None
    former: Lease | None = None
    sent: bool = False
    result: Result | None = None
    text: str = ""

    def __post_init__(self) -> None:
        self.old = self.holding.ours
